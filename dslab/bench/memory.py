"""How much memory a call needs beyond what it was given: peak resident size, on Linux."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CLEAR = Path("/proc/self/clear_refs")


def extra_peak_bytes(call: Callable[[], Any]) -> int | None:
    """Peak resident bytes during the call minus those before it; None where the system cannot tell (not Linux).

    What the call returns counts. The peak is reset through /proc, and freed memory is given back first, or a call
    that reuses it would look free.
    """
    measured = _measure(call)
    return None if measured is None else max(0, measured[1] - measured[0])


def peak_bytes(call: Callable[[], Any]) -> int | None:
    """Peak resident bytes of the process during the call, with what it holds already; None as above."""
    measured = _measure(call)
    return None if measured is None else measured[1]


def _measure(call: Callable[[], Any]) -> tuple[int, int] | None:
    """Resident bytes before, and the peak during the call."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        _CLEAR.write_text("5", encoding="ascii")
        before = _status("VmRSS")
        result = call()
        peak = _status("VmHWM")
    except OSError:
        return None
    del result
    return before, peak


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")
