"""Where the points of a sweep run: the protocol, and this machine. Many machines: `dslab.runner.cluster`."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import Any, Protocol

from dslab.runner import execute
from dslab.runner.point import lost, run_point


class ClusterGone(RuntimeError):
    """Nothing can run any more and nothing will come back; the message says why. What is saved stays."""


class Executor(Protocol):
    """Takes points, gives back results in whatever order they end."""

    @property
    def where(self) -> str:
        """One line for people."""

    @property
    def slots(self) -> int:
        """Points that run at a time, at least 1; may change."""

    def start(self) -> None:
        """Get ready. Raises selection.Refused where that cannot be."""

    def submit(self, payload: dict[str, Any]) -> str:
        """Take one point: `run_point`'s payload, its threads set here. Returns its key, which is its id."""

    def finished(self, timeout: float) -> list[tuple[str, dict[str, Any]]]:
        """Keys and results that have come in; waits for the first, `timeout` seconds at most.

        A point that got lost comes as `point.lost`. Raises ClusterGone where all are lost for good.
        """

    def close(self, at_once: bool) -> None:
        """End. at_once: also what still runs, with all its processes."""


class Local:
    """This machine: a thread a point, which follows the point's own processes.

    They end with this process, however that ends: each holds a pipe whose other end is here.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.where = f"this machine, {slots} point{'' if slots == 1 else 's'} at a time"
        self.cancel = threading.Event()
        self.pool = futures.ThreadPoolExecutor(slots, thread_name_prefix="point")  # no thread before the first point
        self.running: dict[futures.Future[dict[str, Any]], dict[str, Any]] = {}

    def start(self) -> None:
        """Nothing to do."""

    def submit(self, payload: dict[str, Any]) -> str:
        payload = payload | {"threads": execute.threads_each(self.slots)}
        self.running[self.pool.submit(run_point, payload, self.cancel)] = payload
        return str(payload["id"])

    def finished(self, timeout: float) -> list[tuple[str, dict[str, Any]]]:
        done, _ = futures.wait(self.running, timeout, futures.FIRST_COMPLETED)
        return [self._result(future) for future in done]

    def _result(self, future: futures.Future[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        payload = self.running.pop(future)
        try:
            return str(payload["id"]), future.result()
        except Exception as error:  # no room for a temporary folder, no more processes
            return str(payload["id"]), lost(payload, f"it could not be run: {type(error).__name__}: {error}")

    def close(self, at_once: bool) -> None:
        if at_once:
            self.cancel.set()
        self.pool.shutdown(wait=True, cancel_futures=at_once)
        for future in [future for future in self.running if future.cancelled()]:
            del self.running[future]  # the others may still be fetched with `finished`
