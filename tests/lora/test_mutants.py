"""Faults planted into dslab.lora, one at a time: the test named beside each must go red, and green without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from planted import Fault, Planted

PLANTED = Planted("lora", Path(__file__).parent)
LOGITS = ("test_parity", "logits and llama-lora")
FAULTS = [
    Fault("alpha over r is missing", "linear", "return self.alpha / (math.sqrt(self.r) if self.rslora else self.r)",
          "return 1.0", *LOGITS),
    Fault("rsLoRA's root is forgotten", "linear", "math.sqrt(self.r) if self.rslora else self.r", "self.r",
          "test_parity", "logits and llama-rslora"),
    Fault("dropout acts in evaluation", "linear", "adapter.dropout(x.to(adapter.A.dtype))",
          "F.dropout(x.to(adapter.A.dtype), adapter.dropout.p)", "test_parity", "dropout and lora and not rslora"),
    Fault("dropout never acts", "linear", "adapter.dropout(x.to(adapter.A.dtype))", "x.to(adapter.A.dtype)",
          "test_parity", "dropout and lora and not rslora"),
    Fault("merging twice adds twice", "linear", "if self.merged or self.active is None:", "if self.active is None:",
          "test_parity", "merged and llama-lora"),
    Fault("a merged adapter acts again", "linear", "if adapter is None or self.merged:", "if adapter is None:",
          "test_parity", "merged and llama-lora"),
    Fault("unmerging subtracts", "linear", "getattr(self.home, self.slot).data = self._unmerged",
          "getattr(self.home, self.slot).data -= self.adapted_weight() - self._unmerged", "test_parity",
          "merged and llama-lora"),
    Fault("A and B start at zero", "linear", "nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))",
          "nn.init.zeros_(self.A)", "test_parity", "fresh and llama-lora"),
    Fault("B starts random", "linear", "nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))",
          "nn.init.normal_(self.A), nn.init.normal_(self.B)", "test_parity", "fresh and llama-lora"),
    Fault("DoRA's norm has a gradient", "linear", "self.update(adapter).detach()).norm(dim=1)",
          "self.update(adapter)).norm(dim=1)", "test_parity", "gradients and llama-dora"),
    Fault("DoRA's norm is the base's", "linear", "(weight + self.update(adapter).detach()).norm(dim=1)",
          "weight.norm(dim=1)", "test_parity", "logits and llama-dora"),
    Fault("DoRA scales the bias too", "linear", "y if self.bias is None else y - self.bias", "y",
          "test_parity", "logits and llama-dora"),
    Fault("DoRA is not in the merged weight", "linear", "if adapter.magnitude is None:\n            return weight",
          "if True:\n            return weight", "test_parity", "merged and llama-dora"),
    Fault("adapters take the base's bf16", "linear", "device=device, dtype=torch.float32))\n        self.B",
          "device=device, dtype=torch.bfloat16))\n        self.B", "test_parity", "bf16 or logits"),
    Fault("the base is not frozen", "injection", "    model.requires_grad_(False)\n", "", "test_injection",
          "only_adapters_train"),
    Fault("the head gets an adapter", "targets", "return not weight.special\n    if entry == ATTENTION",
          "return True\n    if entry == ATTENTION", "test_injection", "all_linear"),
    Fault("names match anywhere", "targets", 'weight.name.endswith(f".{entry}")\n\n\ndef is_pattern',
          'weight.name.endswith(entry)\n\n\ndef is_pattern', "test_injection", "matches_nothing"),
    Fault("what matches nothing is passed over", "targets", "if not names:\n", "if False:\n", "test_injection",
          "matches_nothing"),
    Fault("experts share the first one's B", "experts", "a, b = adapter.stacked()",
          "a, b = adapter.stacked()\n        b = b[..., :1].expand_as(b)", "test_experts", "eager"),
    Fault("experts' B read in A's order", "linear", "self.B.view(-1, self.r, self.experts)",
          "self.B.view(-1, self.experts, self.r).transpose(1, 2)", "test_experts", "eager"),
    Fault("nested the other way round", "peft_format", "len(same) - 1 - same.index(full)", "same.index(full)",
          "test_peft_format", "nest"),
    Fault("missing keys pass", "peft_format", "if missing := sorted(set(wanted) - set(tensors)):", "if missing := []:",
          "test_peft_format", "alone and missing"),
    Fault("unused keys pass", "peft_format", "if unused := sorted(set(tensors) - set(wanted)):", "if unused := []:",
          "test_peft_format", "many"),
    Fault("a failed load leaves the model frozen", "injection", "            parameter.requires_grad_(True)\n",
          "            pass\n", "test_peft_format", "leaves_the_model_alone"),
    Fault("alpha is saved as r", "peft_config", '"lora_alpha": first.alpha', '"lora_alpha": first.r',
          "test_peft_format", "both_ways and llama-lora"),
    Fault("every adapter trains", "linear", "adapter.requires_grad_(other == name)", "adapter.requires_grad_(True)",
          "test_adapters", "only_it_trains"),
    Fault("disabled does not put back", "adapters", "            layer.active = active\n", "", "test_adapters",
          "disabled"),
    Fault("combined without the scales", "adapters", "share * adapter.scale", "share", "test_adapters", "weighted_sum"),
    Fault("one optimizer state", "accounting", "everything, gradients, 2 * gradients)",
          "everything, gradients, gradients)", "test_accounting", "foretells"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_noticed(fault, tmp_path, monkeypatch):
    PLANTED.notices(fault, tmp_path, monkeypatch)


def test_without_a_fault_they_pass(tmp_path, monkeypatch):
    a_few = {fault.test: fault for fault in FAULTS}  # all of them run beside this one anyway
    PLANTED.passes(list(a_few.values()), tmp_path, monkeypatch)
    assert os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
