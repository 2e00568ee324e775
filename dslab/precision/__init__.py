"""Mixed precision: what few bits do to a training run, and the parts that make up for it.

    recipe = plan("fp16", device="cuda")                    # autocast, and a loss scaler only where one is needed
    train_step(model, batches, loss_fn, optimizer, recipe)  # accumulate, unscale, clip, step, update: in this order

Names are imported on first use, so that one of them costs only its own file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "GradScaler": "scaler",
    "Plan": "step",
    "StepReport": "step",
    "plan": "step",
    "train_step": "step",
    "FORMATS": "rounding",
    "Format": "rounding",
    "format_of": "rounding",
    "round_to": "rounding",
    "emulate": "emulation",
    "Binades": "underflow",
    "underflow_report": "underflow",
    "watch_gradients": "watch",
    "Quantized": "fp8",
    "calc_diff": "fp8",
    "quantize": "fp8",
    "fp8_matmul": "fp8_product",
    "Fp8Linear": "fp8_linear",
}
_MODULES = {"differential", "fp8"}

__all__ = sorted([*_HOME, *_MODULES])

if TYPE_CHECKING:
    from dslab.precision import differential as differential
    from dslab.precision import fp8 as fp8
    from dslab.precision.emulation import emulate as emulate
    from dslab.precision.fp8 import Quantized as Quantized
    from dslab.precision.fp8 import calc_diff as calc_diff
    from dslab.precision.fp8 import quantize as quantize
    from dslab.precision.fp8_linear import Fp8Linear as Fp8Linear
    from dslab.precision.fp8_product import fp8_matmul as fp8_matmul
    from dslab.precision.rounding import FORMATS as FORMATS
    from dslab.precision.rounding import Format as Format
    from dslab.precision.rounding import format_of as format_of
    from dslab.precision.rounding import round_to as round_to
    from dslab.precision.scaler import GradScaler as GradScaler
    from dslab.precision.step import Plan as Plan
    from dslab.precision.step import StepReport as StepReport
    from dslab.precision.step import plan as plan
    from dslab.precision.step import train_step as train_step
    from dslab.precision.underflow import Binades as Binades
    from dslab.precision.underflow import underflow_report as underflow_report
    from dslab.precision.watch import watch_gradients as watch_gradients


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
