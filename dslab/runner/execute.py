"""Run notebooks, each in a worker process of its own, and follow them: one thread a worker, one display for all."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from dslab import paths

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
GRACE_SECONDS = 150  # beyond a cell's own timeout: kernel start, saving; then the worker itself is ended


@dataclass(frozen=True)
class Task:
    """One notebook to run: where it is, where its executed copy goes, the values to inject, seconds a cell may take."""

    notebook: Path
    out: Path
    values: dict[str, Any] = field(default_factory=dict)
    html: Path | None = None
    timeout: float = 600
    cwd: Path | None = None  # where the kernel starts; default: beside the notebook


@dataclass
class Outcome:
    """How a task ended. status: passed, failed, timeout, died, interrupted, or not run."""

    task: Task
    status: str = "not run"
    error: dict[str, Any] | None = None
    seconds: float = 0.0
    peak_bytes: int = 0
    cells: int = 0
    cells_started: int = 0


class Display(Protocol):
    """What follows a run: told of every event of every task."""

    def event(self, index: int, outcome: Outcome, event: dict[str, Any]) -> None:
        """One event of task `index`; `outcome` holds its state after it."""


def cores() -> int:
    """Cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_each(jobs: int) -> int:
    """Threads for each of `jobs` notebooks, within what OMP_NUM_THREADS already allows."""
    share = max(1, cores() // jobs)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(allowed)) if allowed.isdigit() and int(allowed) > 0 else share


def run_all(
    tasks: Sequence[Task], jobs: int, display: Display, *,
    threads: int | None = None, cancel: threading.Event | None = None,
) -> tuple[list[Outcome], bool]:  # fmt: skip
    """Run the tasks, `jobs` at a time, in order. Returns their outcomes and whether the user interrupted.

    On Ctrl-C every child process is ended; what was executed so far stays on disk.
    threads: of each notebook; default: its share of the cores.
    cancel:  set by another thread, it is what Ctrl-C is to the main one.
    """
    outcomes = [Outcome(task) for task in tasks]
    events: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    waiting, running = list(range(len(tasks))), dict[int, _Worker]()
    try:
        while waiting or running:
            if cancel and cancel.is_set():
                raise KeyboardInterrupt
            while waiting and len(running) < jobs:
                index = waiting.pop(0)
                running[index] = _Worker(index, tasks[index], threads or threads_each(jobs), events)
            try:
                index, event = events.get(timeout=0.2)
            except queue.Empty:
                for worker in running.values():
                    worker.end_if_overdue()
                continue
            _record(outcomes[index], event, running[index])
            display.event(index, outcomes[index], event)
            if event["event"] == "end":
                running.pop(index).close()
    except KeyboardInterrupt:
        for index, worker in running.items():
            worker.close(at_once=True)
            outcomes[index].status = "interrupted"
            outcomes[index].seconds = time.monotonic() - worker.started
            outcomes[index].error = _told("Interrupted", "interrupted by the user", worker.label)
            display.event(index, outcomes[index], {"event": "end"})
        return outcomes, True
    finally:
        for worker in running.values():
            worker.close(at_once=True)
    return outcomes, False


def _record(outcome: Outcome, event: dict[str, Any], worker: _Worker) -> None:
    worker.heard = time.monotonic()
    if event["event"] == "start":
        outcome.status, outcome.cells = "running", event["cells"]
    elif event["event"] == "cell" and event["number"]:
        outcome.cells_started, worker.label = event["number"], event["label"]
    elif event["event"] == "end":
        outcome.status, outcome.error = event["status"], event["error"]
        outcome.seconds, outcome.peak_bytes = event["seconds"], event["peak_bytes"]


def _told(name: str, message: str, label: str) -> dict[str, Any]:
    return {"cell": None, "id": label, "name": name, "message": message, "source": ""}


class _Worker:
    """A child process, the thread that reads its events, and its private runtime folder."""

    def __init__(self, index: int, task: Task, threads: int, events: queue.Queue[tuple[int, dict[str, Any]]]) -> None:
        self.index, self.task, self.events = index, task, events
        self.started = self.heard = time.monotonic()
        self.label = ""
        self.overdue = False
        self.folder = tempfile.TemporaryDirectory(prefix="dslab-", ignore_cleanup_errors=True)
        self.log = task.out.with_suffix(".log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dslab.runner.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=self._environment(threads),
                **own_group(),
            )  # fmt: skip
        sent = {
            "notebook": str(task.notebook), "out": str(task.out), "values": task.values, "timeout": task.timeout,
            "html": str(task.html) if task.html else None, "cwd": str(task.cwd or task.notebook.parent),
        }  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(sent).encode() + b"\n")
        self.process.stdin.flush()  # and left open: the worker ends when it closes
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _environment(self, threads: int) -> dict[str, str]:
        environment = dict(os.environ, DSLAB_HEADLESS="1", PYTHONUNBUFFERED="1", PYDEVD_DISABLE_FILE_VALIDATION="1")
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        # A user's IPython profile and other kernels' files are no part of a run.
        environment |= {
            "JUPYTER_RUNTIME_DIR": self.folder.name,
            "IPYTHONDIR": os.path.join(self.folder.name, "ipython"),
        }
        root = paths.checkout()
        if root:  # the kernel imports the same dslab as this process
            earlier = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join([str(root), *([earlier] if earlier else [])])
        return environment

    def _read(self) -> None:
        assert self.process.stdout is not None
        ended = False
        for line in self.process.stdout:
            event = json.loads(line)
            ended = ended or event["event"] == "end"
            self.events.put((self.index, event))
        if not ended:
            self.process.wait()
            self.events.put((self.index, self._lost()))

    def _lost(self) -> dict[str, Any]:
        seconds = time.monotonic() - self.started
        if self.overdue:
            error = _told("CellTimeout", f"no sign of life for {self.task.timeout + GRACE_SECONDS:.0f} s", self.label)
        else:
            code = self.process.returncode
            tail = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            message = f"the process that ran the notebook ended with code {code}" + "".join(
                f": {line}" for line in tail
            )
            error = _told("WorkerDied", message, self.label)
        status = "timeout" if self.overdue else "died"
        return {"event": "end", "status": status, "error": error, "seconds": seconds, "peak_bytes": 0}

    def end_if_overdue(self) -> None:
        """The last resort: a worker that has said nothing for longer than a cell may take is ended."""
        if not self.overdue and time.monotonic() - self.heard > self.task.timeout + GRACE_SECONDS:
            self.overdue = True
            end_tree(self.process)

    def close(self, at_once: bool = False) -> None:
        """Let the worker leave, or end its process tree, and tidy up; the log of a worker that ended well goes."""
        try:
            self.process.wait(timeout=0 if at_once else 20)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            end_tree(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.folder.cleanup()
        if self.process.returncode == 0:
            self.log.unlink(missing_ok=True)


def own_group() -> dict[str, Any]:
    """A group of its own, so that the terminal's Ctrl-C reaches only the parent, which then ends the children."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all its descendants, and wait until they are gone."""
    try:
        root = psutil.Process(process.pid)
        family = [*root.children(recursive=True), root]
    except psutil.Error:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(family, timeout=5)
    process.wait(timeout=5)
