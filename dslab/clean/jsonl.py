"""JSON lines: read row by row with flat memory, write what is kept byte for byte."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dslab.clean.atomic import Sink
from dslab.clean.errors import CleanError
from dslab.clean.job import Job
from dslab.clean.line import NOT_OBJECT, TOO_LONG, read_text, splice
from dslab.clean.rows import DUPLICATE, Books, Cleaner
from dslab.clean.streams import UTF8_BOM, LineWriter, guarded, open_lines

BLANK = "blank line"
BOM_NOTE = "UTF-8 BOM dropped"
BATCH_ROWS, BATCH_BYTES = 256, 1 << 20
PIECE_BYTES = 3 << 18  # a multiple of 3, so that base64 pieces join without padding

Row = tuple[int, bytes, str, str]


def read_rows(path: Path, stream: io.BufferedReader, job: Job, long: Callable[[int, bytes], None]) -> Iterator[Row]:
    """Yield (row number from 0, the line with its end, its text, the reason why there is none or "").

    A row longer than job.max_row_bytes is not yielded: long(row, start) is called, and must read the rest of the line.
    """
    limit = job.max_row_bytes
    column = job.text_column
    number = 0
    while line := guarded(path, stream.readline, limit + 2):
        if len(line) > limit and len(line.removesuffix(b"\n").removesuffix(b"\r")) > limit:
            long(number, line)
        else:
            text, reason = read_text(line, column)
            if reason is NOT_OBJECT and not line.strip(b" \t\r\n"):
                reason = BLANK
            yield number, line, text, reason
        number += 1


def drop_bom(path: Path, stream: io.BufferedReader) -> bool:
    """Step over a UTF-8 byte order mark, which JSON forbids; whether there was one."""
    if not guarded(path, stream.peek, 3).startswith(UTF8_BOM):
        return False
    stream.read(len(UTF8_BOM))
    return True


def jsonl_texts(path: Path, job: Job) -> Iterator[tuple[int, str]]:
    """Yield (row number, text) of the readable rows.

    Raises CleanError at a row that is not, if job.on_error is "fail".
    """
    with open_lines(path) as (stream, _):
        drop_bom(path, stream)

        def skip(row: int, line: bytes) -> None:
            if job.on_error == "fail":
                raise CleanError(f"{path}: line {row + 1}: {TOO_LONG}")
            for _piece in _rest(path, stream, line):
                pass

        for number, _, text, reason in read_rows(path, stream, job, skip):
            if not reason:
                yield number, text
            elif reason != BLANK and job.on_error == "fail":
                raise CleanError(f"{path}: line {number + 1}: {reason}")


def clean_jsonl(
    path: Path, target: Path, sink: Sink, job: Job, books: Books, duplicates: Any, quarantine: Callable[[], Sink]
) -> None:
    """Clean one file of JSON lines into `sink`; `quarantine()` opens the quarantine when the first row needs it."""
    cleaner = Cleaner(job)
    writer = LineWriter(target, sink)
    counts = books.counts
    doomed = frozenset(np.asarray(duplicates, dtype=np.int64).tolist()) if duplicates is not None else frozenset()
    batch: list[tuple[int, bytes, str]] = []
    held = 0

    with open_lines(path) as (stream, file):
        if drop_bom(path, stream):
            counts.notes[BOM_NOTE] = 1

        def flush() -> None:
            out = []
            verdicts = cleaner.judge([text for _, _, text in batch])
            for (number, line, text), verdict in zip(batch, verdicts, strict=True):
                if verdict.error:
                    if books.refuse(number, verdict.error):
                        quarantine().write(record(number, verdict.error, line))
                elif verdict.drop:
                    books.drop(verdict.drop)
                else:
                    books.out(number, verdict)
                    out.append(line if verdict.text == text else splice(line, job.text_column, verdict.text))
            batch.clear()
            writer.write(b"".join(out))
            books.tick(file.bytes)

        def long(number: int, start: bytes) -> None:
            counts.rows_in += 1
            if books.refuse(number, TOO_LONG):
                _keep_long(quarantine(), number, _rest(path, stream, start))
            else:
                for _piece in _rest(path, stream, start):
                    pass

        for number, line, text, reason in read_rows(path, stream, job, long):
            counts.rows_in += 1
            if reason == BLANK:  # no row, but counted, so that the books hold for `wc -l` too
                books.drop(BLANK)
                continue
            if reason:
                if books.refuse(number, reason):
                    quarantine().write(record(number, reason, line))
                continue
            if number in doomed:
                books.drop(DUPLICATE)
                continue
            batch.append((number, line, text))
            held += len(line)
            if held >= BATCH_BYTES or len(batch) >= BATCH_ROWS:
                flush()
                held = 0
        flush()
        writer.finish()
        counts.bytes_in, counts.sha256_in = file.bytes, file.sha256


def record(number: int, reason: str, line: bytes) -> bytes:
    """One line of a quarantine: the row as it was, without its line feed; base64 where it is no UTF-8.

    >>> record(6, "malformed JSON", b"{oops}\\n")
    b'{"line": 7, "reason": "malformed JSON", "raw": "{oops}"}\\n'
    """
    line = line.removesuffix(b"\n")
    try:
        raw = {"raw": line.decode("utf-8")}
    except UnicodeDecodeError:
        raw = {"base64": base64.b64encode(line).decode()}
    return json.dumps({"line": number + 1, "reason": reason, **raw}, ensure_ascii=False).encode() + b"\n"


def _rest(path: Path, stream: io.BufferedReader, start: bytes) -> Iterator[bytes]:
    """The line that begins with `start`, without its line feed, in pieces of PIECE_BYTES; the last may be shorter."""
    ended = start.endswith(b"\n")
    start = start.removesuffix(b"\n")
    whole = len(start) // PIECE_BYTES * PIECE_BYTES
    for at in range(0, whole, PIECE_BYTES):
        yield start[at : at + PIECE_BYTES]
    held = start[whole:]
    while not ended and (more := guarded(path, stream.readline, PIECE_BYTES - len(held))):
        ended = more.endswith(b"\n")
        held += more.removesuffix(b"\n")
        if len(held) == PIECE_BYTES:
            yield held
            held = b""
    yield held


def _keep_long(sink: Sink, number: int, pieces: Iterator[bytes]) -> None:
    """The quarantine's record of a row that is never held as a whole: always base64, written piece by piece."""
    head = json.dumps({"line": number + 1, "reason": TOO_LONG, "base64": ""})
    sink.write(head.removesuffix('"}').encode())
    for piece in pieces:
        sink.write(base64.b64encode(piece))
    sink.write(b'"}\n')
