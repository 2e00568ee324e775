"""Processes that are killed, that raise, that outlive nobody. The functions stand here because workers import them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dslab.clean.errors import CleanError, Failure
from dslab.clean.workers import DIED, Meter, each

MARKER = "13812345678"


def double(item, report):
    report(item, 10 * item)
    return 2 * item


def die_of_three(item, report):
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return double(item, report)


def die_once(item, report):
    """Killed the first time, as when memory was short; well the second time, alone."""
    path, number = item
    if number == 1 and not path.exists():
        path.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(item, report):
    if item == "known":
        raise CleanError("part.jsonl: line 3: malformed JSON")
    if item == "memory":
        raise MemoryError
    if item == "disk":
        raise OSError(28, MARKER, MARKER)
    if item == "unicode":
        (MARKER.encode() + b"\xff").decode()
    if item == "own":
        raise type(MARKER, (Exception,), {"__init__": lambda self: None})()
    if item == "result":
        return lambda: MARKER  # cannot be pickled on the way back
    raise ValueError(f"not a number: {MARKER}")


def interrupt_itself(item, report):
    os.kill(os.getpid(), signal.SIGINT)
    return item


def sleep_but_for_the_first(item, report):
    if item:
        time.sleep(60)


def sleep(item, report):
    Path(item, str(os.getpid())).write_text("")
    time.sleep(60)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_once_with_its_result_and_what_it_reported(workers):
    seen = []
    got = dict(each(double, range(7), workers, lambda rows, size: seen.append((rows, size))))
    assert got == {n: 2 * n for n in range(7)}
    assert max(seen) == (21, 210)
    assert not list(each(double, [], workers))


def test_a_worker_that_dies_takes_no_other_item_along():
    got = dict(each(die_of_three, range(8), 2))
    assert got.pop(3) == Failure(DIED)
    assert got == {n: 2 * n for n in range(8) if n != 3}


def test_what_died_with_another_is_tried_again_alone(tmp_path):
    items = [(tmp_path / "died", number) for number in range(4)]
    assert dict(each(die_once, items, 2)) == {item: item[1] for item in items}


ITEMS = ["known", "memory", "disk", "unicode", "result", "other"]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_failure_quotes_what_it_is_about(workers, capfd):
    got = dict(each(fail, ITEMS, workers))
    if workers == 1:
        got["result"] = Failure("a function is a result where nothing is pickled", known=False)
    assert got["known"] == Failure("part.jsonl: line 3: malformed JSON")
    assert got["memory"] == Failure("out of memory")
    assert "no space left" in got["disk"].reason
    assert got["other"].reason.startswith("ValueError")
    assert MARKER not in str(got)
    assert MARKER not in "".join(capfd.readouterr())


def workers_alive() -> set[int]:
    """Processes that the server forked."""
    return {
        worker.pid
        for child in psutil.Process().children() if "forkserver" in command_line(child)
        for worker in child.children() if command_line(worker)
    }  # fmt: skip


def command_line(process: psutil.Process) -> str:
    """Empty for one that has ended, also where nobody has asked for its exit code yet."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_listener_that_leaves_ends_the_workers():
    got = each(double, range(50), 2)
    next(got)
    assert workers_alive()
    got.close()
    assert not workers_alive()


def test_workers_that_are_busy_are_ended_too():
    got = each(sleep_but_for_the_first, [0, 1, 1], 2)
    next(got)
    started = time.monotonic()
    got.close()
    assert time.monotonic() - started < 20


def test_an_interruption_is_the_parents_to_answer():
    """Ctrl-C reaches the whole group; a worker that answered it too would print a traceback."""
    assert list(each(interrupt_itself, [1, 2], 2)) in ([(1, 1), (2, 2)], [(2, 2), (1, 1)])


def test_the_meter_adds_up():
    meter = Meter(3)
    meter.reporter(0)(5, 100)
    meter.reporter(2)(1, 7)
    meter.reporter(0)(6, 200)
    assert meter.sums == (7, 207)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_worker_outlives_its_parent(tmp_path, number):
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup's children inherit that it is ignored\n"
        "from test_workers import sleep\nfrom dslab.clean.workers import each\n"
        f"list(each(sleep, [{str(tmp_path)!r}] * 4, 2))\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(f"if __name__ == '__main__':\n    exec({program!r})\n")
    parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(workers := [int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(number)
    parent.wait(10)
    deadline = time.monotonic() + 5
    while any(psutil.pid_exists(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker lives on without its parent"
        time.sleep(0.05)
