"""Tiny notebooks that behave and misbehave, and the command line as a user drives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PARAMETERS = """\
seed: int = 0  # random seed [0..1000]
device: str = "auto"  # where tensors live {auto,cpu,cuda,mps}
profile: str = "quick"  # how much to compute {smoke,quick,full}
window: int = 4  # keys a query sees [1..64]
rate: float = 0.5  # learning rate [1e-6..1]
causal: bool = True  # whether the future is hidden
note: str = ""  # free text
"""

SHOW = """\
from IPython.display import display
def show(kind, /, **values):
    display({f"application/vnd.dslab.{kind}+json": values, "text/plain": str(values)}, raw=True)
"""

FIGURE = """\
from base64 import b64decode
pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
figure = {"name": "dot", "alt": "one dot", "takeaway": "A dot is enough."}
display({"application/vnd.dslab.figure+json": figure, "image/png": b64decode(pixel), "text/plain": "figure"}, raw=True)
"""


def claim(holds: bool | None, kind: str = "exact", name: str = "t.equal") -> str:
    """The cell that shows a claim's bundle by hand."""
    return (
        f"show('claim', id={name!r}, measured=3.5, bound='<= 1', kind={kind!r}, verdict='true', "
        f"statement='The error stays below one.', holds={holds!r}, why='', note='')"
    )


@dataclass(frozen=True)
class Cell:
    """One cell of a toy notebook."""

    source: str
    id: str
    tags: tuple[str, ...] = ()
    kind: str = "code"


def code(source: str, id: str, *tags: str) -> Cell:
    """A code cell."""
    return Cell(source, id, tags)


GOOD = (
    code(SHOW, "set-up"),
    code("print(window * 2)", "double"),
    code(FIGURE, "picture"),
    code("show('metric', name='twice', value=window * 2, unit='keys')\n" + claim(True), "claims"),
)


def write(path: Path, *cells: Cell, parameters: str | None = PARAMETERS, title: str = "A toy") -> Path:
    """Write a notebook with a title, a parameters cell and these cells. Returns its path."""
    first = [Cell(f"# {title}\n\nA question?", "title", kind="markdown")]
    if parameters is not None:
        first.append(Cell(parameters, "parameters", ("parameters",)))
    rows: list[dict[str, Any]] = []
    for cell in [*first, *cells]:
        row = {"cell_type": cell.kind, "id": cell.id, "metadata": {"tags": list(cell.tags)}, "source": cell.source}
        if cell.kind == "code":
            row |= {"execution_count": None, "outputs": []}
        rows.append(row)
    notebook = {"cells": rows, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**added: str) -> dict[str, str]:
    """The environment of a command: plain, wide enough that no line breaks."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTEST_CURRENT_TEST", "FORCE_COLOR")}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"} | added


def dslab(*arguments: object, cwd: Path, timeout: float = 120, **added: str) -> Done:
    """Run `dslab …` as a user does: another process, its exit code, what it prints."""
    command = [sys.executable, "-m", "dslab.cli", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**added), capture_output=True, text=True, timeout=timeout, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def results(folder: Path) -> dict[str, Any]:
    """A run's results.json."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found
