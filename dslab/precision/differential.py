"""Are two loss scalers the same? Drive both through the same random training and compare every bit.

    mismatches = compare(partial(GradScaler, "cpu"), partial(torch.amp.GradScaler, "cpu"), seeds=range(300))

A seed decides everything that happens: how the scaler is set, which gradients become inf, NaN or None, when the script
accumulates, clips, calls twice or in the wrong order, sets the scale by hand, saves and goes on from the file. Two tiny
models are trained, one by SGD with momentum and one by AdamW, under one scaler. After each iteration both sides must
agree in the errors they raised, the scale, the count of good steps, the steps taken, the gradients and the parameters.

Such a test needs no expected values and no idea of which case is dangerous: the other scaler is the expected value.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

MakeScaler = Callable[..., Any]

FACTORS = {"growth_factor": [2.0, 1.5, 4.0, 1.1], "backoff_factor": [0.5, 0.25, 0.8, 0.3]}
INTERVALS = [1, 2, 3, 7]


@dataclass(frozen=True)
class Mismatch:
    """One difference. Only the first iteration in which a seed's two sides part is reported."""

    seed: int
    iteration: int
    what: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        return f"seed {self.seed}, iteration {self.iteration}: {self.what}: ours {self.ours}, theirs {self.theirs}"


def compare(
    make_ours: MakeScaler, make_theirs: MakeScaler, seeds: Iterable[int], iterations: int = 25
) -> list[Mismatch]:
    """Every difference between two scalers, on each seed up to the iteration where they part; [] means the same.

    make_ours, make_theirs: called with init_scale, growth_factor, backoff_factor and growth_interval as keywords.

    >>> from functools import partial
    >>> torchs = partial(torch.amp.GradScaler, "cpu")
    >>> compare(torchs, torchs, seeds=[0], iterations=3)
    []
    """
    return [mismatch for seed in seeds for mismatch in _compare(make_ours, make_theirs, seed, iterations)]


def _compare(make_ours: MakeScaler, make_theirs: MakeScaler, seed: int, iterations: int) -> list[Mismatch]:
    chance = random.Random(seed)
    exponent = chance.choice([*range(-3, 21), 126])
    options = {"init_scale": 2.0**exponent, "growth_interval": chance.choice(INTERVALS)}
    options |= {name: chance.choice(values) for name, values in FACTORS.items()}
    kind = chance.choice(["plain", "plain", "foreach", "fused"])
    sides = [_Side(make, options, seed, kind) for make in (make_ours, make_theirs)]
    for iteration in range(iterations):
        script = chance.getrandbits(64)  # each side plays the same script with its own dice
        ours, theirs = (side.play(random.Random(script)) for side in sides)
        found = [
            Mismatch(seed, iteration, what, *_readable(ours[what], theirs[what]))
            for what in ours
            if not _same(ours[what], theirs[what])
        ]
        if found:
            return found
    return []


