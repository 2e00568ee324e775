"""One function over many shards in several processes, where a shard, a worker or the parent may fail at any moment.

Processes are forked from a server that has imported what they need and runs no threads (`forkserver`; where there is
none, on Windows, they are spawned). A fork of the run itself would copy the locks of its threads, Arrow's and the
progress bar's, without the threads; a spawned process imports for half a second, every time. Either way a worker holds
the read end of a pipe from the run and ends when that closes, so that none outlives a run that was killed. Workers
ignore Ctrl-C: the parent decides, and ends them.

No exception comes back from a worker as such: its text and its traceback may quote a row.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import connection, sharedctypes
from typing import Any

import numpy as np

from dslab import signals
from dslab.clean.errors import Failure, failure

POLL_SECONDS = 0.2
DIED = "its worker process died (killed, or out of memory)"

# Imported once, in the server. What is missing there is imported by each worker.
PRELOAD = ["dslab.clean.run", "dslab.privacy.detector", "dslab.privacy.masking", "dslab.dedup.near"]

Report = Callable[[int, int], None]
Work = Callable[[Any, Report], Any]


class Meter:
    """Rows and bytes that each item has reported so far, written by workers and read by the parent.

    One pair of numbers per item in shared memory and no lock: a worker killed while it held one would stop the others.
    """

    def __init__(self, items: int) -> None:
        self.shared = sharedctypes.RawArray("q", 2 * items)

    @property
    def sums(self) -> tuple[int, int]:
        rows, size = np.frombuffer(self.shared, dtype=np.int64).reshape(-1, 2).sum(axis=0).tolist()
        return rows, size

    def reporter(self, item: int) -> Report:
        def report(rows: int, size: int) -> None:
            self.shared[2 * item], self.shared[2 * item + 1] = rows, size

        return report


def each(
    work: Work, items: Sequence[Any], workers: int, tick: Callable[[int, int], None] = lambda rows, size: None
) -> Iterator[tuple[Any, Any]]:
    """Yield (item, work(item, report)) in the order in which they end; a `Failure` stands for what was raised.

    work:  picklable and idempotent. Where a worker dies, the items it may have died of are tried again one by one.
    tick:  called a few times a second with the rows and bytes reported so far, over all items.
    When the caller stops listening, or is interrupted, the workers are ended at once.
    """
    if not items:
        return
    meter = Meter(len(items))
    if workers == 1:
        for number, item in enumerate(items):
            report = meter.reporter(number)

            def both(rows: int, size: int, report: Report = report) -> None:
                report(rows, size)
                tick(*meter.sums)

            yield item, _guarded(work, item, both)
        return
    queue, suspects = deque(enumerate(items)), deque[tuple[int, Any]]()
    while queue or suspects:
        if queue:
            yield from _round(work, queue, suspects, workers, meter, tick)
        else:
            alone, died = deque([suspects.popleft()]), deque[tuple[int, Any]]()
            yield from _round(work, alone, died, 1, meter, tick)
            yield from ((item, Failure(DIED)) for _, item in died)


def _round(
    work: Work, queue: deque[tuple[int, Any]], suspects: deque[tuple[int, Any]], workers: int, meter: Meter,
    tick: Callable[[int, int], None],
) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    """Work through `queue` until it is empty or a worker dies; what was under way then goes to `suspects`."""
    pending: dict[Future[Any], tuple[int, Any]] = {}
    with _pool(min(workers, len(queue)), meter) as pool:
        while queue or pending:
            # Held: a worker that starts during an interruption is not ended with the others, and shows a traceback.
            with suppress(BrokenProcessPool), signals.held():  # what is pending says that the pool is broken
                while queue and len(pending) <= workers:  # one more than can run: no worker waits for us
                    pending[pool.submit(_in_worker, work, *queue[0])] = queue[0]
                    queue.popleft()
            done, _ = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            tick(*meter.sums)
            for future in done:
                _, item = pending[future]
                try:
                    result = future.result()
                except BrokenProcessPool:
                    continue
                except Exception as error:  # such as a result that cannot be pickled
                    result = failure(error)
                del pending[future]
                yield item, result
            if any(future.done() for future in pending):
                break
    suspects.extend(pending.values())


def warm_up() -> None:
    """Start the server now, so that it imports while the caller does something else.

    A Ctrl-C waits until it has started: blocked, the signal stays so in the server and in every worker, also while
    they import and would show a traceback; the caller gets it afterwards.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver, resource_tracker

        _context()
        resource_tracker.ensure_running()  # the server would start it, and that unblocks the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


@contextmanager
def _pool(workers: int, meter: Meter) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes are gone when the block is left in any way."""
    warm_up()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, _context(), initializer=_start_worker, initargs=(meter,))
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
            child.join()
        raise


_meter: Meter | None = None


def _start_worker(meter: Meter) -> None:
    global _meter
    _meter = meter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # what a library warns of may quote a row
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _in_worker(work: Work, number: int, item: Any) -> Any:
    assert _meter is not None
    return _guarded(work, item, _meter.reporter(number))


def _guarded(work: Work, item: Any, report: Report) -> Any:
    try:
        return work(item, report)
    except Exception as error:
        return failure(error)
