"""A sweep's points on a Dask cluster: an address, or any Dask cluster object by name.

Dask brings the machines, the connections, and the news of who has died. Which point goes where is decided here, because
Dask has no way to say "one point at a time a worker, however many threads it has, and only on workers whose code has
been checked, also those that join later". So a point waits on this side until a checked worker is free; a thread sees
to that, so that no worker waits while the sweep draws its report.

Start a scheduler with `dask scheduler`, and on each machine, in the environment of the same checkout, one worker for
each point that shall run at a time: `dask worker tcp://HOST:8786 --nthreads 1` (`--nworkers 4` for four of them; a
point uses as many threads as its worker has). Files come back through the scheduler, so no folder needs to be shared.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dslab.runner import cluster_worker, point
from dslab.runner.cluster_address import Door, door_for
from dslab.runner.executors import ClusterGone
from dslab.runner.selection import Refused

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0  # between questions to the scheduler which workers it has
ANSWER_SECONDS = 20.0  # for a worker to say which code it has, while others already have
PATIENCE_SECONDS = 60.0  # without workers, until that is said
START = "dask worker {address} --nthreads 1"


@dataclass
class _Flight:
    """A point that a worker has been given."""

    payload: dict[str, Any]
    worker: str
    future: Any


class ClusterExecutor:
    """Runs points on a Dask cluster; `executors.Executor` says what each method promises."""

    def __init__(self, door: Door, say: Callable[[str], None] | None = None) -> None:
        self.door, self.say = door, say or _say
        self.client: Any = None
        self._here = cluster_worker.facts()
        self._session, self._asks = uuid.uuid4().hex[:8], 0
        self._waiting: deque[dict[str, Any]] = deque()
        self._flights: dict[str, _Flight] = {}
        self._deaths: dict[str, list[str]] = {}  # point -> workers that died with it
        self._came: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self._gone: ClusterGone | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked: dict[str, Any] = {}  # worker -> the future of its facts
        self._good: set[str] = set()
        self._bad: dict[str, str] = {}  # worker -> why it gets no points
        self._looked = 0.0
        self._deserted: float | None = None  # since when there is no worker; inf once that is said

    @property
    def slots(self) -> int:
        """Points that can run at a time: checked workers, at least 1, for more may come."""
        return max(1, len(self._good))

    @property
    def where(self) -> str:
        """One line for people."""
        count = len(self._good)
        return f"{self.door.name}, {count} worker{'' if count == 1 else 's'}"

    def start(self) -> None:
        """Connect, wait for a worker, and check the code of all that are there. Raises Refused."""
        try:
            self.client = self.door.open()
            since = time.monotonic()
            while True:
                self._connected()
                self._look()
                if self._bad:
                    told = "; ".join(f"worker {worker}: {why}" for worker, why in self._bad.items())
                    raise Refused(
                        f"not every worker has the code that is here: {told}; bring every machine to the same "
                        "checkout and environment, restart its workers, then run the command again"
                    )
                if self._good and (not self._asked or time.monotonic() - since > ANSWER_SECONDS):
                    break
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.close(at_once=True)
            raise
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def submit(self, payload: dict[str, Any]) -> str:
        """Take a point on; it goes to the first checked worker that is free."""
        self._waiting.append(payload)
        return str(payload["id"])

    def finished(self, timeout: float) -> list[tuple[str, dict[str, Any]]]:
        """What came in within `timeout` seconds, each point once. Raises ClusterGone."""
        deadline = time.monotonic() + timeout
        while True:
            came: list[tuple[str, dict[str, Any]]] = []
            gone = self._gone  # read before the queue is: what came in earlier is delivered first
            while not self._came.empty():
                came.append(self._came.get())
            if gone and not came:
                raise gone
            if came or time.monotonic() >= deadline:
                return came
            time.sleep(POLL_SECONDS)

    def close(self, at_once: bool) -> None:
        """Leave the cluster; points still out are cancelled, and their workers end them within a second or two."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        client, self.client = self.client, None
        self.door.close(client)

    def _run(self) -> None:
        """The thread: it alone touches what is under way."""
        try:
            while not self._closing.wait(POLL_SECONDS):
                self._connected()
                self._arrived()
                self._look()
                self._dispatch()
        except ClusterGone as gone:
            self._gone = gone
        except Exception as error:
            self._gone = ClusterGone(f"Dask failed at {self.door.name} ({type(error).__name__}: {error})")

    def _connected(self) -> None:
        """Notice a lost scheduler. One that comes back in time has forgotten everything: all is handed out again."""
        status = self.client.status
        if status in ("closing", "closed"):
            raise ClusterGone(f"the Dask scheduler at {self.door.name} is gone: it ended, or the network did")
        forgotten = [key for key, flight in self._flights.items() if flight.future.status == "cancelled"]
        if status == "running" and forgotten:
            self.say(f"the connection to {self.door.name} was lost and is back; points under way start again")
            for key in forgotten:
                self._waiting.appendleft(self._flights.pop(key).payload)
            self._good.clear()
            self._asked.clear()

    def _arrived(self) -> None:
        for key, flight in list(self._flights.items()):
            status = flight.future.status
            if status not in ("finished", "error"):
                continue
            try:
                result = flight.future.result(timeout=30)
            except Exception as error:
                if status == "finished":  # its worker died with the result: `_look` will see that
                    continue
                result = point.lost(flight.payload, f"its worker failed: {type(error).__name__}: {error}")
            del self._flights[key]
            self._came.put((key, result))

    def _look(self) -> None:
        """Which workers came and went: ask the new ones for their code, take back what the dead ones had."""
        if self.client.status != "running" or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        try:  # not client.scheduler_info(): its cache is now and then filled anew without workers
            present = set(self.client.sync(self.client.scheduler.identity)["workers"])
        except OSError:
            return
        self._looked = time.monotonic()
        for worker in self._good - present:
            self._good.discard(worker)
            self._bury(worker)
        self._asked = {worker: future for worker, future in self._asked.items() if worker in present}
        self._bad = {worker: why for worker, why in self._bad.items() if worker in present}
        for worker in present - self._good - self._asked.keys() - self._bad.keys():
            self._asked[worker] = self._send(cluster_worker.facts, worker)
        for worker, future in list(self._asked.items()):
            if future.status in ("finished", "error"):
                self._judge(worker, self._asked.pop(worker))
        self._tell_desertion()

    def _bury(self, worker: str) -> None:
        from dask import config

        allowed = max(1, config.get("distributed.scheduler.allowed-failures", 3))
        for key in [key for key, flight in self._flights.items() if flight.worker == worker]:
            payload = self._flights.pop(key).payload
            deaths = self._deaths.setdefault(key, [])
            deaths.append(worker)
            if len(deaths) >= allowed:
                reason = f"{len(deaths)} workers died while they ran it"
                self._came.put((key, point.lost(payload, reason)))
            else:
                self.say(f"worker {worker} died; its point {payload['index']} starts again elsewhere")
                self._waiting.appendleft(payload)

    def _judge(self, worker: str, future: Any) -> None:
        try:
            why = cluster_worker.difference(self._here, future.result(timeout=10))
        except ImportError as error:
            why = f"it cannot import dslab ({error})"
        except Exception as error:
            why = f"it could not say which code it has ({type(error).__name__}: {error})"
        if not why:
            self._good.add(worker)
            return
        self._bad[worker] = why
        self.say(f"worker {worker} gets no points: {why}")

    def _tell_desertion(self) -> None:
        if self._good:
            self._deserted = None
        elif self._deserted is None:
            self._deserted = time.monotonic()
        elif time.monotonic() - self._deserted > PATIENCE_SECONDS:
            self._deserted = float("inf")
            start = START.format(address=self.client.scheduler.address)
            self.say(f"no worker at {self.door.name} for {PATIENCE_SECONDS:.0f} s; waiting for one (`{start}`)")

    def _dispatch(self) -> None:
        free = sorted(self._good - {flight.worker for flight in self._flights.values()})
        while self._waiting and free and self.client.status == "running":
            payload, worker = self._waiting.popleft(), free.pop(0)
            future = self._send(cluster_worker.work, worker, payload)
            self._flights[str(payload["id"])] = _Flight(payload, worker, future)

    def _send(self, function: Callable[..., Any], worker: str, *arguments: Any) -> Any:
        self._asks += 1
        key = f"dslab-{function.__name__}-{self._session}-{self._asks}"
        return self.client.submit(
            function, *arguments, key=key, workers=[worker], allow_other_workers=False, pure=False
        )


def connect(address_or_name: str, options: dict[str, Any], say: Callable[[str], None] | None = None) -> ClusterExecutor:
    """An executor for `tcp://host:port`, `tls://host:port`, or a Dask cluster class `module:Class` made with `options`.

    options: of the study's [cluster] table; `workers` is how many to ask the cluster for, the rest goes to the class.
    say: where single lines for people go; default: standard error.
    Raises Refused where the package, the address or the class is not there. Nothing is started yet.
    """
    return ClusterExecutor(door_for(address_or_name, options), say)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
