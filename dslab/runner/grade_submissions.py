"""What was handed in: every notebook under a folder, whose it is, and which notebook of the collection it is.

A student is the first part of the path under the folder, without `.ipynb`. Nothing of a submission is run here.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dslab import paths
from dslab.runner import selection

LARGEST = 100_000_000  # bytes of a notebook; more is no homework
MOST_CODE = 1_000_000  # characters in all its code cells; the collection's have 50,000
_STARTED = re.compile(r"""^\s*page\s*\.\s*start\(\s*["'](\d\d)""", re.MULTILINE)
_EXERCISES = re.compile(
    r"^\s*(?:from\s+dslab\.exercises\s+import\s+n|(?:from|import)\s+dslab\.exercises\.n)(\d\d)\b", re.M
)
_NUMBERED = re.compile(r"(?<!\d)(\d\d)(?=[ _-])")


@dataclass(frozen=True)
class Submission:
    """One file. `notebook` is its number, or None; `cells` are its code cells as (what to call it, source)."""

    student: str
    file: str  # under the folder
    notebook: str | None
    cells: tuple[tuple[str, str], ...] = ()
    unreadable: str = ""  # why it cannot be read


def plain(text: object) -> str:
    """Text that can be written anywhere: no control characters, no halves of surrogate pairs.

    >>> plain("a" + chr(0) + "b"), plain(chr(0xDCE9))
    ('a b', '\\\\udce9')
    """
    sound = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c in "\n\t" or c.isprintable() or ord(c) > 159 else " " for c in sound)


def find(folder: Path) -> list[Submission]:
    """Every notebook under `folder`, by student and path.

    Raises selection.Refused where there is no such folder, or no notebook of the collection in it.
    """
    if not folder.is_dir():
        raise selection.Refused(f"no folder {folder}; name the folder that holds the submitted notebooks")
    known = exercises()
    files = sorted(_notebooks(folder), key=lambda file: file.relative_to(folder).parts)
    found = [_read(file, folder, known) for file in files]
    if not any(submission.notebook for submission in found):
        held = f"{len(found)} notebooks, none" if found else "no notebooks (*.ipynb), so none"
        raise selection.Refused(
            f"{plain(folder)} holds {held} of this collection ({', '.join(known)}); a submission is a copy of one of "
            "them, as FOLDER/NAME.ipynb or FOLDER/NAME/….ipynb"
        )
    return found


def exercises() -> dict[str, list[str]]:
    """The exercises by notebook number, in the notebook's order where the notebooks are at hand.

    Read off the packages' imports (`from …window import exercise as window`), because importing them imports torch.
    """
    found = {}
    for package in sorted((paths.PACKAGE / "exercises").glob("n[0-9][0-9]/__init__.py")):
        tree = ast.parse(package.read_text(encoding="utf-8"))
        aliases = [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
        names = [alias.asname for alias in aliases if alias.name == "exercise" and alias.asname]
        number = package.parent.name[1:]
        source = _source_of(number)
        found[number] = sorted(names, key=lambda name: (source.find(f"exercises.{name},"), name))
    return found


def code_cells(text: str) -> tuple[tuple[str, str], ...]:
    """A notebook's code cells as (what to call it, source). Raises ValueError for what is no notebook in format 4."""
    try:
        cells = json.loads(text)["cells"]
        code = [(i, cell) for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
        return tuple((str(cell.get("id") or i), "".join(cell["source"])) for i, cell in code)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a notebook in format 4 ({type(error).__name__}: {error})") from None


def _notebooks(folder: Path) -> Iterable[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]  # .ipynb_checkpoints too
        for name in files:
            if name.lower().endswith(".ipynb") and not name.startswith("."):
                yield Path(where, name)


def _read(file: Path, folder: Path, known: Iterable[str]) -> Submission:
    relative = file.relative_to(folder)
    first = relative.parts[0]
    student = first if len(relative.parts) > 1 else first[: -len(".ipynb")]
    student, shown = plain(student), plain(relative.as_posix())
    named = next((number for number in _NUMBERED.findall(file.name) if number in known), None)
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"larger than {LARGEST // 1_000_000} MB")
        cells = code_cells(file.read_text(encoding="utf-8-sig"))
        length = sum(len(source) for _, source in cells)
        if length > MOST_CODE:
            raise ValueError(f"{length:,} characters of code; at most {MOST_CODE:,} are looked at")
    except (OSError, ValueError) as error:
        return Submission(student, shown, named, unreadable=plain(f"{shown} cannot be read: {error}"))
    code = "\n".join(source for _, source in cells)
    told = [number for pattern in (_STARTED, _EXERCISES) for number in pattern.findall(code) if number in known]
    return Submission(student, shown, told[0] if told else named, cells)


def _source_of(number: str) -> str:
    """The code of a notebook of the collection; nothing where the notebooks are not at hand."""
    try:
        files = [path for path in selection.collection() if path.name.startswith(number)]
        return "\n".join(source for _, source in code_cells(files[0].read_text(encoding="utf-8"))) if files else ""
    except (selection.Refused, OSError, ValueError):
        return ""
