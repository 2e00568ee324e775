"""Submissions made from the real notebooks, and `dslab grade` as a teacher types it."""

from __future__ import annotations

import ast
import csv
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from dslab.book import checks
from dslab.runner import selection

COLLECTION = {path.name[:2]: path for path in selection.collection()}


def exercise(number: str, name: str) -> Any:
    """The real exercise."""
    return getattr(importlib.import_module(f"dslab.exercises.n{number}"), name)


def stub_name(notebook: Any, name: str) -> str:
    """What the notebook's stub for an exercise is called."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return re.search(rf"page\.check\(exercises\.{name}, (\w+)\)", code)[1]


def answered(number: str, answers: Mapping[str, str]) -> Any:
    """The real notebook with stubs replaced by answers (exercise -> code that defines the function)."""
    notebook = nbformat.read(COLLECTION[number], as_version=4)
    for name, code in answers.items():
        function = stub_name(notebook, name)
        cell = next(c for c in notebook.cells if c.cell_type == "code" and f"def {function}(" in c.source)
        node = next(n for n in ast.parse(cell.source).body if getattr(n, "name", "") == function)
        lines = cell.source.splitlines()
        lines[node.lineno - 1 : node.end_lineno] = code.strip("\n").splitlines()
        cell.source = "\n".join(lines)
    return notebook


def solved(number: str, names: list[str]) -> Any:
    """The real notebook with every exercise's own solution filled in."""
    return answered(number, {name: exercise(number, name).solution for name in names})


def add_cell(notebook: Any, source: str, before: str = "check(exercises") -> Any:
    """A code cell more, before the first that holds a text."""
    place = next(i for i, c in enumerate(notebook.cells) if c.cell_type == "code" and before in c.source)
    notebook.cells.insert(place, new_code_cell(source))
    return notebook


def bare(*sources: str) -> Any:
    """A notebook of these code cells alone."""
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def hand_in(folder: Path, file: str, notebook: Any) -> None:
    """Put a notebook, or a text, where a student would."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook if isinstance(notebook, str) else nbformat.writes(notebook), encoding="utf-8")


def page_says(number: str, name: str, cell: str) -> tuple[str, str]:
    """What `page.check` in a cell judges, run as the kernel would run the whole cell."""
    heard = []

    class Page:
        task = staticmethod(lambda _: None)
        check = staticmethod(lambda exercise, answer: heard.append(checks.judge(exercise, answer)))

    checks.linecache.cache["<cell>"] = (len(cell), None, cell.splitlines(keepends=True), "<cell>")
    cell_code = compile(cell, "<cell>", "exec", dont_inherit=True)
    exercises = importlib.import_module(f"dslab.exercises.n{number}")
    space = {"page": Page, "exercises": exercises}
    if number != "00":
        space["torch"] = importlib.import_module("torch")
    exec(cell_code, space)
    return heard[-1]


def grade(folder: Path, out: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line."""
    command = [sys.executable, "-m", "dslab.cli", "grade", str(folder), "--out", str(out), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)


def rows(out: Path) -> list[dict[str, str]]:
    """The table."""
    with (out / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def by_student(out: Path, name: str) -> dict[str, dict[str, str]]:
    """The rows of one exercise."""
    return {row["student"]: row for row in rows(out) if row["exercise"] == name}
