"""The one error of a cleaning run, and why library errors are never passed on.

A `json.JSONDecodeError` carries the whole document, a `UnicodeDecodeError` the bytes, an Arrow error often the value.
Logged, or pickled from a worker with its traceback, each would print what the run is there to remove. So errors are
caught where a row is at hand and replaced by a `CleanError` that says file, line and reason, in words of ours.
"""

from __future__ import annotations

import errno
import os
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
