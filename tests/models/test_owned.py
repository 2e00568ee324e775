"""`models.own`: the same numbers in memory of the process's own, and never a page that is somebody else's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dslab import models


class Pair(nn.Module):
    def __init__(self, a: torch.Tensor, b: torch.Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(a, requires_grad=False)
        self.b = nn.Parameter(b, requires_grad=False)
        self.tied = self.a


@pytest.fixture
def mapped(tmp_path: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    save_file({"a": torch.randn(1000, 1001), "b": torch.randn(777, 513)}, tmp_path / "w.safetensors")
    return load_file(tmp_path / "w.safetensors")


def test_values_and_ties_stay_and_storage_is_new(mapped: dict[str, torch.Tensor]) -> None:
    before = {name: tensor.clone() for name, tensor in mapped.items()}
    model = Pair(**mapped)
    assert models.own(model) is model
    assert torch.equal(model.a, before["a"])
    assert torch.equal(model.b, before["b"])
    assert model.tied is model.a
    assert model.a.data_ptr() != mapped["a"].data_ptr()
    assert torch.equal(mapped["a"], before["a"])  # who still holds the original reads it from the file again


def test_memory_that_is_no_file_is_left_alone() -> None:
    a, b = torch.randn(2000, 1000), torch.randn(10)
    kept = a, a.clone()
    models.own(Pair(a, b))
    assert torch.equal(*kept)


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does")
def test_the_file_s_pages_are_given_back(tmp_path: Path) -> None:
    def from_files() -> int:
        return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("RssFile"))

    save_file({"a": torch.randn(4000, 4000), "b": torch.randn(4000, 1000)}, tmp_path / "w.safetensors")
    model = Pair(**load_file(tmp_path / "w.safetensors"))
    model.a.sum(), model.b.sum()
    held = from_files()
    models.own(model)
    assert held - from_files() > 70_000  # kB of 80,000
