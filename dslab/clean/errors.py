"""The one error of a cleaning run, and why library errors are never passed on.

A `json.JSONDecodeError` carries the whole document, a `UnicodeDecodeError` the bytes, an Arrow error often the value.
Logged, or pickled from a worker with its traceback, each would print what the run is there to remove. So errors are
caught where a row is at hand and replaced by a `CleanError` that says file, line and reason, in words of ours.
"""

from __future__ import annotations

import errno
import os
import traceback
from dataclasses import dataclass
from pathlib import Path

MEANING = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "no such file or folder",
    errno.EEXIST: "a file is in the way",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.EFBIG: "the file would be too large",
    errno.EIO: "the device reports an error",
}


class CleanError(RuntimeError):
    """A shard could not be cleaned, or a run not started. The message never holds a row's content or a key."""


class Busy(CleanError):
    """Another run is at work in the same place."""


def explain(error: OSError) -> str:
    """What an OSError means, from its number alone: its own text may name other things.

    >>> explain(OSError(28, "whatever"))
    'no space left on the device'
    """
    if error.errno is None:
        return "the operating system gives no reason"
    return MEANING.get(error.errno) or os.strerror(error.errno)


def cannot(verb: str, path: Path | str, error: OSError) -> CleanError:
    """The CleanError for a failed "read" or "write"; raise it outside the `except`, so that no chain goes along."""
    return CleanError(f"cannot {verb} {path}: {explain(error)}")


@dataclass(frozen=True)
class Failure:
    """Why there is no result, in words that hold no row's content. known: a CleanError, which says what is wrong."""

    reason: str
    known: bool = True


def failure(error: Exception) -> Failure:
    """What may be said of an error: a CleanError's own words; of any other its type and where it was raised."""
    if isinstance(error, CleanError):
        return Failure(str(error))
    if isinstance(error, MemoryError):
        return Failure("out of memory")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "dslab" in Path(frame.filename).parts]
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    why = f" ({explain(error)})" if isinstance(error, OSError) else ""
    return Failure(f"{type(error).__name__}{why}{where}", known=False)
