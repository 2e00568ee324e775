"""Mixed precision: what few bits do to a training run, and the parts that make up for it.

    recipe = plan("fp16", device="cuda")                    # autocast, and a loss scaler only where one is needed
    train_step(model, batches, loss_fn, optimizer, recipe)  # accumulate, unscale, clip, step, update: in this order

Names are imported on first use, so that one of them costs only its own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslab.lazy import lazy

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

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
