"""Grade submissions, several at a time: each slot keeps a worker process, and watches its time and memory.

A worker that must be ended, or ends by itself, costs the exercise it had and nothing else: a fresh one goes on.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from dslab import paths
from dslab.runner import grade_fence as fence
from dslab.runner.execute import THREAD_VARIABLES, end_tree, own_group
from dslab.runner.grade_submissions import Submission, plain
from dslab.runner.grade_worker import FORKS, how_it_ended

POLL_SECONDS = 0.1
START_SECONDS = 300.0  # for the imports, on a busy machine

# What a teacher reads; no logic here.
TOO_LONG = "The answer did not finish within {seconds:g} s."
TOO_LARGE = "The answer used more than {gigabytes:g} GB of memory."
TOO_MANY = "The answer started more than {count} processes."


class GradingFailed(RuntimeError):
    """The checkers themselves could not be started; no submission is to blame."""


@dataclass(frozen=True)
class Limits:
    """What one exercise may take: seconds, and bytes of memory of all its processes."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Graded:
    """How one exercise of one file went. state: one of `grade_report.STATES`."""

    submission: Submission
    exercise: str
    state: str
    diagnosis: str
    seconds: float
    network: str = ""  # what kept it from the network, where it ran to its end


def grade_all(
    submissions: Sequence[Submission], exercises: dict[str, list[str]], limits: Limits, workers: int,
    tell: Callable[[Graded], None],
) -> list[Graded]:  # fmt: skip
    """Every exercise of every submission. `tell` hears each result as it comes, in any order and from any thread.

    Raises GradingFailed; on Ctrl-C every process is ended.
    """
    waiting = queue.SimpleQueue[Submission]()
    for submission in submissions:
        waiting.put(submission)
    numbers = sorted({s.notebook for s in submissions if s.notebook})
    stop = threading.Event()

    def slot(folder: str) -> list[Graded]:
        results: list[Graded] = []
        worker = _Worker(numbers, limits, folder, stop)
        try:
            while not stop.is_set():
                try:
                    submission = waiting.get_nowait()
                except queue.Empty:
                    break
                for exercise in exercises[submission.notebook or ""]:
                    results.append(worker.grade(submission, exercise))
                    tell(results[-1])
                if not FORKS:
                    worker.close()  # nothing of one student reaches the next
        except BaseException:
            stop.set()
            raise
        finally:
            worker.close()
        return results

    folder = tempfile.TemporaryDirectory(prefix="dslab-grade-", ignore_cleanup_errors=True)
    with folder as root, ThreadPoolExecutor(workers) as slots:
        try:
            futures = [slots.submit(slot, tempfile.mkdtemp(dir=root)) for _ in range(workers)]
            return [result for future in futures for result in future.result()]
        finally:
            stop.set()


