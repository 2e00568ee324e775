"""The process that grades: `python -m dslab.runner.grade_worker`. One line of JSON on stdin is one exercise.

First line: {"notebooks": ["01", …], "memory": bytes, "folder": where it may write}; it imports their exercises, which
takes seconds, and answers {"event": "ready"}. Then each {"notebook", "exercise", "cells"} is answered by
{"event": "began"} and {"event": "end", "state", "diagnosis", "seconds", "network"}. On Linux every exercise runs in a
fork of this process, so that what it breaks breaks there; elsewhere it runs here, and when it ends this process, the
parent starts another.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import select
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from typing import Any, TextIO

from dslab.runner import grade_fence as fence
from dslab.runner import grade_slice
from dslab.runner.grade_slice import Notebook
from dslab.runner.worker import emit_to

FORKS = fence.IS_LINUX and hasattr(os, "pidfd_open") and os.environ.get("DSLAB_GRADE_FORKS", "1") != "0"
LONGEST = 4000  # characters of a diagnosis

# What a teacher reads; no logic here.
EXIT_CALLED = "The answer calls sys.exit or exit ({code}), which would end the kernel."
ENDED = "The answer ended its process with code {code}, as os._exit does."
KILLED = "The answer crashed its process: {signal}."
SIGNALS = {"SIGSEGV": "a segmentation fault (SIGSEGV)", "SIGKILL": "it was killed (SIGKILL), by itself or for memory"}


def grade(job: dict[str, Any], memory: int, folder: str) -> dict[str, Any]:
    """Run one exercise of one submission in this process, behind the fence; how it went."""
    began = time.perf_counter()
    fence.enter(folder)
    fence.limit(memory)
    network = fence.cut_network()
    from dslab.runner.grade_judge import judge

    try:
        state, diagnosis = judge(_taken_apart(job), job["notebook"], job["exercise"])
    except SystemExit as exit:
        state, diagnosis = "exited", EXIT_CALLED.format(code=exit.code)
    except BaseException as error:  # KeyboardInterrupt and the like: the learner's own
        state, diagnosis = "wrong", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    return {"state": state, "diagnosis": diagnosis[:LONGEST], "seconds": seconds, "network": network}


def _taken_apart(job: dict[str, Any]) -> Notebook:
    return _read(tuple((name, source) for name, source in job["cells"]))


_read = functools.lru_cache(maxsize=1)(grade_slice.read)


def how_it_ended(code: int) -> dict[str, Any]:
    """The state and words for a process that ended before it gave a result. code: as subprocess gives it."""
    if code >= 0xC0000000:  # Windows: an access violation and its like
        return {"state": "crashed", "diagnosis": KILLED.format(signal=f"exception {code:#x}")}
    if code >= 0:
        return {"state": "exited", "diagnosis": ENDED.format(code=code)}
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return {"state": "crashed", "diagnosis": KILLED.format(signal=SIGNALS.get(name, name))}


def in_fork(job: dict[str, Any], memory: int, folder: str, private: list[int]) -> dict[str, Any]:
    """Grade in a fork, and end whatever it leaves behind. `private`: descriptors the fork must not have."""
    began = time.perf_counter()
    _taken_apart(job)  # here, once for all exercises of a notebook; nothing of it runs
    into, out = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(job, memory, folder, out, [*private, into])
    os.close(out)
    ended = os.pidfd_open(child)
    if private[0] in select.select([private[0], ended], [], [])[0]:  # the parent is gone: it sends one job at a time
        fence.kill_descendants()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    fence.kill_descendants()
    os.set_blocking(into, False)
    with suppress(BlockingIOError):
        told = os.read(into, 1 << 16)
    os.close(into)
    os.close(ended)
    try:
        result = json.loads(told)
        assert isinstance(result, dict)
    except (ValueError, UnboundLocalError, AssertionError):
        result = how_it_ended(os.waitstatus_to_exitcode(status))
    return {"seconds": time.perf_counter() - began, **result}


def _in_child(job: dict[str, Any], memory: int, folder: str, out: int, private: list[int]) -> None:
    """Never returns. A copy that the answer forks off itself ends in silence."""
    me = os.getpid()
    fence.end_with_parent()
    os.setsid()
    for descriptor in private:
        os.close(descriptor)
    result = grade(job, memory, folder)
    if os.getpid() == me:
        with suppress(OSError):
            os.write(out, json.dumps(result).encode())
    os._exit(0)


def serve(tasks: TextIO, answers: TextIO) -> None:
    """Answer tasks until there are none."""
    start = json.loads(tasks.readline())
    for number in start["notebooks"]:
        importlib.import_module(f"dslab.exercises.n{number}")
    import dslab.runner.grade_judge  # noqa: F401  (so that forks have it)

    fence.adopt_orphans()
    emit_to(answers, event="ready")
    while line := tasks.readline():
        job = json.loads(line)
        folder = tempfile.mkdtemp(dir=start["folder"])
        emit_to(answers, event="began")
        if FORKS:
            result = in_fork(job, start["memory"], folder, [tasks.fileno(), answers.fileno()])
        else:
            result = grade(job, start["memory"], folder)
        os.chdir(start["folder"])
        shutil.rmtree(folder, ignore_errors=True)
        emit_to(answers, event="end", **result)


def main() -> None:
    """Move the streams of the conversation away from the descriptors that programs print to, and serve."""
    tasks = open(os.dup(0), encoding="utf-8")  # noqa: SIM115  (kept for the whole life of the process)
    answers = open(os.dup(1), "w", encoding="utf-8")  # noqa: SIM115
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    serve(tasks, answers)


if __name__ == "__main__":
    main()
