"""A training step, watched: a small problem, a real loss scaler that writes down its calls, and what these left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dslab.exercises import probe


@dataclass(frozen=True)
class Case:
    """Optimizer steps in a row. steps: for each, its number of micro-batches."""

    steps: tuple[int, ...]
    max_norm: float
    old: bool = False  # gradients of an earlier step are still there
    overflow: bool = False  # in the first step
    adam: bool = False


class Recorder(torch.amp.GradScaler):
    """A real scaler that writes down what is called from outside, and what it refuses."""

    def __init__(self) -> None:
        super().__init__("cpu", init_scale=2.0**10, growth_interval=1)
        self.calls: list[str] = []
        self.refused: Exception | None = None
        self.is_busy = False

    def scale(self, outputs: Any) -> Any:
        return self._record("scale", super().scale, outputs)

    def unscale_(self, optimizer: Any) -> None:
        return self._record("unscale_", super().unscale_, optimizer)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        return self._record("scaler.step", super().step, optimizer, *args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        return self._record("update", super().update, new_scale)

    def note(self, name: str) -> None:
        """Write down a call, unless it is one of the scaler's own."""
        if not self.is_busy:
            self.calls.append(name)

    def _record(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.note(name)
        was_busy, self.is_busy = self.is_busy, True
        try:
            return function(*args, **kwargs)
        except (AssertionError, RuntimeError, ValueError) as error:
            self.refused = error
            raise
        finally:
            self.is_busy = was_busy


@dataclass(frozen=True)
class Outcome:
    """What one step left behind."""

    parameters: Tensor  # flattened into one
    scale: float
    calls: tuple[str, ...]
    refused: str | None  # what the scaler raised when it was called out of order
    left: float  # norm of what is still in .grad


def _problem(case: Case) -> tuple[torch.nn.Module, torch.optim.Optimizer, Recorder]:
    """A small linear model far from its target, its optimizer, a scaler; all calls are written down."""
    model = torch.nn.utils.skip_init(torch.nn.Linear, 3, 2)  # draws no random numbers
    model.load_state_dict({"weight": torch.tensor([[0.3, -0.2, 0.1], [0.5, 0.4, -0.6]]), "bias": torch.zeros(2)})
    parameters = list(model.parameters())
    optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    if case.adam:
        optimizer = torch.optim.AdamW(parameters, lr=0.05, eps=0.1)
    for p in parameters:
        p.grad = torch.full_like(p, 3000.0) if case.old else None
    scaler = Recorder()
    optimizer.register_step_pre_hook(lambda *_: scaler.note("optimizer.step"))

    def watch(module: Any, inputs: Any, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: scaler.note("backward"))

    model.register_forward_hook(watch)
    return model, optimizer, scaler


def _batches(count: int, step: int, overflow: bool) -> list[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(10 * step + count)
    pairs = [(torch.randn(5, 3, generator=random), 9.0 + 3.0 * i + torch.zeros(5, 2)) for i in range(count)]
    if overflow:
        pairs[count // 2][1][0, 0] = 3e38
    return pairs


def run(my_step: Any, case: Case) -> list[Outcome]:
    """The steps of a case, as far as the scaler goes along."""
    model, optimizer, scaler = _problem(case)
    outcomes = []
    for i, count in enumerate(case.steps):
        scaler.calls = []
        try:
            with probe.settings_kept():
                my_step(model, optimizer, scaler, _batches(count, i, case.overflow and i == 0), case.max_norm)
        except Exception as raised:
            if raised is not scaler.refused:
                raise  # the learner's own, for the page to explain
        values = torch.cat([p.detach().flatten() for p in model.parameters()])
        error = scaler.refused
        refused = None if error is None else f"{type(error).__name__}: {error}"
        left = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        outcomes.append(Outcome(values, scaler.get_scale(), tuple(scaler.calls), refused, float(left)))
        if refused is not None:
            break
    return outcomes
