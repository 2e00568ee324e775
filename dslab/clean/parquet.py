"""Parquet: read batch by batch, replace the text column where it changed, hand every other column on as it came.

Schema, field and schema metadata, codecs and row groups are kept (a group of more than GROUP_BYTES is cut, so that
memory stays flat). The text column is written anew from its masked values, and with it what Parquet keeps beside the
rows: a dictionary or the minimum and maximum of a page would give away what the rows no longer say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dslab.clean.atomic import Sink
from dslab.clean.errors import CleanError
from dslab.clean.job import Job
from dslab.clean.line import BAD_UTF8, NULL, TOO_LONG
from dslab.clean.parquet_io import RowGroups, batches, codec_of, open_parquet, select
from dslab.clean.rows import DUPLICATE, Books, Cleaner, Verdict

ROW_COLUMN, REASON_COLUMN = "_dslab_row", "_dslab_reason"


def parquet_texts(path: Path, job: Job) -> Iterator[tuple[int, str]]:
    """Yield (row number, text) of the readable rows.

    Raises CleanError at a row that is not, if job.on_error is "fail".
    """
    row = 0
    with open_parquet(path) as (parquet, _, _):
        column = _text_column(path, parquet.schema_arrow, job.text_column)
        for _, batch in batches(path, parquet, [column]):
            for value in _values(batch.column(batch.schema.get_field_index(column))):
                reason = _problem(value, job.max_row_bytes)
                if not reason:
                    yield row, str(value)
                elif job.on_error == "fail":
                    raise CleanError(f"{path}: row {row}: {reason}")
                row += 1


def clean_parquet(
    path: Path, sink: Sink, job: Job, books: Books, duplicates: Any, quarantine: Callable[[], Sink]
) -> None:
    """Clean one Parquet file into `sink`.

    What `quarantine()` opens becomes a Parquet file too: the rows as they were, with their row number and reason.
    """
    cleaner = Cleaner(job)
    counts = books.counts
    doomed = frozenset(np.asarray(duplicates, dtype=np.int64).tolist()) if duplicates is not None else frozenset()
    with open_parquet(path) as (parquet, facts, sha256), ExitStack() as stack:
        counts.bytes_in, counts.sha256_in = facts.st_size, sha256
        schema = parquet.schema_arrow
        place = schema.get_field_index(_text_column(path, schema, job.text_column))
        codec = codec_of(parquet.metadata)
        out = stack.enter_context(RowGroups(sink, schema, codec))
        aside: RowGroups | None = None
        group = 0
        for number, batch in batches(path, parquet, None):
            if number != group:
                out.cut()
                group = number
            kept, refused = _judge(batch, place, counts.rows_in, cleaner, job, books, doomed)
            counts.rows_in += batch.num_rows
            out.add(kept)
            if refused is not None:
                if aside is None:
                    aside = stack.enter_context(RowGroups(quarantine(), refused.schema, codec))
                aside.add(refused)
            books.tick(counts.bytes_in * counts.rows_in // max(1, parquet.metadata.num_rows))


def _judge(
    batch: pa.RecordBatch, place: int, first: int, cleaner: Cleaner, job: Job, books: Books, doomed: frozenset[int]
) -> tuple[pa.RecordBatch, pa.RecordBatch | None]:
    """The rows of a batch that go out, and those for the quarantine, if any."""
    values = _values(batch.column(place))
    refused: dict[int, str] = {}

    def refuse(at: int, reason: str) -> None:
        if books.refuse(first + at, reason):
            refused[at] = reason

    readable = []
    for at, value in enumerate(values):
        reason = _problem(value, job.max_row_bytes)
        if reason:
            refuse(at, reason)
        elif first + at in doomed:
            books.drop(DUPLICATE)
        else:
            readable.append(at)
    out: dict[int, Verdict] = {}
    for at, verdict in zip(readable, cleaner.judge([str(values[at]) for at in readable]), strict=True):
        if verdict.error:
            refuse(at, verdict.error)
        elif verdict.drop:
            books.drop(verdict.drop)
        else:
            books.out(first + at, verdict)
            out[at] = verdict
    kept = select(batch, list(out))
    if any(verdict.text != values[at] for at, verdict in out.items()):
        field = batch.schema.field(place)
        masked = pa.array([verdict.text for verdict in out.values()], field.type)
        kept = kept.set_column(place, field, masked)
    return kept, _refused(batch, dict(sorted(refused.items())), first) if refused else None


def _refused(batch: pa.RecordBatch, reasons: dict[int, str], first: int) -> pa.RecordBatch:
    rows = select(batch, list(reasons))
    numbers = pa.array([first + at for at in reasons], pa.int64())
    extra = {ROW_COLUMN: numbers, REASON_COLUMN: pa.array(list(reasons.values()), pa.string())}
    schema = batch.schema
    for name, column in extra.items():
        while name in batch.schema.names:
            name = "_" + name
        schema = schema.append(pa.field(name, column.type))
    return pa.RecordBatch.from_arrays([*rows.columns, *extra.values()], schema=schema)


def _text_column(path: Path, schema: pa.Schema, name: str) -> str:
    places = schema.get_all_field_indices(name)
    if len(places) != 1:
        there = ", ".join(schema.names) or "none"
        raise CleanError(f"{path}: {len(places) or 'no'} column{'s' * bool(places)} {name!r}; the columns are {there}")
    kind = schema.field(name).type
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)):
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise CleanError(f"{path}: column {name!r} is {kind}, not a string; the columns are {columns}")
    return name


def _values(column: pa.Array) -> list[str | bytes | None]:
    """The values; bytes where they are not UTF-8, which Arrow does not check when it reads."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        pass
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return [_decoded(value) for value in column.cast(pa.large_binary()).to_pylist()]


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return value if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _problem(value: str | bytes | None, max_bytes: int) -> str:
    if value is None:
        return NULL
    if isinstance(value, bytes):
        return BAD_UTF8
    too_long = len(value) * 4 > max_bytes and len(value.encode()) > max_bytes
    return TOO_LONG if too_long else ""
