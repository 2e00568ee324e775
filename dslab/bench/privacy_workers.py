"""Does `clean_shard` scale? The same shards by one process and by two, wall time, both warm before the clock.

The file is a module of its own because `spawn` imports what its workers call.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

SHARDS, COPIES, REPEATS = 4, 1, 3


def clean(source: str) -> int:
    """One shard, beside its source; the rows that came out."""
    from dslab.clean import Job, clean_shard

    counts = clean_shard(source, f"{source[: -len('.jsonl')]}.{os.getpid()}.out.jsonl", Job(on_error="fail"))
    counts.check()
    return counts.rows_out


def seconds(pages: tuple[str, ...]) -> tuple[dict[int, float], float | None]:
    """Median wall seconds of one worker and of two, in turns, and the load average before (idle is 0.2 and less)."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    lines = "".join(json.dumps({"text": page}, ensure_ascii=False) + "\n" for page in pages)
    with tempfile.TemporaryDirectory() as folder:
        shards = [f"{folder}/{number}.jsonl" for number in range(SHARDS)]
        for shard in shards:
            Path(shard).write_text(lines * COPIES, encoding="utf-8")
        spawn = multiprocessing.get_context("spawn")
        taken: dict[int, list[float]] = {1: [], 2: []}
        with spawn.Pool(1) as one, spawn.Pool(2) as two:
            pools = {1: one, 2: two}
            for pool in pools.values():
                pool.map(clean, shards, chunksize=1)  # imports, and the files into memory
            for _ in range(REPEATS):
                for workers, pool in pools.items():
                    began = time.perf_counter()
                    rows = pool.map(clean, shards, chunksize=1)
                    taken[workers].append(time.perf_counter() - began)
                    if rows != [COPIES * len(pages)] * SHARDS:
                        raise RuntimeError(f"rows are missing: {rows}")
    return {workers: statistics.median(times) for workers, times in taken.items()}, load
