"""`frugal` gives freed buffers back at once, where the C library can do that, and does no harm where it cannot."""

import subprocess
import sys

import pytest

from dslab.book import machine

# In a process of its own: the heap of one that ran thousands of tests has holes of its own, which such buffers fill.
FREED = """
import contextlib, sys
from pathlib import Path
import torch
from dslab.book import machine

def resident():
    return 1024 * int(Path("/proc/self/status").read_text("ascii").split("VmRSS:")[1].split()[0])

large = torch.ones(7 << 20)  # once freed, glibc keeps buffers up to this size to itself
del large
with machine.frugal() if sys.argv[1] == "frugal" else contextlib.nullcontext():
    buffers = [torch.ones(1 << 18) for _ in range(256)]
    before = resident()
    del buffers[::2]  # every second of 256 MB: a plain heap keeps the holes
    print(before - resident())
"""


def freed(how: str) -> int:
    """Bytes given back when every second of 256 buffers of 1 MB goes."""
    done = subprocess.run([sys.executable, "-c", FREED, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_is_freed_between_two_buffers_goes_back_at_once():
    assert freed("frugal") > 100e6
    assert freed("plain") < 20e6


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(KeyError), machine.frugal():
        raise KeyError
