"""What a run found, read from the display bundles of its executed notebooks, and whether it is good."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

import dslab
from dslab import paths
from dslab.runner import execute, normalize, parameters

PREFIX = "application/vnd.dslab."
FORMAT = 1


def bundles(notebook: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The results of one kind (claim, metric, figure, …) in a notebook, in order of display.

    Each is the JSON of its MIME bundle; a figure also gets `png` (base64) where its bundle holds one.
    """
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            value = data.get(f"{PREFIX}{kind}+json")
            if isinstance(value, dict):
                image = (
                    {"png": normalize.text_of(data["image/png"])} if kind == "figure" and "image/png" in data else {}
                )
                found.append(value | image)
    return found


def _latest(rows: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """One row a key, the last one shown."""
    return list({row.get(key): row for row in rows}.values())


def collect(path: Path) -> dict[str, Any]:
    """Everything a notebook reported: title, environment, weights, metrics, claims, figures, exercises."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        notebook = {"cells": []}
    environment = (bundles(notebook, "environment") or [{}])[-1]
    footer = (bundles(notebook, "footer") or [{}])[-1]
    return {
        "title": _title(notebook) or path.stem,
        "environment": environment,
        "versions": environment.get("versions", {}),
        "device": environment.get("device"),
        "weights": _latest(bundles(notebook, "weights"), "name"),
        "metrics": _latest(bundles(notebook, "metric"), "name"),
        "claims": _latest(bundles(notebook, "claim"), "id"),
        "figures": _latest(bundles(notebook, "figure"), "name"),
        "exercises": _latest(bundles(notebook, "exercise"), "name"),
        "footer": footer,
    }


def _title(notebook: dict[str, Any]) -> str:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and not normalize.has_tag(cell, "papermill-error-cell-tag"):
            for line in normalize.text_of(cell["source"]).splitlines():
                if line.startswith("# "):
                    return line[2:].strip()
    return ""


def of_notebook(outcome: execute.Outcome) -> dict[str, Any]:
    """The record of one notebook, as it stands in results.json (figures without their pixels)."""
    task = outcome.task
    found = collect(task.out)
    effective = parameters.defaults(parameters.from_notebook(task.notebook)) | task.values
    return {
        "notebook": task.notebook.stem,
        "path": _shown_path(task.notebook),
        "title": found["title"],
        "status": outcome.status,
        "error": outcome.error,
        "seconds": round(outcome.seconds, 2),
        "peak_bytes": outcome.peak_bytes,
        "cells": outcome.cells,
        "cells_started": outcome.cells_started,
        "parameters": effective | found["environment"].get("parameters", {}),
        "given": task.values,
        "metrics": found["metrics"],
        "claims": found["claims"],
        "figures": found["figures"],
        "exercises": found["exercises"],
        "device": found["device"],
        "versions": found["versions"],
        "environment": found["environment"],
        "weights": found["weights"],
        "executed": task.out.name if task.out.is_file() else None,
        "html": task.html.name if task.html and task.html.is_file() else None,
    }


def _shown_path(notebook: Path) -> str:
    """How a command names the notebook: its stem in the collection, else its path, from here where that is shorter."""
    root = paths.checkout()
    if root and notebook.parent == root / "notebooks":
        return notebook.stem
    return os.path.relpath(notebook) if notebook.is_relative_to(Path.cwd()) else str(notebook)


def failed_claims(record: dict[str, Any], strict: bool) -> list[dict[str, Any]]:
    """The claims of a notebook that fail a run: exact ones that do not hold, and measured ones too when strict.

    A claim that was not judged (`holds` null) never fails a run.
    """
    return [
        claim for claim in record["claims"]
        if claim.get("holds") is False and (strict or claim.get("kind") != "measured")
    ]  # fmt: skip


def exit_code(records: Sequence[dict[str, Any]], strict: bool, interrupted: bool) -> int:
    """130 interrupted; 1 a cell, the kernel or a claim failed; 0 good."""
    if interrupted:
        return 130
    return int(any(record["status"] != "passed" or failed_claims(record, strict) for record in records))


def of_run(
    outcomes: Sequence[execute.Outcome], *, started: datetime.datetime, seconds: float, strict: bool, jobs: int,
    given: dict[str, str], interrupted: bool, command: str,
) -> dict[str, Any]:  # fmt: skip
    """The whole of results.json: what ran, on what, from which code and weights, and how it ended."""
    records = [of_notebook(outcome) for outcome in outcomes]
    weights = {row.get("sha256") or row.get("name"): row for record in records for row in record["weights"]}
    return {
        "format": FORMAT,
        "exit_code": exit_code(records, strict, interrupted),
        "interrupted": interrupted,
        "command": command,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "strict": strict,
        "jobs": jobs,
        "threads": execute.threads_each(jobs),
        "given": given,
        "dslab": dslab.__version__,
        **provenance(),
        "machine": machine(),
        "weights": list(weights.values()),
        "notebooks": records,
    }


def provenance() -> dict[str, Any]:
    """Commit, whether the tree differs from it, and the lock file's SHA-256; None where there is none."""
    root = paths.checkout()
    lock = root / "requirements.lock" if root else None
    commit = _git(root, "rev-parse", "HEAD")
    return {
        "commit": commit or None,
        "modified": bool(_git(root, "status", "--porcelain", "--untracked-files=no")) if commit else None,
        "lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest() if lock and lock.is_file() else None,
    }


def _git(root: Path | None, *arguments: str) -> str:
    if root is None or not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine() -> dict[str, Any]:
    """The machine in a few facts, none of which names it."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": execute.cores(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def write(run: dict[str, Any], folder: Path) -> None:
    """Write results.json, without the figures' pixels, which stand in the executed notebooks."""
    slim = json.loads(json.dumps(run, default=str))
    for record in slim["notebooks"]:
        for figure in record["figures"]:
            figure.pop("png", None)
    text = json.dumps(_finite(slim), ensure_ascii=False, indent=1, allow_nan=False)
    normalize.write_text(folder / "results.json", text + "\n")


def _finite(value: Any) -> Any:
    """NaN and infinities as the strings "nan", "inf", "-inf": JSON has no such numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def new_folder(out: str | None) -> Path:
    """The folder for a run's results, made: `--out`, which must not hold anything yet, or runs/<date-time>-<n>.

    Raises FileExistsError where the folder already holds something.
    """
    if out is not None:
        folder = Path(out).expanduser().resolve()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} is not an empty folder; name a new one, so that no earlier run is lost")
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    runs = (paths.checkout() or Path.cwd()) / "runs"
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        folder = runs / f"{stamp}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"no free folder under {runs} for {stamp}{os.sep}")
