"""A Dask cluster of real processes on this machine, and sweeps that are sent there as a user does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas
import psutil

from . import toys

QUIET = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--host", "127.0.0.1"]


def slow_toy(path: Path, seconds: float = 1.5) -> Path:
    """A notebook that takes a while, leaves a line in `starts` beside it, and shows a metric."""
    begin = f"import os, time\nwith open({str(path.parent / 'starts')!r}, 'a') as log:\n    print(window, file=log)"
    return toys.write(
        path, toys.code(toys.SHOW, "set-up"), toys.code(begin, "begin"), toys.code(f"time.sleep({seconds})", "sleep"),
        toys.code("show('metric', name='twice', value=window * 2, unit='keys')", "metric"),
    )  # fmt: skip


def wait_until(true: Callable[[], Any], seconds: float = 90, what: str = "it") -> None:
    """Wait for a condition; fail where it does not come."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.1)


@dataclass
class Machines:
    """Scheduler and workers, each a process of its own with the package of `house`; ended at the end of a test."""

    folder: Path
    house: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    address: str = ""

    def environment(self, house: Path | None = None) -> dict[str, str]:
        """Of every process here: the house's package, whose version no commit of a neighbour changes."""
        return toys.environment(PYTHONPATH=str(house or self.house))

    def start(self, module: str, *arguments: object, house: Path | None = None) -> subprocess.Popen[bytes]:
        """A process, its output in a file of the folder."""
        number = len(self.processes)
        with open(self.folder / f"{number}-{module.rsplit('.', 1)[-1]}.log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)], cwd=self.folder, stdout=log, stderr=log,
                env=self.environment(house), start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def scheduler(self) -> subprocess.Popen[bytes]:
        """A new scheduler on a free port; `address` is then its."""
        file = self.folder / f"scheduler-{len(self.processes)}.json"
        process = self.start("distributed.cli.dask_scheduler", "--port", 0, "--scheduler-file", file, *QUIET)
        wait_until(lambda: file.exists() and file.read_text().endswith("}"), what="a scheduler")
        self.address = json.loads(file.read_text())["address"]
        return process

    def worker(self, house: Path | None = None) -> subprocess.Popen[bytes]:
        """A nanny with a worker of one thread."""
        here = self.folder / f"worker-{len(self.processes)}"
        return self.start(
            "distributed.cli.dask_worker", self.address, "--nthreads", 1, "--local-directory", here, *QUIET,
            house=house,
        )  # fmt: skip

    def sweep(self, *arguments: object) -> subprocess.Popen[bytes]:
        """`dslab sweep …`, going on by itself."""
        return self.start("dslab.cli", "sweep", *arguments)

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has printed so far."""
        [log] = self.folder.glob(f"{self.processes.index(process)}-*.log")
        return log.read_text()

    def ended(self, process: subprocess.Popen[bytes], seconds: float = 120) -> int:
        """The exit code of a process, which must end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(seconds)
        raise AssertionError(f"still running after {seconds} s:\n{self.said(process)}")

    def stop(self) -> None:
        """End all that is left, by its id."""
        for process in self.processes:
            family = family_of(process.pid)
            for member in family:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            process.wait()


@contextlib.contextmanager
def machines(folder: Path, house: Path) -> Iterator[Machines]:
    """Machines for one test."""
    folder.mkdir()
    found = Machines(folder, house)
    try:
        yield found
    finally:
        found.stop()


def family_of(pid: int) -> list[psutil.Process]:
    """A process and all under it, the process first; none where it is gone."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def inner(nanny: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker process under a nanny, and its own family: dslab's worker and the kernel, while a point runs."""
    for child in psutil.Process(nanny.pid).children():
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                return family_of(child.pid)
    return []


def is_busy(nanny: subprocess.Popen[bytes]) -> bool:
    """Whether a kernel runs under this worker."""
    return len(inner(nanny)) >= 3


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    found = []
    for member in family:
        with contextlib.suppress(psutil.Error):
            if member.is_running() and member.status() != psutil.STATUS_ZOMBIE:
                found.append(member)
    return found


def kill(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    """kill -9."""
    os.kill(process.pid, signal.SIGKILL)


def parts(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows that are there, by point."""
    rows = [json.loads(path.read_text()) for path in folder.glob("points/*/row.json")]
    assert len({row["point"] for row in rows}) == len(rows), "a point stands twice in the folder"
    return {row["point"]: row for row in rows}


def table(folder: Path) -> pandas.DataFrame:
    """results.parquet, which must be the sum of its parts: each point once, the same values; and results.csv too."""
    whole = pandas.read_parquet(folder / "results.parquet")
    rows = parts(folder)
    assert sorted(whole["point"]) == sorted(rows)
    for row in whole.to_dict("records"):
        part = rows[row["point"]]
        assert {name: row[name] for name in ("index", "status", "param.window")} == {
            name: part[name] for name in ("index", "status", "param.window")
        }
        if row["status"] == "passed":
            assert row["metric.twice"] == part["metric.twice"] == 2 * row["param.window"]
    assert sorted(pandas.read_csv(folder / "results.csv")["point"]) == sorted(rows)
    return whole


def other_house(house: Path, to: Path) -> Path:
    """The same package in another version."""
    shutil.copytree(house, to)
    file = to / "dslab" / "__init__.py"
    text = file.read_text()
    assert '__version__ = "' in text
    file.write_text(text.replace('__version__ = "', '__version__ = "9.'))
    return to
