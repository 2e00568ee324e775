"""JSON lines as a stream of bytes, plain, gzip or Zstandard, hashed as they lie on disk.

Reading: Arrow's stream reads through concatenated gzip members and Zstandard frames, and notices a file that ends in
the middle of one; `zstandard.stream_reader` would end in silence there. A bomb costs no more than its buffer.
Writing: a gzip header without time and file name, so that the same rows give the same bytes on every run.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dslab.clean.atomic import Sink
from dslab.clean.errors import CleanError, cannot

BUFFER_BYTES = 1 << 20
CODECS = {".gz": "gzip", ".zst": "zstd"}
SUFFIXES = (*(f"{kind}{codec}" for kind in (".jsonl", ".ndjson") for codec in ("", *CODECS)), ".parquet")
GZIP_LEVEL, ZSTD_LEVEL = 6, 3
# Looked for in this order: the UTF-16 mark is the start of the UTF-32 one.
BOMS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
UTF8_BOM = b"\xef\xbb\xbf"


def suffix_of(path: Path | str) -> str:
    """The suffix that says how a file is read: ".jsonl", ".ndjson", either with ".gz" or ".zst", or ".parquet".

    Raises CleanError listing them for any other.

    >>> suffix_of("web/part-0.v2.jsonl.gz")
    '.jsonl.gz'
    """
    name = Path(path).name.lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise CleanError(f"{path}: its name must end in {', '.join(SUFFIXES)}")


class HashedFile(io.RawIOBase):
    """A file read once from its start, counted and hashed on the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._hash = hashlib.sha256()
        failed = None
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            failed = error
        if failed is not None:
            raise cannot("read", path, failed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        failed = None
        try:
            n = self._file.readinto(buffer) or 0
        except OSError as error:
            failed = error
        if failed is not None:
            raise cannot("read", self.path, failed)
        self._hash.update(memoryview(buffer)[:n])
        self.bytes += n
        return n

    def close(self) -> None:
        if not self.closed:
            getattr(self, "_file", io.BytesIO()).close()
        super().close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def open_lines(path: Path) -> Iterator[tuple[io.BufferedReader, HashedFile]]:
    """Yield (stream of the decompressed bytes, the file under it). A UTF-8 BOM is still in the stream.

    Raises CleanError if the file cannot be read, is in UTF-16 or UTF-32, or has a compressed suffix and no content.
    """
    codec = CODECS.get(path.suffix.lower())
    with HashedFile(path) as file:
        raw: Any = file
        if codec is not None:
            import pyarrow

            if path.stat().st_size == 0:  # Arrow would say: no rows
                raise CleanError(f"{path}: the file is empty, not even a {codec} header is there")
            raw = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), codec)
        stream: io.BufferedReader = io.BufferedReader(raw, BUFFER_BYTES)
        start = guarded(path, stream.peek, 4)[:4]
        for mark, encoding in BOMS:
            if start.startswith(mark):
                raise CleanError(f"{path}: the file is {encoding} (by its byte order mark); convert it to UTF-8 first")
        yield stream, file


def guarded(path: Path, read: Any, *args: Any) -> Any:
    """read(*args); what the decompressor reports becomes a CleanError that names the file."""
    reason = ""
    try:
        return read(*args)
    except CleanError:
        raise
    except EOFError:
        reason = "truncated"
    except (
        OSError
    ) as error:  # Arrow's words are about the stream: "Truncated compressed stream", "incorrect data check"
        reason = "truncated" if "runcated" in str(error) else "damaged"
    raise CleanError(f"{path}: the compressed file is {reason}; nothing of it was written")


class LineWriter:
    """Bytes to a sink, compressed as `path`'s suffix says."""

    def __init__(self, path: Path, sink: Sink) -> None:
        self._sink = sink
        codec = CODECS.get(path.suffix.lower())
        self._compressor: Any = None
        if codec == "gzip":
            self._compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)  # 31: a bare gzip header, its time 0
        elif codec == "zstd":
            import zstandard

            self._compressor = zstandard.ZstdCompressor(ZSTD_LEVEL, write_checksum=True).compressobj()

    def write(self, data: bytes) -> None:
        data = self._compressor.compress(data) if self._compressor else data
        if data:
            self._sink.write(data)

    def finish(self) -> None:
        """Write what the compressor still holds. Call it once, at the end."""
        if self._compressor:
            self._sink.write(self._compressor.flush())
