"""Parquet files as streams: batches in with flat memory, row groups out, and no word of Arrow's about a value."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dslab.clean.atomic import Sink
from dslab.clean.errors import CleanError, cannot

BATCH_ROWS, BATCH_BYTES = 1024, 8 << 20
GROUP_BYTES = 64 << 20


class RowGroups:
    """Record batches gathered into row groups, on a sink that is closed elsewhere."""

    def __init__(self, sink: Sink, schema: pa.Schema, codec: Any) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(sink, schema, compression=codec, write_page_checksum=True)
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._held.append(batch)
            self._bytes += batch.nbytes
        if self._bytes >= GROUP_BYTES:
            self.cut()

    def cut(self) -> None:
        """End the row group."""
        if self._held:
            table = pa.Table.from_batches(self._held, self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._held, self._bytes = [], 0

    def close(self) -> None:
        self.cut()
        self._writer.close()

    def abandon(self) -> None:
        """Write no footer: the file is about to be removed."""
        self._writer.is_open = False

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


@contextmanager
def open_parquet(path: Path) -> Iterator[tuple[pq.ParquetFile, os.stat_result, str]]:
    """Yield (the file, its facts, its SHA-256), read through one handle, so that all three are of the same file.

    Parquet is read from its end, so the digest is a pass of its own, before the rows.

    Raises CleanError if the file cannot be read, is no Parquet, or was written to meanwhile.
    """
    file, sha256 = _hashed(path)
    with file:
        facts = os.fstat(file.fileno())
        # Without pre_buffer a row group is read page by page, not fetched as a whole.
        options = {"pre_buffer": False, "buffer_size": 1 << 20, "page_checksum_verification": True}
        yield guarded(path, pq.ParquetFile, file, **options), facts, sha256
        now = os.fstat(file.fileno())
        if (now.st_size, now.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns):
            raise CleanError(f"{path}: the file changed while it was read")


def _hashed(path: Path) -> tuple[io.BufferedReader, str]:
    failed = None
    try:
        file = path.open("rb")
        return file, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        failed = error
    raise cannot("read", path, failed)


def batches(path: Path, parquet: pq.ParquetFile, columns: list[str] | None) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (number of the row group, batch), a batch within one group and of about BATCH_BYTES."""
    for group in range(parquet.num_row_groups):
        facts = parquet.metadata.row_group(group)
        per_row = max(1, facts.total_byte_size // max(1, facts.num_rows))
        rows = min(BATCH_ROWS, max(1, BATCH_BYTES // per_row))
        stream = guarded(path, parquet.iter_batches, rows, row_groups=[group], columns=columns, use_threads=False)
        while (batch := guarded(path, next, stream, None)) is not None:
            yield group, batch


def guarded(path: Path, read: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """read(...); an error of Arrow may quote a value, so only the fact is passed on."""
    try:
        return read(*args, **options)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, EOFError, UnicodeError):
        pass
    raise CleanError(f"{path}: not a readable Parquet file (truncated, damaged or encrypted)")


def codec_of(metadata: pq.FileMetaData) -> Any:
    """The codecs of the first row group: one name if all columns agree, else column path -> name."""
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    codecs = {c.path_in_schema: "none" if c.compression == "UNCOMPRESSED" else c.compression.lower() for c in columns}
    return next(iter(codecs.values())) if len(set(codecs.values())) == 1 else codecs


def select(batch: pa.RecordBatch, rows: list[int]) -> pa.RecordBatch:
    """The rows of a batch with these ascending numbers."""
    if len(rows) == batch.num_rows:
        return batch
    try:
        return batch.take(pa.array(rows, pa.int64()))
    except pa.ArrowNotImplementedError:  # views have no kernel for it; their slices can be joined
        slices = pa.Table.from_batches([batch.slice(row, 1) for row in rows], batch.schema).combine_chunks()
        return (slices.to_batches() or [batch.slice(0, 0)])[0]
