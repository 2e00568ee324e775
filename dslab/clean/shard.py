"""`clean_shard`: one file in, one file out, pure and idempotent; the unit of work of every run, on one machine or many.

The order of appearance is quarantine, audit, output: where the output stands, all of it stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dslab.clean.atomic import Sink, atomic_file, remove_file
from dslab.clean.counts import ShardCounts
from dslab.clean.errors import CleanError
from dslab.clean.job import Job
from dslab.clean.jsonl import clean_jsonl, jsonl_texts
from dslab.clean.rows import Books, Progress
from dslab.clean.streams import suffix_of

PathLike = Path | str


def quarantine_suffix(source: PathLike) -> str:
    """The suffix of the quarantine file of `source`: ".jsonl", or ".parquet", which alone keeps a row's types."""
    return ".parquet" if suffix_of(source) == ".parquet" else ".jsonl"


def texts(source: PathLike, job: Job) -> Iterator[tuple[int, str]]:
    """Yield (row number from 0, text) of every readable row, numbered as in `clean_shard`.

    Raises CleanError if the file cannot be read to its end, or at a row in error if job.on_error is "fail".
    """
    source = Path(source)
    if suffix_of(source) == ".parquet":
        from dslab.clean.parquet import parquet_texts

        return parquet_texts(source, job)
    return jsonl_texts(source, job)


def clean_shard(
    source: PathLike, target: PathLike, job: Job, *, duplicates: Any = None, quarantine: PathLike | None = None,
    audit: PathLike | None = None, progress: Progress | None = None,
) -> ShardCounts:  # fmt: skip
    """Clean `source` into `target`, which appears when it is complete.

    duplicates: row numbers to drop, int64; as found over `texts`.
    quarantine: where error rows are kept, mode 0600; its suffix is `quarantine_suffix(source)`. Written if there are
                any; one left by an earlier run is removed if there are none. Needed where job.on_error is "quarantine".
    audit:      JSON lines of what was masked: row, type, offsets, rule; never the value.
    progress:   called now and then with the rows and bytes read so far.
    Returns     balanced `ShardCounts`.
    Raises      CleanError, in words that never quote a row: a file that cannot be read to its end or written, a row
                in error under on_error="fail", a missing key, source and target the same file or of different kinds.
    """
    source, target = Path(source), Path(target)
    is_parquet = suffix_of(source) == ".parquet"
    if is_parquet != (suffix_of(target) == ".parquet"):
        raise CleanError(f"{source} and {target} are of different kinds: JSON lines and Parquet are not converted")
    if os.path.realpath(source) == os.path.realpath(target) or (target.exists() and target.samefile(source)):
        raise CleanError(f"{source}: input and output are the same file")
    if target.is_dir():  # else found out at the rename, after all the work
        raise CleanError(f"cannot write {target}: it is a folder")
    if job.on_error == "quarantine" and quarantine is None:
        raise CleanError(f"{source}: on_error is quarantine, but no place for the quarantine is given")

    with ExitStack() as stack:
        # Closed in reverse: the output, entered first, is put in its place last.
        sink = stack.enter_context(atomic_file(target))
        audit_sink = stack.enter_context(atomic_file(audit)) if audit is not None else None
        opened: list[Sink] = []

        def open_quarantine() -> Sink:
            if not opened:
                assert quarantine is not None
                opened.append(stack.enter_context(atomic_file(quarantine, private=True)))
            return opened[0]

        books = Books(source, job, *(("row", 0) if is_parquet else ("line", 1)), audit_sink, progress)
        if is_parquet:
            from dslab.clean.parquet import clean_parquet

            clean_parquet(source, sink, job, books, duplicates, open_quarantine)
        else:
            clean_jsonl(source, target, sink, job, books, duplicates, open_quarantine)
        counts = books.counts
        counts.bytes_out, counts.sha256_out = sink.bytes, sink.sha256
        counts.check()
        if quarantine is not None and not opened:
            remove_file(quarantine)
        books.tick(counts.bytes_in)
    return counts
