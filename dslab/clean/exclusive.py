"""One run in one place, and nothing temporary left of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dslab.clean.atomic import remove_file
from dslab.clean.errors import Busy, CleanError, cannot
from dslab.clean.layout import Layout


@contextmanager
def swept(layout: Layout) -> Iterator[None]:
    """Remove temporary files that killed runs and workers left, before and after."""
    for part in layout.leftovers():
        remove_file(part)
    try:
        yield
    finally:
        with suppress(CleanError):
            for part in layout.leftovers():
                remove_file(part)


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Hold the side folder for this process: two runs in one place would remove each other's temporary files.

    The lock is on the folder itself and ends with the process, so that a kill leaves none behind. Where folders cannot
    be locked (Windows, some network file systems), nothing is checked.

    Raises Busy if another process holds it, CleanError if the folder cannot be made.
    """
    failed = None
    try:
        layout.side.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        failed = error
    if failed is not None:
        raise cannot("write", layout.side, failed)
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(layout.side, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{layout.out}: another run is at work there") from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
