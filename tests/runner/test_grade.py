"""`dslab grade` on a class that gets things right, wrong and out of hand; notebook 00, which needs no torch."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import psutil
import pytest

import dslab.runner.grade as command
from dslab.runner import grade_report
from dslab.runner.grade_pool import Graded, GradingFailed

from . import grade_class
from .grade_class import add_cell, answered, bare, by_student, grade, hand_in, rows

NAME = "score_bytes"
DEF = "def score_bytes(B, H, L, dtype):\n    "
RIGHT = (
    'import math\n\ndef score_bytes(B, H, L, dtype):\n    return math.prod((B, H, L, L, 4 if dtype == "fp32" else 2))'
)
LINEAR = DEF + 'return B * H * L * {"fp32": 4}.get(dtype, 2)'
RAISES = DEF + "return sizes[dtype]"
# what the answer does -> (its code, state it gets, part of what it is told)
ACTS = {
    "right": (RIGHT, "right", ""),
    "linear": (LINEAR, "wrong", "L x L"),
    "raises": (RAISES, "wrong", "NameError in line 2 of your code, `return sizes[dtype]`: name 'sizes' is not defined"),
    "todo": (DEF + "...", "todo", ""),
    "hangs": (DEF + "while True: pass", "timeout", "did not finish within 3 s"),
    "floods": (DEF + "while True: print('x' * 10_000)", "timeout", "did not finish"),
    "leaves": (DEF + "import os; os._exit(0)", "exited", "os._exit"),
    "exits": (DEF + "import sys; sys.exit(5)", "exited", "sys.exit"),
    "quits": (DEF + "raise KeyboardInterrupt", "wrong", "KeyboardInterrupt"),
    "crashes": (DEF + "import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
    "kills": (DEF + "import os; os.kill(os.getpid(), 9)", "crashed", "SIGKILL"),
    "patricide": (DEF + "import os, time; os.kill(os.getppid(), 9); time.sleep(9)", "crashed", "SIGKILL"),
    "hogs": (DEF + "x = []\n    while True: x.append(bytearray(10_000_000))", "memory", "0.3 GB"),
    "grabs": (DEF + "return bytearray(3 << 30)", "memory", "MemoryError in line 2"),
    "spreads": (
        DEF + "import subprocess\n    for _ in range(60): subprocess.Popen(['sleep', '71.25'])\n    while True: pass",
        "crashed", "more than 32 processes",
    ),
    "forks": (DEF + "import os; os.fork(); return 1", "wrong", "should be"),
    "asks": (DEF + "return len(input())", "wrong", "EOFError"),
    "calls": (DEF + "import socket\n    socket.create_connection(('1.1.1.1', 53), 1)", "wrong", "OSError in line 3"),
    "resolves": (DEF + "import socket\n    return socket.getaddrinfo('example.org', 80)", "wrong", "in line 3"),
    "recurses": (DEF + "return score_bytes(B, H, L, dtype)", "wrong", "RecursionError"),
    "misspelt": ("def score_bytes(B, H, L, dtype)\n    return 1", "wrong", "SyntaxError in line 1 of the cell"),
}  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of grades of a class in which every student does one thing; about ten seconds."""
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("grades")
    for who, (code, _, _) in ACTS.items():
        hand_in(folder, f"{who}.ipynb", answered("00", {NAME: code}))
    hand_in(folder, "Zoë 王/00_start_here.ipynb", answered("00", {NAME: RIGHT}))
    hand_in(folder, "<i>eve/00_start_here.ipynb", answered("00", {NAME: RIGHT}))
    hand_in(folder, "=cmd/deep/er/00_start_here.ipynb", answered("00", {NAME: LINEAR}))
    unchecked = answered("00", {NAME: RIGHT})
    unchecked.cells = [cell for cell in unchecked.cells if "page.check(" not in cell.source]
    hand_in(folder, "unchecked.ipynb", unchecked)
    hand_in(folder, "elsewhere.ipynb", add_cell(answered("00", {NAME: RIGHT}), "for each in (1, 2\n    print(each)"))
    hand_in(folder, "torn/00_start_here.ipynb", '{"cells": [{"cell_type": "code", "sou')
    hand_in(folder, "other/shopping.ipynb", bare("print('milk')"))
    hand_in(folder, "twice/00_a.ipynb", answered("00", {NAME: LINEAR}))
    hand_in(folder, "twice/00_b.ipynb", answered("00", {NAME: RIGHT}))
    hand_in(folder, "twice/.ipynb_checkpoints/00_b-checkpoint.ipynb", answered("00", {NAME: LINEAR}))
    began = time.monotonic()
    ran = grade(folder, out, "--timeout", "3", "--memory", "0.3", "--workers", "2")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    (out / "said.txt").write_text(ran.stdout, encoding="utf-8")
    assert time.monotonic() - began < 90  # on a busy machine; alone it takes eight seconds
    return out


@pytest.mark.parametrize("who", ACTS)
def test_each_pays_for_itself_alone(graded: Path, who: str) -> None:
    row = by_student(graded, NAME)[who]
    _, state, told = ACTS[who]
    assert (row["state"], row["passed"]) == (state, str(state == "right").lower()), row
    assert told in row["diagnosis"]
    assert (row["notebook"], row["file"]) == ("00", f"{who}.ipynb")
    assert float(row["seconds"]) < 6