@dataclass
class _Side:
    """One scaler with its models, and the log of what it said."""

    make: MakeScaler
    options: dict[str, Any]
    seed: int
    kind: str
    log: list[str] = field(default_factory=list)
    saved: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.scaler = self.make(**self.options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.models = [torch.nn.Linear(3, 2) for _ in range(2)]
        style: dict[str, Any] = {} if self.kind == "plain" else {self.kind: True}
        momentum = 0.0 if self.kind == "fused" else 0.9  # torch 2.13's fused SGD fails if one gradient came later
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.SGD(self.models[0].parameters(), lr=0.05, momentum=momentum, **style),
            torch.optim.AdamW(self.models[1].parameters(), lr=0.05, **style),
        ]
        for name, optimizer in zip(("SGD", "AdamW"), self.optimizers, strict=True):
            optimizer.register_step_post_hook(lambda *_, name=name: self.log.append(f"{name} stepped"))

    def play(self, dice: random.Random) -> dict[str, Any]:
        """One iteration of training, with whatever the dice add to it. Returns what can be seen afterwards."""
        self.log.clear()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        if dice.random() < 0.06 and self.kind != "fused":  # too early: no gradients yet, perhaps no scale
            self.attempt(dice.choice(["unscale_", "step"]), dice.choice(self.optimizers))
        if dice.random() < 0.03:
            self.attempt("update")
        self.backward(dice)
        self.damage(dice)
        for model, optimizer in zip(self.models, self.optimizers, strict=True):
            if dice.random() < 0.5:
                self.attempt("unscale_", optimizer)
                clip_grad_norm_(model.parameters(), 0.5)
            if dice.random() < 0.08:
                self.attempt("unscale_", optimizer)
            self.attempt("step", optimizer)
            if dice.random() < 0.08:
                self.attempt(dice.choice(["unscale_", "step"]), optimizer)
        self.update(dice)
        self.set_and_save(dice)
        return self.observed()

    def attempt(self, method: str, *arguments: Any) -> bool:
        """Call a method of the scaler; its error, if it raises one, is part of what is compared."""
        try:
            getattr(self.scaler, method)(*arguments)
        except (AssertionError, RuntimeError, ValueError) as error:
            self.log.append(f"{method} raised {type(error).__name__}")
            return False
        return True

    def backward(self, dice: random.Random) -> None:
        """One or two micro-batches; now and then a loss that is inf or NaN."""
        micro_batches = dice.choice([1, 1, 2])
        blow = dice.choice([math.inf, math.nan]) if dice.random() < 0.06 else 1.0
        for _ in range(micro_batches):
            x = torch.tensor([[dice.uniform(-1, 1) for _ in range(3)] for _ in range(4)])
            losses = [model(x).pow(2).mean() * (blow / micro_batches) for model in self.models]
            torch.autograd.backward(self.scaler.scale(losses))

    def damage(self, dice: random.Random) -> None:
        """Spoil or remove gradients: of one model mostly, so that the other must go on."""
        roll, which = dice.random(), self.models[dice.randrange(2)]
        assert which.weight.grad is not None
        assert which.bias is not None
        if roll < 0.12:
            which.weight.grad[dice.randrange(2), dice.randrange(3)] = dice.choice([math.inf, -math.inf])
        elif roll < 0.2:
            which.weight.grad[0, dice.randrange(3)] = math.nan
        elif roll < 0.25:
            which.bias.grad = None
        elif roll < 0.28:
            which.weight.grad.zero_()
        elif self.kind == "fused":
            return  # no gradients at all: torch 2.13 hands a fused optimizer the int 0 as found_inf, which crashes SGD
        elif roll < 0.32:
            which.zero_grad()
        elif roll < 0.34:
            for model in self.models:
                model.zero_grad()

    def update(self, dice: random.Random) -> None:
        """Let the scaler decide, or set the scale to a float or a tensor."""
        roll, by_hand = dice.random(), dice.choice([64.0, 3.7, 2.0**-20])
        if roll < 0.04:
            self.attempt("update", by_hand)
        elif roll < 0.08:
            self.attempt("update", torch.tensor(by_hand))
        elif not self.attempt("update"):
            self.attempt("update", by_hand)  # nothing was recorded: only this opens the next step

    def set_and_save(self, dice: random.Random) -> None:
        """Change a setting; save; go on from a file in a new scaler, in the running one, or from a copy."""
        roll = dice.random()
        if roll < 0.03:
            self.scaler.set_growth_interval(dice.choice(INTERVALS))
        elif roll < 0.06:
            for name, values in FACTORS.items():
                getattr(self.scaler, f"set_{name}")(dice.choice(values))
        elif roll < 0.12:
            state = self.scaler.state_dict()
            self.scaler = self.make(init_scale=1.0)
            self.scaler.load_state_dict(state)
        elif roll < 0.18 and self.saved:
            self.scaler.load_state_dict(self.saved)  # back to an earlier state, while running
        elif roll < 0.21:
            self.scaler = copy.deepcopy(self.scaler)  # by way of __getstate__, as a pickle would
        if roll > 0.8:
            self.saved = self.scaler.state_dict()

    def observed(self) -> dict[str, Any]:
        parameters = [p for model in self.models for p in model.parameters()]
        seen: dict[str, Any] = {
            "errors and steps": list(self.log),
            "scale": self.scaler.get_scale(),
            "good steps counted": self.scaler._get_growth_tracker(),
            "saved state": self.scaler.state_dict(),
        }
        for i, p in enumerate(parameters):
            name = ("SGD weight", "SGD bias", "AdamW weight", "AdamW bias")[i]
            seen[name] = p.detach().clone()
            seen[f"{name}, gradient"] = None if p.grad is None else p.grad.clone()
        return seen


def _same(ours: Any, theirs: Any) -> bool:
    if not (isinstance(ours, Tensor) and isinstance(theirs, Tensor)):
        return type(ours) is type(theirs) and ours == theirs
    bits = ours.view(torch.int32) == theirs.view(torch.int32)
    return bool((bits | (ours.isnan() & theirs.isnan())).all())  # which of its NaNs a processor gives is its own affair


def _readable(ours: Any, theirs: Any) -> tuple[Any, Any]:
    """Tensors as the first pair of entries that differ."""
    if not (isinstance(ours, Tensor) and isinstance(theirs, Tensor)):
        return ours, theirs
    differ = (ours.view(torch.int32) != theirs.view(torch.int32)).flatten().int().argmax()
    return ours.flatten()[differ].item(), theirs.flatten()[differ].item()