class _Worker:
    """A worker process, started when it is needed, and the thread that reads what it says."""

    def __init__(self, numbers: list[str], limits: Limits, folder: str, stop: threading.Event) -> None:
        self.numbers, self.limits, self.folder, self.stop = numbers, limits, folder, stop
        self.process: subprocess.Popen[bytes] | None = None
        self.said = queue.SimpleQueue[dict[str, Any] | None]()

    def grade(self, submission: Submission, exercise: str) -> Graded:
        """Have one exercise graded, within the limits."""
        if self.process is None:
            self._start()
        self._send(notebook=submission.notebook, exercise=exercise, cells=submission.cells)
        self._hear(time.monotonic() + START_SECONDS)  # began
        began = time.monotonic()
        told = self._watch(began)
        result = {"seconds": time.monotonic() - began, "network": "", **told}
        return Graded(
            submission, exercise, result["state"], plain(result["diagnosis"]), result["seconds"], result["network"]
        )

    def _watch(self, began: float) -> dict[str, Any]:
        """What became of the exercise that has begun."""
        assert self.process is not None
        while True:
            with suppress(queue.Empty):
                told = self.said.get(timeout=POLL_SECONDS)
                if told is None:
                    return self._bury()
                return {name: value for name, value in told.items() if name != "event"}
            if self.stop.is_set():
                raise KeyboardInterrupt
            too_much = self._too_much(time.monotonic() - began)
            if too_much:
                self._end_job()
                return too_much

    def _too_much(self, seconds: float) -> dict[str, Any] | None:
        """Which limit the exercise has passed, if any."""
        if seconds > self.limits.seconds:
            return {"state": "timeout", "diagnosis": TOO_LONG.format(seconds=self.limits.seconds)}
        memory = count = 0
        assert self.process is not None
        with suppress(psutil.Error):
            own = psutil.Process(self.process.pid)
            for member in [*own.children(recursive=True), *([] if FORKS else [own])]:
                with suppress(psutil.Error):
                    memory, count = memory + member.memory_info().rss, count + 1
        if memory > self.limits.memory:
            return {"state": "memory", "diagnosis": TOO_LARGE.format(gigabytes=self.limits.memory / 1e9)}
        if count > fence.MOST_PROCESSES:
            return {"state": "crashed", "diagnosis": TOO_MANY.format(count=fence.MOST_PROCESSES)}
        return None

    def _end_job(self) -> None:
        """End what the exercise runs in: its fork, whose end the worker then tells; else the worker."""
        assert self.process is not None
        if FORKS:
            fence.kill_descendants(self.process.pid)
            with suppress(queue.Empty):
                if self.said.get(timeout=10) is not None:
                    return
        self.close()

    def _bury(self) -> dict[str, Any]:
        """The worker ended in the middle of an exercise: the exercise's own doing, unless it ran in a fork."""
        assert self.process is not None
        code = self.process.wait()
        if FORKS and code >= 0:
            raise GradingFailed(f"the process that holds the checkers ended: {self._last_word()}")
        self.close()
        return how_it_ended(code)

    def _last_word(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"

    def _start(self) -> None:
        environment = dict(os.environ, DSLAB_HEADLESS="1", PYTHONHASHSEED="0", PYTHONUNBUFFERED="1")
        environment |= dict.fromkeys(THREAD_VARIABLES, "1") | {"DSLAB_CACHE": str(paths.cache_dir().absolute())}
        environment |= {"MPLCONFIGDIR": str(Path(self.folder).parent / "matplotlib"), "CUDA_VISIBLE_DEVICES": ""}
        root = paths.checkout()
        if root:  # the same dslab as this process
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH")]))
        self.log = Path(self.folder, "log.txt")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dslab.runner.grade_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, env=environment, cwd=self.folder, **own_group(),
            )  # fmt: skip
        self.said = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self.process, self.said), daemon=True).start()
        self._send(notebooks=self.numbers, memory=self.limits.memory, folder=self.folder)
        self._hear(time.monotonic() + START_SECONDS)  # ready

    def _send(self, **task: Any) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        with suppress(OSError):  # it has ended; what it says tells
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()

    def _hear(self, until: float) -> None:
        """Wait for a word that must come, whatever the submission is like."""
        while time.monotonic() < until:
            if self.stop.is_set():
                raise KeyboardInterrupt
            with suppress(queue.Empty):
                if self.said.get(timeout=POLL_SECONDS) is None:
                    break
                return
        self.close()
        raise GradingFailed(f"the process that holds the checkers did not start: {self._last_word()}")

    def close(self) -> None:
        """End the worker and all it started."""
        if self.process is None:
            return
        if FORKS:
            fence.kill_descendants(self.process.pid)
        end_tree(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self.process = None


def _read(process: subprocess.Popen[bytes], said: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    assert process.stdout is not None
    with suppress(ValueError, OSError):  # closed, or half a line
        for line in process.stdout:
            said.put(json.loads(line))
    said.put(None)
