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
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        _CLEAR.write_text("5", encoding="ascii")
        before = _status("VmRSS")
        result = call()
        peak = _status("VmHWM")
    except OSError:
        return None
    del result
    return max(0, peak - before)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")
