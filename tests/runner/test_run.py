"""`dslab run`: what ended how, and that it is said."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from . import toys

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
Mixed = tuple[toys.Done, Path, Path]


def record(mixed: Mixed, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in toys.results(mixed[1])["notebooks"] if row["notebook"] == name)
    return found


def test_one_failure_fails_the_run(mixed: Mixed) -> None:
    assert mixed[0].code == 1
    assert toys.results(mixed[1])["exit_code"] == 1


@pytest.mark.parametrize(
    ("name", "status"),
    [("good", "passed"), ("breaks", "failed"), ("hangs", "timeout"), ("dies", "died"), ("claims", "passed"),
     ("greedy", "passed"), ("shows", "passed")],
)  # fmt: skip
def test_each_notebook_ends_as_it_did(mixed: Mixed, name: str, status: str) -> None:
    assert record(mixed, name)["status"] == status, mixed[0].out


@pytest.mark.parametrize(
    ("name", "cell", "message"),
    [("breaks", "divides", "ZeroDivisionError: division by zero"), ("hangs", "spins", "CellTimeout.*longer than 8 s"),
     ("dies", "exits", "KernelDied.*exit code 7")],
)  # fmt: skip
def test_failing_cell_message_and_partial_notebook_come_last(mixed: Mixed, name: str, cell: str, message: str) -> None:
    tail = mixed[0].out.split("report: ")[1]
    partial = re.escape(str(mixed[1] / f"{name}.ipynb"))
    assert re.search(rf"{name}: .* at cell \[\d+\] {cell}\n  {message}.*\n  partial notebook: {partial}", tail), tail


@pytest.mark.parametrize(("name", "kept"), [("breaks", "before\n"), ("hangs", "so far\n")])
def test_partial_notebook_keeps_what_ran_and_stops_there(mixed: Mixed, name: str, kept: str) -> None:
    partial = json.loads((mixed[1] / f"{name}.ipynb").read_text())
    cells = {cell["id"]: cell for cell in partial["cells"]}
    assert cells["before"]["outputs"][0]["text"] == [kept]
    assert cells["after"]["outputs"] == []
    assert cells["after"]["metadata"]["papermill"]["status"] == "pending"
    assert not (mixed[2] / "after").exists()


def test_children_of_a_dead_kernel_are_ended(mixed: Mixed) -> None:
    assert not alive(int((mixed[2] / "pid").read_text()))


def test_claims_fail_a_run_though_every_cell_ran(mixed: Mixed) -> None:
    tail = mixed[0].out.split("report: ")[1]
    assert "claims: claim t.equal failed: measured 3.5, bound <= 1" in tail
    assert "t.fast failed" not in tail
    assert "t.open failed" not in tail


def test_an_expected_exception_is_no_failure(mixed: Mixed) -> None:
    executed = (mixed[1] / "shows.ipynb").read_text()
    assert "ZeroDivisionError" in executed
    assert "papermill-error-cell" not in executed


def test_peak_memory_counts_the_kernels_children(mixed: Mixed) -> None:
    assert 300e6 < record(mixed, "greedy")["peak_bytes"] < 600e6
    assert 20e6 < record(mixed, "good")["peak_bytes"] < 200e6


def test_results_hold_what_the_notebook_reported(mixed: Mixed) -> None:
    good = record(mixed, "good")
    assert good["title"] == "A good one"
    assert good["metrics"] == [{"name": "twice", "value": 8, "unit": "keys"}]
    assert {key: good["claims"][0][key] for key in ("id", "measured", "bound", "holds")} == {
        "id": "t.equal", "measured": 3.5, "bound": "<= 1", "holds": True,
    }  # fmt: skip
    assert good["figures"] == [{"name": "dot", "alt": "one dot", "takeaway": "A dot is enough."}]
    assert good["parameters"]["window"] == 4
    assert good["seconds"] > 0


def test_page_stands_alone_and_says_it_in_words(mixed: Mixed) -> None:
    page = (mixed[1] / "index.html").read_text()
    assert "3 of 7 notebooks did not finish: breaks, hangs, dies" in page
    assert 'alt="one dot"' in page
    assert "A dot is enough." in page
    for word in ("holds", "fails", "missed here", "not judged", "a claim failed", "the kernel died"):
        assert f">{word}</span>" in page
    links = set(re.findall(r'(?:href|src)="(?!#|data:)([^"]+)"', page))
    assert links
    assert all((mixed[1] / link).is_file() for link in links), links


def test_executed_notebook_shows_its_figure_as_html(mixed: Mixed) -> None:
    page = (mixed[1] / "good.html").read_text()
    assert "data:image/png;base64" in page


def test_strict_fails_on_measured_claims_and_null_never_does(tmp_path: Path) -> None:
    show = toys.code(toys.SHOW, "set-up")
    cells = [show, toys.code(toys.claim(False, "measured", "t.fast"), "slow"), toys.code(toys.claim(None), "open")]
    book = toys.write(tmp_path / "measured.ipynb", *cells)
    lax = toys.dslab("run", book, "--out", "lax", cwd=tmp_path)
    strict = toys.dslab("run", book, "--out", "strict", "--strict", cwd=tmp_path)
    assert (lax.code, strict.code) == (0, 1), lax.out + strict.out
    assert "claim t.fast failed" in strict.out
    assert "t.equal failed" not in strict.out


def test_own_notebook_gets_values_this_interpreter_and_its_share_of_threads(tmp_path: Path) -> None:
    decoy = tmp_path / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    (decoy / "kernel.json").write_text('{"argv": ["/bin/false", "{connection_file}"], "display_name": "decoy"}')
    seen = (
        "import json, os, sys\n"
        "keys = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'DSLAB_HEADLESS')\n"
        "seen = [sys.executable, os.getcwd(), {key: os.environ[key] for key in keys}, alpha, name]\n"
        "open('seen.json', 'w').write(json.dumps(seen))"
    )
    book = toys.write(tmp_path / "own {braces}.ipynb", toys.code(seen, "sees"), parameters="alpha = 0.1\nname = 'x'\n")
    done = toys.dslab("run", book, "-p", "alpha=2", "-p", "name=a=b c", "--out", "out", "-j", 99, cwd=tmp_path,
                      JUPYTER_PATH=str(tmp_path / "jupyter"))  # fmt: skip
    assert done.code == 0, done.out
    variables = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DSLAB_HEADLESS": "1"}
    assert json.loads((tmp_path / "seen.json").read_text()) == [
        sys.executable, str(tmp_path), variables, 2.0, "a=b c",
    ]  # fmt: skip
    assert toys.results(tmp_path / "out")["notebooks"][0]["given"] == {"alpha": 2.0, "name": "a=b c"}
    again = toys.dslab("run", book, "--out", "out", cwd=tmp_path)
    assert again.code == 2
    assert "no earlier run is lost" in again.err


def start_spinning(here: Path, *more: Path) -> tuple[subprocess.Popen[str], int]:
    """A run whose notebook spins, once its kernel is at it. Returns the command's process and the kernel's id."""
    spin = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\nwhile True:\n    time.sleep(0.1)"
    book = toys.write(here / "long.ipynb", toys.code("print('kept')", "first"), toys.code(spin, "spins"))
    process = subprocess.Popen(
        [sys.executable, "-m", "dslab.cli", "run", str(book), *map(str, more), "--out", "out"], cwd=here,
        env=toys.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    pid = here / "pid"
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process, int(pid.read_text())


@posix
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_interrupt_ends_the_children_and_keeps_the_partial_notebook(tmp_path: Path, sent: str) -> None:
    process, kernel = start_spinning(tmp_path, toys.write(tmp_path / "never.ipynb", *toys.GOOD))
    process.send_signal(getattr(signal, sent))
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130, out
    assert not alive(kernel)
    partial = json.loads((tmp_path / "out" / "long.ipynb").read_text())
    assert next(cell for cell in partial["cells"] if cell["id"] == "first")["outputs"][0]["text"] == ["kept\n"]
    found = toys.results(tmp_path / "out")
    assert found["interrupted"]
    assert found["exit_code"] == 130
    assert [row["status"] for row in found["notebooks"]] == ["interrupted", "not run"]
    assert "long: interrupted at spins" in out
    assert "never: not run" in out


@posix
def test_no_kernel_outlives_a_killed_run(tmp_path: Path) -> None:
    process, kernel = start_spinning(tmp_path)
    process.kill()
    process.communicate(timeout=20)
    assert not alive(kernel)


@posix
def test_lost_worker_is_reported(tmp_path: Path) -> None:
    kill = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nimport time; time.sleep(30)"
    book = toys.write(tmp_path / "kills.ipynb", toys.code(kill, "kills"))
    done = toys.dslab("run", book, "--out", "out", cwd=tmp_path)
    assert done.code == 1
    assert "kills: the kernel died at kills" in done.out
    assert "ended with code -9" in done.out


def alive(pid: int) -> bool:
    """Whether a process runs, zombies apart; it gets a moment to go."""
    for _ in range(40):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.1)
    os.kill(pid, signal.SIGTERM)
    return True