def test_diagnosis_is_what_the_page_says(graded: Path) -> None:
    found = by_student(graded, NAME)
    for who in ("right", "linear", "raises"):
        cell = ACTS[who][0] + "\npage.check(exercises.score_bytes, score_bytes)"
        assert (found[who]["state"], found[who]["diagnosis"]) == grade_class.page_says("00", NAME, cell)


def test_files_of_all_kinds(graded: Path) -> None:
    found = by_student(graded, NAME)
    states = {who: row["state"] for who, row in found.items() if who not in ACTS}
    assert states == {
        "Zoë 王": "right", "'=cmd": "wrong", "unchecked": "missing", "elsewhere": "right", "torn": "unreadable",
        "other": "missing", "twice": "right", "<i>eve": "right",
    }  # fmt: skip
    assert "page.check(exercises.score_bytes" in found["unchecked"]["diagnosis"]
    assert "cannot be read: not a notebook in format 4" in found["torn"]["diagnosis"]
    assert found["other"]["diagnosis"] == "No notebook 00 was handed in."
    assert found["twice"]["file"] == "twice/00_b.ipynb"
    assert len(rows(graded)) == len(ACTS) + 8


def test_what_the_terminal_says(graded: Path) -> None:
    said = (graded / "said.txt").read_text(encoding="utf-8")
    assert "passed over: other/shopping.ipynb is no notebook of this collection" in said
    assert "twice handed 00 in 2 times; for each exercise the best counts" in said
    assert "torn/00_start_here.ipynb cannot be read" in said
    assert re.search(r"^Zoë 王 +1", said, re.MULTILINE)


def test_page_stands_alone_and_tells_the_teacher(graded: Path) -> None:
    page = (graded / "grades.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "prefers-color-scheme: dark" in page
    assert "You count L numbers a head" in page
    assert re.search(r"2 ×</td><td><span class=\"told\">You count L numbers a head.*?linear", page, re.DOTALL)
    assert "It does not guard against a student who attacks the checker" in page
    assert any(words in page for words in grade_report.FENCES.values())
    assert "Zoë 王" in page
    assert "&lt;i&gt;eve" in page
    assert "<i>eve" not in page


def test_nothing_is_left_running(graded: Path) -> None:
    assert not [p.pid for p in psutil.process_iter(["cmdline"]) if "71.25" in (p.info["cmdline"] or [])]


def test_refusals(tmp_path: Path) -> None:
    def refused(folder: Path, out: str, why: str) -> None:
        ran = grade(folder, tmp_path / out)
        assert ran.returncode == 2, ran
        assert why in ran.stderr
        assert "Traceback" not in ran.stderr

    refused(tmp_path / "nowhere", "a", "no folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "a", "no notebooks (*.ipynb)")
    hand_in(tmp_path / "shop", "bob.ipynb", bare("print('milk')"))
    refused(tmp_path / "shop", "a", "1 notebooks, none of this collection")
    hand_in(tmp_path / "class", "bob.ipynb", answered("03", {}))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "grades.csv").write_text("kept")
    refused(tmp_path / "class", "full", "is not an empty folder")
    assert (tmp_path / "full" / "grades.csv").read_text() == "kept"
    assert not (tmp_path / "a").exists()


def test_a_notebook_known_by_its_exercises_or_its_name(tmp_path: Path) -> None:
    from dslab.runner import grade_submissions as submissions

    texts = {
        "started": ['page.start("03", globals())'],
        "imports": ["from dslab.exercises import n04 as exercises"],
        "direct": ["from dslab.exercises.n02.tiles import exercise"],
        "anna_05_final": ["x = 1"],
        "05_but_is": ["from dslab.exercises import n01 as exercises"],
        "unknown_77": ["page.start('77', globals())"],
    }
    for name, sources in texts.items():
        hand_in(tmp_path, f"{name}.ipynb", bare(*sources))
    found = {one.student: one.notebook for one in submissions.find(tmp_path)}
    assert found == {
        "started": "03", "imports": "04", "direct": "02", "anna_05_final": "05", "05_but_is": "01", "unknown_77": None,
    }  # fmt: skip


def test_texts_that_no_file_can_hold() -> None:
    from dslab.runner.grade_submissions import code_cells

    with pytest.raises(ValueError, match="format 4"):
        code_cells(json.dumps({"worksheets": []}))
    assert code_cells(json.dumps({"cells": [{"cell_type": "code", "source": ["a\n", "b"]}]})) == (("0", "a\nb"),)


def test_what_was_graded_stays_when_grading_itself_fails(tmp_path: Path, monkeypatch, capsys) -> None:
    hand_in(tmp_path / "class", "anna.ipynb", answered("03", {}))

    def breaks(submissions, exercises, limits, workers, tell):
        tell(Graded(submissions[0], exercises["03"][0], "right", "Right.", 0.1, "hook"))
        raise GradingFailed("no space left")

    monkeypatch.setattr(command, "grade_all", breaks)
    assert command.grade(tmp_path / "class", out=str(tmp_path / "out"), timeout=9, memory=1, workers=1) == 1
    states = [row["state"] for row in rows(tmp_path / "out")]
    assert states[0] == "right"
    assert set(states[1:]) == {"ungraded"}
    assert "no space left" in capsys.readouterr().err
