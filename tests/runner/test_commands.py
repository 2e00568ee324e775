"""The other commands: help at once, params, claims, the self-test's plumbing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dslab.runner import selftest

from . import toys

HEAVY = ("torch", "transformers", "numpy", "matplotlib", "nbformat", "papermill", "IPython", "jinja2")


def test_help_answers_at_once_without_heavy_imports() -> None:
    probe = (
        "import resource, sys\nfrom dslab import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(heavy, used.ru_utime + used.ru_stime)"
    )
    runs = [subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True) for _ in range(5)]
    out = min((run.stdout for run in runs), key=lambda text: float(text.split()[-1]))
    for command in ("run", "params", "lab", "test", "build", "claims", "fetch", "doctor", "bench"):
        assert f"\n  {command} " in out
    assert out.splitlines()[-1].startswith("[] ")
    assert float(out.split()[-1]) < 0.4


def test_params_as_lines_and_as_json(tmp_path: Path) -> None:
    book = toys.write(tmp_path / "toy.ipynb")
    lines = toys.dslab("params", book, cwd=tmp_path).out.splitlines()
    assert len(lines) == 7
    assert lines[3].split(maxsplit=4) == ["window", "int", "4", "[1..64]", "keys a query sees"]
    rows = json.loads(toys.dslab("params", book, "--json", cwd=tmp_path).out)
    assert rows[1] == {
        "name": "device", "type": "str", "default": "auto", "help": "where tensors live", "low": None, "high": None,
        "choices": ["auto", "cpu", "cuda", "mps"],
    }  # fmt: skip


def test_claims_from_saved_outputs_and_from_a_run(house: Path) -> None:
    exact = toys.claim(True, "exact", "01.equal").replace("measured=3.5", "measured=0.25")
    book = toys.write(house / "notebooks" / "01_toy.ipynb", toys.code(toys.SHOW + exact, "claims"))
    empty = toys.dslab("claims", cwd=house)
    assert "not measured" in empty.out, empty.err
    assert toys.dslab("run", book, "--out", "out", cwd=house).code == 0
    for source in ("out", "out/results.json"):
        done = toys.dslab("claims", "--from", source, cwd=house)
        first = [line for line in done.out.splitlines() if line.startswith("01.")]
        lines = {line.split()[0]: line + done.out.split(line)[1].split("01.")[0] for line in first}
        for words in ("The error stays below one.", "us", "true", "<= 1", "0.25", "holds"):
            assert words in lines["01.equal"], done.err
        for words in ("article", "outdated", ">= 2", "not measured"):
            assert words in lines["01.fast"]
    rows = json.loads(toys.dslab("claims", "--from", "out", "--json", cwd=house).out)
    assert [(row["id"], row["measured"], row["holds"]) for row in rows] == [
        ("01.equal", 0.25, True), ("01.fast", None, None),
    ]  # fmt: skip
    absent = toys.dslab("claims", "--from", "nowhere", cwd=house)
    assert absent.code == 2
    assert "--from takes a run's folder" in absent.err


@pytest.mark.parametrize(
    ("given", "there", "absent"),
    [
        ([], ["-m", "not slow", "tests", "dslab", "notebooks", "--nbval-lax"], []),
        (["-x", "-k", "mask"], ["-x", "-k", "mask", "tests", "dslab"], []),
        (["tests/a.py::one"], ["tests/a.py::one"], ["tests", "notebooks", "--nbval-lax"]),
        (["notebooks/01_toy.ipynb"], ["notebooks/01_toy.ipynb", "--nbval-lax"], ["tests", "notebooks"]),
        (["notebooks", "-x"], ["notebooks", "--nbval-lax"], ["tests"]),
        (["-m", "slow"], ["-m", "slow"], ["not slow"]),
        (["-n0"], ["-n0"], ["--dist"]),
    ],
)
def test_extra_arguments_reach_pytest(house: Path, given: list[str], there: list[str], absent: list[str]) -> None:
    toys.write(house / "notebooks" / "01_toy.ipynb")
    (house / "tests").mkdir()
    (house / "tests" / "a.py").touch()
    arguments = selftest.pytest_arguments(house, given)
    assert [word for word in there if word not in arguments] == []
    assert [word for word in absent if word in arguments] == []


def test_selftest_ends_with_pytests_own_line(house: Path) -> None:
    tools = house / "tools"
    tools.mkdir()
    for name, lines, code in (("ruff", "All checks passed!", 0), ("mypy", "Success: no issues", 0),
                              ("pytest", "..F\\n==== 1 failed, 2 passed in 0.01s ====\\nbye", 1)):  # fmt: skip
        (tools / f"{name}.py").write_text(f"import sys\nprint('{lines}')\nsys.exit({code})\n")
    done = toys.dslab("test", "-k", "x", cwd=house, PYTHONPATH=os.pathsep.join([str(tools), str(house)]))
    assert done.code == 1, done.err
    assert done.out.rstrip().splitlines()[-1] == "==== 1 failed, 2 passed in 0.01s ===="
    summary = done.out.split("summary")[1]
    assert [line.split()[:2] for line in summary.splitlines()[2:5]] == [
        ["ruff", "passed"], ["mypy", "passed"], ["pytest", "failed"],
    ]  # fmt: skip
