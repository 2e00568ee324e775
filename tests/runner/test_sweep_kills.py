"""Sweeps killed, interrupted, or out of disk while real kernels run: nothing lost, nothing left, nothing twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas
import psutil
import pytest

from dslab.runner import study as studies
from dslab.runner import sweep_folder

from . import sweeps, toys

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def start(here: Path, *arguments: object) -> subprocess.Popen[str]:
    """Begin a sweep in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "dslab.cli", "sweep", *map(str, arguments)], cwd=here, text=True,
        env=toys.environment(TRACE=str(here / "trace")), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def until(what: Any, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(pids: list[int], seconds: float = 10) -> bool:
    """Whether these processes have ended, each within a moment; those that have not are ended here."""
    there = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(there, timeout=seconds)
    alive = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    for process in alive:
        process.kill()
    return not alive


@posix
@pytest.mark.slow
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_a_sweep_that_is_ended_loses_nothing_and_leaves_no_process(tmp_path: Path, sent: str) -> None:
    """Two points are kept, the third waits with a child of its own when the signal comes; a second sweep is refused."""
    book = sweeps.notebook(tmp_path / "toy.ipynb")
    trace, child = tmp_path / "trace", tmp_path / "trace.child"
    arguments = (book, "-p", "way=good,breaks,waits", "--seeds", 2, "--out", "out")
    process = start(tmp_path, *arguments)
    until(lambda: child.exists() and child.read_text())
    second = toys.dslab("sweep", "--resume", "out", cwd=tmp_path, TRACE=str(trace))
    third = toys.dslab("sweep", *arguments, cwd=tmp_path, TRACE=str(trace))
    for refused in (second, third):
        assert refused.code == 2, refused.out
        assert "another sweep is at work in out" in refused.err
    process.send_signal(getattr(signal, sent))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == (-9 if sent == "SIGKILL" else 130), out
    assert gone(sweeps.kernels(trace))
    assert gone([int(child.read_text())])
    assert sweeps.traces(trace) == ["good 4 0", "breaks 4 0", "waits 4 0"]
    if sent != "SIGKILL":
        assert "1 of 6 points passed, 1 did not, 4 still to run" in out
        assert "interrupted; go on with: dslab sweep --resume out" in out
    assert len(sweeps.check_books(tmp_path / "out")) == 2
    (tmp_path / "trace.go").write_text("")
    done = toys.dslab("sweep", "--resume", "out", "--workers", 2, cwd=tmp_path, TRACE=str(trace))
    assert done.code == 1, done.out + done.err  # the one that breaks
    rows = sweeps.check_books(tmp_path / "out")
    assert [row["status"] for row in rows] == ["passed", "failed", "passed"] * 2
    ran = sweeps.traces(trace)
    assert sorted(ran) == sorted([*(f"{way} 4 {seed}" for seed in (0, 1) for way in ("good", "breaks", "waits")),
                                  "waits 4 0"])  # fmt: skip
    assert gone(sweeps.kernels(trace), 1)
    asked = "-p way=good,breaks,waits --seeds 2 --out out"  # not the command that went on with it
    assert asked in (tmp_path / "out" / "study.toml").read_text("utf-8").splitlines()[0]
    assert asked in (tmp_path / "out" / "report.html").read_text("utf-8")


@posix
@pytest.mark.slow
def test_a_full_disk_for_real(tmp_path: Path) -> None:
    """One megabyte of room: exit 1, a sentence, nothing half-written; with more room --resume ends it."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs root to mount a small tmpfs")
    fill = toys.code("import base64, os\nprint(base64.b64encode(os.urandom(300_000)).decode())", "fills")
    book = sweeps.notebook(tmp_path / "toy.ipynb", fill)
    out = tmp_path / "out"
    out.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs {out} 2>/dev/null"):
        pytest.skip("mounting is not allowed here")
    try:
        trace = str(tmp_path / "trace")
        done = toys.dslab("sweep", book, "--seeds", 4, "--out", "out", cwd=tmp_path, TRACE=trace)
        assert done.code == 1, done.out
        assert "cannot write to out: No space left on device; go on with: dslab sweep --resume out" in done.out
        assert "Traceback" not in done.err
        rows = sweeps.parts(out)
        assert 1 <= len(rows) < 4
        assert not list(out.rglob("*.part"))
        assert set(pandas.read_parquet(out / "results.parquet")["point"]) <= {row["point"] for row in rows}
        assert not os.system(f"mount -o remount,size=100m {out}")
        again = toys.dslab("sweep", "--resume", "out", cwd=tmp_path, TRACE=trace)
        assert again.code == 0, again.out + again.err
        assert len(sweeps.check_books(out)) == 4
        counts = [sweeps.traces(tmp_path / "trace").count(f"good 4 {row['seed']}") for row in rows]
        assert counts == [1] * len(rows), "a finished point is not run again"
    finally:
        os.system(f"umount {out}")


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    folder = sweep_folder.Folder(tmp_path)
    hold = (
        "import sys\nfrom pathlib import Path\nfrom dslab.runner.sweep_folder import Folder\n"
        f"with Folder(Path({str(tmp_path)!r})).held():\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=toys.environment(PYTHONPATH=str(Path(studies.__file__).parents[2])),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert folder.is_held()
    process.kill()
    process.communicate(timeout=10)
    assert not folder.is_held()
