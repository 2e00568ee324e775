"""Times that can be compared on a busy machine: process CPU time, in turns, medians.

Wall time measures the neighbours. CPU time of this process does not, as long as idle worker threads sleep instead of
spinning (`OMP_WAIT_POLICY=passive`; the runner and `dslab bench` set it). What is compared runs in turns within one
process, so that a change of clock speed hits all of it alike. Report ratios; absolute times belong to one machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def interleaved(calls: Mapping[str, Callable[[], Any]], repeats: int = 5, warmup: int = 1) -> dict[str, float]:
    """Median CPU seconds of each call over `repeats` rounds in which every call runs once.

    CPU seconds add up the threads of the process: two busy cores spend two of them in one second.
    Raises ValueError for repeats < 1 or no calls.

    >>> sorted(interleaved({"nothing": lambda: None}, repeats=3))
    ['nothing']
    """
    if repeats < 1 or not calls:
        raise ValueError(f"interleaved needs at least one call and repeats >= 1; got {len(calls)} calls, {repeats=}")
    for _ in range(warmup):
        for call in calls.values():
            call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            began = time.process_time()
            call()
            taken[name].append(time.process_time() - began)
    return {name: statistics.median(times) for name, times in taken.items()}
