"""What runs inside the workers of a Dask cluster: one point of a sweep, and which code this machine has.

Dask pickles these functions by name, so that every worker needs dslab installed; `difference` says where it is another.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import psutil

import dslab

LOOK_SECONDS = 1.0  # how often a running point looks whether anybody still waits for it
WORDS = {"dslab": "dslab", "commit": "commit", "lock_sha256": "requirements.lock"}


def facts() -> dict[str, str | None]:
    """What two machines must have in common for their rows to stand in one table: version, commit, lock file."""
    from dslab.runner import results

    found = results.provenance()
    return {"dslab": dslab.__version__, "commit": found["commit"], "lock_sha256": found["lock_sha256"]}


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


def work(payload: dict[str, Any]) -> dict[str, Any]:
    """Run one point here, with the threads that Dask gave this worker; end it where the sweep no longer wants it."""
    from distributed import get_worker

    from dslab.runner import point

    worker = get_worker()
    with _ended_when_unwanted(worker, worker.get_current_task()):
        return point.run_point(payload | {"threads": worker.state.nthreads})


@contextlib.contextmanager
def _ended_when_unwanted(worker: Any, key: Any) -> Iterator[None]:
    """End the notebook of a point that Dask has cancelled: the sweep was interrupted, or its process killed.

    Dask itself cannot stop a function that runs in a thread; it only forgets its result.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                _end_notebooks()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _end_notebooks() -> None:
    """End every process of dslab under this one; a worker runs one point at a time, so they all belong to it."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "dslab.runner.worker" in child.cmdline():
                for member in [*child.children(recursive=True), child]:
                    member.kill()
