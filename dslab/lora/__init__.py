"""LoRA from two matrices to an adapter file that others load: low-rank updates beside frozen weights.

    names = inject(model, "all-linear", r=8, alpha=16)   # freezes the rest; the names say what was adapted
    ...train...
    save_peft(model, "adapter")                          # peft reads it; load_peft(model, "adapter") too

Names are imported on first use, so that one of them costs only its own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslab.lazy import lazy

if TYPE_CHECKING:
    from dslab.lora.accounting import Report as Report
    from dslab.lora.accounting import estimate as estimate
    from dslab.lora.accounting import fingerprints as fingerprints
    from dslab.lora.accounting import report as report
    from dslab.lora.adapters import add as add
    from dslab.lora.adapters import combine as combine
    from dslab.lora.adapters import disabled as disabled
    from dslab.lora.adapters import use as use
    from dslab.lora.experts import LoRAExperts as LoRAExperts
    from dslab.lora.experts import LoRAParameter as LoRAParameter
    from dslab.lora.explanation import Explanation as Explanation
    from dslab.lora.explanation import explain as explain
    from dslab.lora.injection import inject as inject
    from dslab.lora.injection import layers as layers
    from dslab.lora.injection import merge as merge
    from dslab.lora.injection import unmerge as unmerge
    from dslab.lora.linear import Adapter as Adapter
    from dslab.lora.linear import LoRALinear as LoRALinear
    from dslab.lora.peft_format import load_peft as load_peft
    from dslab.lora.peft_format import save_peft as save_peft
    from dslab.lora.targets import resolve as resolve

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
