"""Our scaler and torch's through the same 300 random trainings, half of them with the slow tests: not one bit apart.

And the comparison sees faults.
"""

from functools import partial

import pytest
import torch

from dslab.precision.differential import Mismatch, compare
from dslab.precision.scaler import GradScaler

ours, torchs = partial(GradScaler, "cpu"), partial(torch.amp.GradScaler, "cpu")
SEEDS = 300
CHUNK = 15  # a chunk is about two seconds; several, so that they spread over the cores


@pytest.mark.parametrize(
    "first",
    [pytest.param(n, marks=[pytest.mark.slow] * (n >= SEEDS // 2)) for n in range(0, SEEDS, CHUNK)],
)
def test_bit_for_bit_equal_to_torch(first: int) -> None:
    assert list(map(str, compare(ours, torchs, range(first, first + CHUNK)))) == []


def test_a_scaler_equals_itself_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    assert compare(torchs, torchs, seeds=[3], iterations=5) == []
    assert torch.equal(torch.get_rng_state(), before)


class ForgetsToReset(torch.amp.GradScaler):
    def update(self, new_scale=None):
        before = self._get_growth_tracker()
        super().update(new_scale)
        if new_scale is None and self._get_growth_tracker() == 0 < before < self._growth_interval - 1:
            self._growth_tracker.fill_(before)


class StepsTwice(torch.amp.GradScaler):
    def step(self, optimizer, *args, **kwargs):
        return super().step(optimizer) if id(optimizer) not in self._done() else None

    def _done(self):
        return {key for key, state in self._per_optimizer_states.items() if state["stage"].name == "STEPPED"}


class HalfAnUlp(torch.amp.GradScaler):
    def unscale_(self, optimizer):
        super().unscale_(optimizer)
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.copy_(torch.nextafter(p.grad, torch.zeros_like(p.grad)))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (ForgetsToReset, "good steps counted"),
        (StepsTwice, "errors and steps"),
        (HalfAnUlp, "gradient"),
    ],
)
def test_faults_are_seen(wrong: type, says: str) -> None:
    found = compare(partial(wrong, "cpu"), torchs, seeds=range(6))
    assert any(says in m.what for m in found)


def test_a_mismatch_reads_as_a_sentence() -> None:
    mismatch = Mismatch(3, 7, "scale", 40.959999, 40.960003)
    assert str(mismatch) == "seed 3, iteration 7: scale: ours 40.959999, theirs 40.960003"
    (first, *_) = compare(partial(HalfAnUlp, "cpu"), torchs, seeds=[1])
    assert isinstance(first.ours, float)
    assert first.ours != first.theirs
