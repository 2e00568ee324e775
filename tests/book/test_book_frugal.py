"""`frugal` gives freed buffers back at once, where the C library can do that, and does no harm where it cannot."""

import sys
from pathlib import Path

import pytest

from dslab.book import machine


def resident() -> int:
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_is_freed_between_two_buffers_goes_back_at_once():
    torch = pytest.importorskip("torch")

    def freed() -> int:
        """Bytes given back when every second of 256 buffers of 1 MB goes; a plain heap keeps the holes."""
        buffers = [torch.ones(1 << 18) for _ in range(256)]
        before = resident()
        del buffers[::2]
        return before - resident()

    large = torch.ones(7 << 20)  # once freed, glibc keeps buffers up to this size to itself
    del large
    with machine.frugal():
        assert freed() > 100e6


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(KeyError), machine.frugal():
        raise KeyError
