"""A file appears under its final name only when it is complete and on the disk.

    temporary name in the same folder -> write -> fsync -> rename over the final name -> fsync of the folder

Rename within a folder is atomic (POSIX rename, Windows MoveFileEx), so a reader, a kill or a power cut sees the old
file, or none, or the whole new one. Without the first fsync a power cut may leave the new name with no content.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from dslab.clean.errors import cannot

PREFIX = ".part-"
T = TypeVar("T")


class Sink:
    """A new file that only takes bytes at its end, and knows how many there are and their SHA-256.

    place:   the path it is written to; name: the path it is for, which messages name.
    private: mode 0600; else what the umask leaves of 0666.
    """

    def __init__(self, place: Path, name: Path, private: bool) -> None:
        mode = 0o600 if private else 0o666
        self.name = name
        self._file = _try(name, open, place, "xb", buffering=0, opener=lambda p, flags: os.open(p, flags, mode))
        self._hash = hashlib.sha256()
        self.bytes = 0
        self.closed = False
        self.abandoned = False

    def write(self, data: Any) -> int:
        """Write all of `data`.

        Raises CleanError if the disk does not take it.
        """
        view = memoryview(data).cast("B")
        if self.abandoned:  # Arrow's writers write a footer whenever they are collected; nobody wants it now
            return len(view)
        done = 0
        while done < len(view):  # an unbuffered write may be short; the next one then says why
            done += _try(self.name, self._file.write, view[done:])
        self._hash.update(view)
        self.bytes += len(view)
        return len(view)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """Nothing waits in memory; here for writers that ask."""

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing: a writer that closes what it was given would do so before the fsync. `atomic_file` closes."""

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def atomic_file(path: Path | str, *, private: bool = False) -> Iterator[Sink]:
    """Yield a `Sink` whose content stands under `path` once the block has ended without an exception.

    private: mode 0600, for what holds rows or maps.
    Raises   CleanError if the folder or the file cannot be written (no space, no permission, ...). On that and on any
             exception the temporary file is removed, and what stood under `path` before is as it was.
    """
    path = Path(path)
    _try(path, path.parent.mkdir, parents=True, exist_ok=True)
    temporary = path.parent / f"{PREFIX}{secrets.token_hex(8)}"
    try:
        sink = Sink(temporary, path, private)
        try:
            yield sink
            _try(path, os.fsync, sink._file.fileno())
        except BaseException:
            sink.abandoned = True
            raise
        finally:
            _try(path, sink._file.close)
        _try(path, os.replace, temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _try(path, sync_folder, path.parent)


def remove_parts(folder: Path | str) -> int:
    """Remove what killed runs left behind in `folder` (not below it); how many. Only while no run is writing there."""
    parts = [entry for entry in Path(folder).glob(PREFIX + "*") if entry.is_file()]
    for part in parts:
        remove_file(part)
    return len(parts)


def remove_file(path: Path | str) -> None:
    """Remove `path` if it is there.

    Raises CleanError if it stays.
    """
    _try(Path(path), Path(path).unlink, missing_ok=True, verb="remove")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises CleanError if it cannot be read.
    """
    return _try(path, _digest, path, verb="read")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, not only the files' content."""
    if os.name == "nt":  # no folder handles to sync there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try(path: Path, do: Callable[..., T], *args: Any, verb: str = "write", **options: Any) -> T:
    """do(...), with an OSError turned into a CleanError that names `path`, and nothing chained to it."""
    try:
        return do(*args, **options)
    except OSError as error:
        failed = error
    raise cannot(verb, path, failed)
