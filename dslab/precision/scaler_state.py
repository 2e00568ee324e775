"""What a loss scaler remembers: the scale, the count of good steps, its three settings; read, set, saved, pickled.

`dslab.precision.scaler` has the arithmetic and the order of calls; nothing here touches a gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ScalerState:
    """The part of `GradScaler` that is no algorithm. Names, keys and errors are those of `torch.amp.GradScaler`."""

    _enabled: bool
    _init_scale: float
    _init_growth_tracker: int
    _growth_factor: float
    _backoff_factor: float
    _growth_interval: int
    _min_scale: float
    _scale: Tensor | None  # made by the first scale(), on the loss's device
    _growth_tracker: Tensor | None
    _per_optimizer_states: dict[int, dict[str, Any]]
    _last_skipped: Tensor | bool | None

    @property
    def last_step_skipped(self) -> bool | None:
        """Whether the last step() left the parameters alone; None before any. A learning-rate schedule should then
        wait too. Beyond torch, which makes callers compare the scale before and after."""
        return None if self._last_skipped is None else bool(self._last_skipped)

    def is_enabled(self) -> bool:
        """Whether this scaler does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """S as a number, 1.0 if disabled. On a GPU this waits for it."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def _get_scale_async(self) -> Tensor | None:
        return self._scale

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def get_growth_factor(self) -> float:
        """What S is multiplied by after `growth_interval` good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set it; > 1."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What S is multiplied by after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set it; < 1."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Good steps in a row before S grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set it. Below the good steps already counted, S does not grow before the next overflow (as in torch)."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and tracker, under torch's names; {} if disabled. Take it after update()."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, ours or torch's; a scale below `min_scale` is loaded as `min_scale`.

        Raises RuntimeError if the state is empty.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale, self._init_growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        if self._min_scale > 0:  # a saved scale of 0 would stay 0 for ever
            self._init_scale = max(self._init_scale, self._min_scale)
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None:
            self._scale.fill_(self._init_scale)
        if self._growth_tracker is not None:
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        if self._enabled:
            text = "A GradScaler can be pickled only between steps: some optimizer is unscaled or stepped."
            require(not self._per_optimizer_states, text + " Call update() first.")
        # Numbers instead of tensors: the copy makes its tensors again where its first loss lives.
        return self.__dict__ | {
            "_init_scale": self.get_scale() if self._enabled else self._init_scale,
            "_init_growth_tracker": self._get_growth_tracker(),
            "_scale": None,
            "_growth_tracker": None,
            "_last_skipped": self.last_step_skipped,
        }

    def _lazy_init_scale_growth_tracker(self, dev: torch.device | str) -> None:
        require(self._growth_tracker is None, "_growth_tracker initialized before _scale")
        self._scale = torch.full((), self._init_scale, dtype=torch.float32, device=dev)
        self._growth_tracker = torch.full((), self._init_growth_tracker, dtype=torch.int32, device=dev)

    def _check_scale_growth_tracker(self, funcname: str) -> tuple[Tensor, Tensor]:
        if self._scale is None or self._growth_tracker is None:
            missing = "_scale" if self._scale is None else "_growth_tracker"
            raise AssertionError(f"Attempted {funcname} but {missing} is None. Call scale(loss).backward() first.")
        return self._scale, self._growth_tracker


def require(condition: bool, text: str) -> None:
    """AssertionError, as torch raises it; an `assert` would vanish under `python -O`."""
    if not condition:
        raise AssertionError(text)
