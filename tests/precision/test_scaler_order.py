"""The loss scaler called in a wrong order: the errors torch raises, and what to call first."""

import pytest
import torch
from scalers import BOTH, ours
from torch import nn
from torch.amp.grad_scaler import OptState

ORDER = {  # calls, where n sets gradients and o takes all away -> the error of the last one, and what it says to call
    "unscale before scale": ("u", AssertionError, r"unscale_ but _scale is None.*scale\(loss\)"),
    "step before scale": ("s", AssertionError, r"step but _scale is None.*scale\(loss\)"),
    "update before scale": ("p", AssertionError, r"update but _scale is None.*scale\(loss\)"),
    "update before step": ("np", AssertionError, r"No inf checks were recorded prior to update.*step\(optimizer\)"),
    "update twice": ("nspp", AssertionError, r"No inf checks were recorded prior to update"),
    "unscale twice": ("nuu", RuntimeError, r"unscale_\(\) has already been called.*update\(\)"),
    "step twice": ("nss", RuntimeError, r"step\(\) has already been called.*update\(\)"),
    "unscale, step twice": ("nuss", RuntimeError, r"step\(\) has already been called"),
    "unscale after step": ("nsu", RuntimeError, r"unscale_\(\) is being called after step\(\).*update\(\)"),
    "all gradients None": ("nos", AssertionError, r"No inf checks were recorded for this optimizer.*scale\(loss\)"),
    "unscaled too early": ("nouns", AssertionError, r"No inf checks were recorded for this optimizer"),
}


@BOTH
@pytest.mark.parametrize("case", ORDER)
def test_a_wrong_order_is_refused(make, case):
    calls, error, text = ORDER[case]
    scaler, p = make(), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=0.1)
    do = {
        "n": lambda: scaler.scale(p.sum()).backward(),
        "o": optimizer.zero_grad,
        "u": lambda: scaler.unscale_(optimizer),
        "s": lambda: scaler.step(optimizer),
        "p": scaler.update,
    }
    for call in calls[:-1]:
        do[call]()
    held = p.detach().clone()
    with pytest.raises(error, match=text if make is ours else None):
        do[calls[-1]]()
    assert torch.equal(p, held)


@BOTH
def test_the_order_starts_anew_after_update(make):
    scaler, p = make(), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=0.1)
    for _ in range(3):
        scaler.scale(p.sum()).backward()
        scaler.unscale_(optimizer)
        assert scaler._per_optimizer_states[id(optimizer)]["stage"] is OptState.UNSCALED
        scaler.step(optimizer)
        scaler.update()


@BOTH
def test_a_closure_is_refused(make):
    scaler, p = make(), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=0.1)
    scaler.scale(p.sum()).backward()
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(optimizer, closure=lambda: p.sum())
    if make is ours:  # torch's runs it: gradients anew, scaled and unchecked
        with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
            scaler.step(optimizer, lambda: p.sum())
    scaler.step(optimizer, None)  # as accelerate calls it
    assert p[0].item() == pytest.approx(0.9)


@BOTH
def test_arguments_and_result_of_step_pass_through(make):
    class Optimizer(torch.optim.SGD):
        def step(self, closure=None, *, lr):
            return f"stepped with {lr}"

    scaler, p = make(), nn.Parameter(torch.ones(2))
    scaler.scale(p.sum()).backward()
    assert scaler.step(Optimizer([p], lr=0.1), None, lr=3) == "stepped with 3"
