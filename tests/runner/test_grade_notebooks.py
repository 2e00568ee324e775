"""Every exercise of the real notebooks: right with its solution filled in, to do as it stands in the collection."""

from __future__ import annotations

import ast
import shutil
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from dslab.runner import grade_slice, grade_submissions

from . import grade_class
from .grade_class import COLLECTION, add_cell, answered, by_student, grade, hand_in, rows, solved

pytestmark = pytest.mark.slow

# (notebook, exercise): a plausible wrong answer, and what is said about it
WRONG = {
    ("01", "window"): (
        "def my_window(length, window):\n    p = torch.arange(length)\n    d = p[:, None] - p[None, :]\n"
        "    return (d >= 0) & (d <= window)",
        "one key too many",
    ),
    ("03", "boundaries"): (
        "def find_mobiles(text):\n    return re.findall(r'1[3-9][0-9]{9}', text)",
        "",
    ),
    ("04", "forward"): (
        "def my_forward(x, weight, A, B, alpha):\n    return x @ weight.detach().T + x @ A.T @ B.T",
        "The scale is missing",
    ),
}


@pytest.fixture(scope="module", params=["forks", "no forks"])
def graded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grades of `solver`, who solved everything, `beginner`, who did nothing, and `wrong`, who made mistakes."""
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("grades")
    known = grade_submissions.exercises()
    assert set(known) == set(COLLECTION), "a notebook without exercises, or exercises without a notebook"
    for number, names in known.items():
        hand_in(folder, f"solver/{COLLECTION[number].name}", solved(number, names))
        (folder / "beginner").mkdir(exist_ok=True)
        shutil.copy(COLLECTION[number], folder / "beginner")
    for number, name in WRONG:
        hand_in(folder, f"wrong/{number}_mine.ipynb", answered(number, {name: WRONG[number, name][0]}))
    ran = grade(folder, out, DSLAB_GRADE_FORKS="1" if request.param == "forks" else "0")
    assert ran.returncode == 0, ran.stderr
    return out


def test_solutions_are_right(graded: Path) -> None:
    bad = [(row["notebook"], row["exercise"], row["state"], row["diagnosis"]) for row in rows(graded)
           if row["student"] == "solver" and row["state"] != "right"]  # fmt: skip
    assert not bad


def test_the_collection_as_it_is_is_to_do(graded: Path) -> None:
    bad = [(row["notebook"], row["exercise"], row["state"], row["diagnosis"]) for row in rows(graded)
           if row["student"] == "beginner" and row["state"] != "todo"]  # fmt: skip
    assert not bad


def test_every_student_has_every_row(graded: Path) -> None:
    total = sum(map(len, grade_submissions.exercises().values()))
    assert Counter(row["student"] for row in rows(graded)) == {"solver": total, "beginner": total, "wrong": total}


@pytest.mark.parametrize("number", COLLECTION)
def test_no_answer_loads_a_model(number: str) -> None:
    """Solved or not, an exercise needs its function, imports and their settings, no other line of the notebook."""
    for notebook in (answered(number, {}), solved(number, grade_submissions.exercises()[number])):
        book = grade_slice.read(grade_submissions.code_cells(nbformat.writes(notebook)))
        for check in grade_slice.checks(book).values():
            nodes = [step.node for step in grade_slice.needed(book, check)]
            assert nodes
            plain = ("torch.set_num_threads(1)", "torch.set_grad_enabled(False)")  # settings of a library that is used
            nodes = [node for node in nodes if ast.unparse(node) not in plain]
            assert all(isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom) for node in nodes), check


@pytest.mark.parametrize(("number", "name"), WRONG)
def test_wrong_answers_hear_what_the_page_says(graded: Path, number: str, name: str) -> None:
    row = next(row for row in rows(graded) if (row["student"], row["exercise"]) == ("wrong", name))
    code, says = WRONG[number, name]
    function = code.split("(")[0].removeprefix("def ")
    cell = f"{'import re' if number == '03' else ''}\n{code}\npage.check(exercises.{name}, {function})"
    assert (row["state"], row["diagnosis"]) == grade_class.page_says(number, name, cell)
    assert row["state"] == "wrong"
    assert says in row["diagnosis"]


def test_accidents_cost_their_own_row(tmp_path: Path) -> None:
    """In one notebook, each exercise but the last does something bad; in torch, too."""
    acts = {
        "window": "def my_window(length, window):\n    while True: torch.ones(9).sum()",
        "attend": "def my_attention(q, k, v, mask):\n    import ctypes; ctypes.string_at(0)",
        "classify": "def my_classify(q0, q1, k0, k1, window):\n    return torch.ones(40, 1 << 28)",
        "reach": "def my_layers_needed(query, key, window):\n    import os; os._exit(0)",
        "select": grade_class.exercise("01", "select").solution,
    }
    spoiler = 'import builtins\nbuiltins.len = None\nraise RuntimeError("no answer needs this cell")'
    hand_in(tmp_path / "class", "ann.ipynb", add_cell(answered("01", acts), spoiler, before="exercises.window"))
    hand_in(tmp_path / "class", "bob.ipynb", solved("01", list(acts)))
    states = ["timeout", "crashed", "memory", "exited", "right"]
    for forks in ("1", "0"):
        ran = grade(tmp_path / "class", tmp_path / forks, "--timeout", "4", "--workers", "1", DSLAB_GRADE_FORKS=forks)
        assert ran.returncode == 0, ran.stderr
        assert [row["state"] for row in rows(tmp_path / forks)] == [*states, *["right"] * 5], rows(tmp_path / forks)


def test_page_object_and_parameters_are_there(tmp_path: Path) -> None:
    """An answer may use what `page.start` sets up, and the notebook's parameters."""
    code = grade_class.exercise("01", "window").solution.replace(
        "def my_window",
        "assert page.device == 'cpu' and page.pick(smoke=1, quick=2, full=3) == 2 and seed == 0\n\ndef my_window",
    )
    hand_in(tmp_path / "class", "ann.ipynb", answered("01", {"window": code}))
    assert grade(tmp_path / "class", tmp_path / "out").returncode == 0
    row = by_student(tmp_path / "out", "window")["ann"]
    assert row["state"] == "right", row
