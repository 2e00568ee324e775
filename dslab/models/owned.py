"""Weights as memory of our own instead of pages of a file: for who wants to rearrange them without holding them twice.

transformers maps a safetensors file into memory. Its pages count as this process's memory once they were read, and go
only when the last tensor of the file goes; a model whose matrices are then copied one by one is held twice.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)
_DONTNEED = 4  # MADV_DONTNEED; a clean page of a file is read again if anybody asks


def own(model: Model) -> Model:
    """Replace each parameter's storage by a copy, one at a time, and give the pages of the original back (Linux).

    Values, names and ties are as before; the same model is returned. Elsewhere than on a CPU under Linux the copies are
    made, and the memory returns when the last original is gone.
    """
    for parameter in model.parameters():
        mapped = parameter.data
        parameter.data = mapped.clone()
        if sys.platform == "linux" and mapped.device.type == "cpu":
            _give_back(mapped.data_ptr(), mapped.nbytes)
    return model


def release(parameter: nn.Parameter) -> None:
    """Leave a parameter empty, and give the pages of its file back at once (Linux): its numbers are elsewhere now."""
    held = parameter.data
    parameter.data = held.new_empty(0)
    if sys.platform == "linux" and held.device.type == "cpu":
        _give_back(held.data_ptr(), held.nbytes)


def _give_back(address: int, size: int) -> None:
    """The whole pages between; those at the ends may hold a neighbour. Advice that the system does not take is lost."""
    first, end = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE, (address + size) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > first and _is_file(first, end):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _DONTNEED)


def _is_file(first: int, end: int) -> bool:
    """Whether these pages belong to a file: anonymous memory would come back as zeros."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            span, _, _, _, inode, *_ = line.split(maxsplit=5)
            low, high = (int(edge, 16) for edge in span.split("-"))
            if low <= first < end <= high:
                return inode != "0"
    return False
