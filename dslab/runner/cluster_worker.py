"""What runs inside the workers of a Dask cluster: one point of a sweep, and which code this machine has.

Dask pickles these functions by name, so that every worker needs dslab installed; `difference` says where it is another.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

LOOK_SECONDS = 1.0  # how often a running point looks whether anybody still waits for it
WORDS = {"dslab": "dslab", "commit": "commit", "lock_sha256": "requirements.lock"}


def facts() -> dict[str, str | None]:
    """What two machines must have in common for their rows to stand in one table: version, commit, lock file."""
    from dslab.runner.point import software

    found = software()  # as this process began: a worker that lived through an update is told from a new one
    return {name: found[name] for name in WORDS}


def difference(here: Mapping[str, str | None], there: Mapping[str, str | None]) -> str:
    """How a worker's facts differ from ours, in words; '' where they do not.

    >>> difference({"dslab": "1.0", "commit": "a" * 40}, {"dslab": "1.1", "commit": "a" * 40})
    'dslab 1.1 there, 1.0 here'
    """
    return "; ".join(
        f"{word} {_short(there.get(name))} there, {_short(here.get(name))} here"
        for name, word in WORDS.items() if here.get(name) != there.get(name)
    )  # fmt: skip


def _short(value: str | None) -> str:
    return "none" if value is None else value[:12]


def dask_setup(_: Any) -> None:
    """Called by Dask in each worker process that a sweep starts itself: the terminal's Ctrl-C is for the sweep alone.

    What the worker would log of being closed while a point runs is no news to the one who closes it.
    """
    logging.getLogger("distributed.worker").setLevel(logging.ERROR)
    with contextlib.suppress(ValueError):  # a worker that is a thread of the sweep
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(payload: dict[str, Any]) -> dict[str, Any]:
    """Run one point here, with the threads that Dask gave this worker; end it where the sweep no longer wants it."""
    from distributed import get_worker

    from dslab.runner import point

    worker = get_worker()
    payload = payload | {"threads": worker.state.nthreads}
    with _cancelled_when_unwanted(worker, worker.get_current_task()) as cancel:
        return point.run_point(payload, cancel)


@contextlib.contextmanager
def _cancelled_when_unwanted(worker: Any, key: Any) -> Iterator[threading.Event]:
    """An event that is set once Dask has cancelled the task: the sweep was interrupted, or its process killed.

    Dask itself cannot stop a function that runs in a thread; it only forgets the result.
    """
    over, cancel = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                cancel.set()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield cancel
    finally:
        over.set()
