"""Faults planted into the caches, one at a time: the test named beside each must go red, and green without it."""

from pathlib import Path

import pytest
from planted import Fault, Planted

pytestmark = pytest.mark.slow
PLANTED = Planted("inference", Path(__file__).parent)

TRACE = ("test_cache", "leaves_no_trace")
FAULTS = [
    Fault("the mask starts at the first token", "base", ".tril(S - T)", ".tril()", "test_cache", "pieces_attend"),
    Fault("query heads are dealt out in turn", "base", "rows = q.reshape(B, Hkv, H // Hkv, D)",
          "rows = q.view(B, H // Hkv, Hkv, D).transpose(1, 2)", "test_cache", "pieces_attend"),
    Fault("the scale is forgotten", "base", "is_causal=mask is None, scale=scale", "is_causal=mask is None",
          "test_cache", "scale"),
    Fault("values of another kind pass", "base", " or v.dtype != k.dtype:\n            self", ":\n            self",
          "test_cache", "does_not_fit and dtype"),
    Fault("layers may differ in length", "base", "if behind is not None:", "if False:", "test_cache", "part_way"),
    Fault("tokens are not cut", "base", "            del self.tokens[n:]\n", "            pass\n",
          "test_cache", "another_prompt"),
    Fault("tokens are shared by forks", "base", "None if self.tokens is None else list(self.tokens)", "self.tokens",
          "test_cache", "another_prompt"),
    Fault("a shorter prompt passes", "base", "if common is None and n <= len(prompt):", "if common is None:",
          "test_cache", "another_prompt"),
    Fault("negative lengths count from the end", "base", "if not 0 <= n <= len(self):", "if n > len(self):",
          "test_cache", "cannot_be_kept"),
    Fault("full is noticed one token late", "cache", "if end > self.max_tokens:", "if start > self.max_tokens:",
          "test_cache", "full_buffer"),
    Fault("forks share the buffer", "cache", "        self._copy_used(lambda used: used)\n", "        pass\n",
          "test_cache", "forks"),
    Fault("buffers that only inference mode may write", "cache", "with torch.inference_mode(False):", "if True:",
          "test_cache", "inference_mode"),
    Fault("dict: the cut keeps one more", "cache", "k[:, :, :n].clone(), v", "k[:, :, : n + 1].clone(), v", *TRACE),
    Fault("codes lose their sign", "quantized", "pack(whole.to(torch.int8), self.bits)",
          "pack(whole.to(torch.int8).view(torch.uint8), self.bits)", "test_quantized", "own_scale"),
    Fault("one scale for all heads", "quantized", "x.float().abs().amax(-1, keepdim=True) / top",
          "x.float().abs().amax((1, 3), keepdim=True).expand(*x.shape[:3], 1) / top", "test_quantized", "own_scale"),
    Fault("keys in groups of channels", "quantized", "k.reshape(B, H, -1, self.group, D), 3)",
          "k.reshape(B, H, -1, self.group, D), 4)", "test_quantized", "range"),
    Fault("nibbles the other way round", "quantized", "for i in range(8 // bits)]",
          "for i in reversed(range(8 // bits))]", "test_quantized", "packing"),
    Fault("groups close at once", "quantized", "            self._close(layer, start)\n",
          "            self._close(layer, start + k.shape[2])\n", *TRACE),
    Fault("closed groups are cut", "quantized", "if self._closed(n) < closed:", "if False:", *TRACE),
    Fault("the last tokens are not kept exact", "quantized", "max(0, n - self.residual)", "n", "test_quantized",
          "range"),
    Fault("sinks are not turned on", "sliding", "if s and held.evicted:", "if False:", "test_sliding", "far_apart"),
    Fault("sinks are turned back", "sliding", "held.evicted)\n            k = ", "-held.evicted)\n            k = ",
          "test_sliding", "far_apart"),
    Fault("the sinks go first", "sliding", "x[:, :, :s], x[:, :, s + n :]], 2) for x",
          "x[:, :, n : n + s], x[:, :, s + n :]], 2) for x", "test_sliding", "which_tokens"),
    Fault("one token too many shows", "sliding", "min(end - self.window, start", "min(end - self.window - 1, start",
          "test_sliding", "which_tokens"),
    Fault("the evicted are lost at once", "sliding", "lost = old.evicted - old.gone", "lost = evicted - old.gone",
          *TRACE),
    Fault("a cut forgets what shows again", "sliding", "if n < held.end:", "if False:", *TRACE),
    Fault("the offset of a window's mask", "adapter", "return shown, len(self.cache) + query_length - shown",
          "return shown, 0", "test_adapter", "same_in_both and window"),
    Fault("crop removes one less", "adapter", "len(self.cache) + tokens_to_remove)",
          "len(self.cache) + tokens_to_remove + 1)", "test_adapter", "cropped and dict"),
    Fault("beams are not reordered", "adapter", "        self.cache.reorder(beam_idx)\n", "        pass\n",
          "test_adapter", "own_cache and dict and beams"),
    Fault("another prompt passes", "adapter", "if differ.any():", "if False:", "test_adapter",
          "noticed and contiguous and longer"),
    Fault("padding passes a window", "adapter", "and not bool(mask.all())", "and False", "test_adapter",
          "refuses_padding"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_noticed(fault, tmp_path, monkeypatch):
    PLANTED.notices(fault, tmp_path, monkeypatch)


def test_without_a_fault_they_pass(tmp_path, monkeypatch):
    PLANTED.passes([fault for fault in FAULTS if fault.file != "adapter"], tmp_path, monkeypatch)
