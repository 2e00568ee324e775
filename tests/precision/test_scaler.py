"""Our loss scaler, step by step; `BOTH` runs a test on torch's too, which so proves what the test expects."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scalers import BOTH, INF, NAN, a_step, ours, torchs
from torch import nn

from dslab.precision.scaler import next_scale, unscale_and_check_

# -- scale ------------------------------------------------------------------------------------------------------------


@BOTH
def test_scaling_keeps_the_structure(make):
    scaler, x = make(init_scale=4.0), torch.ones(2)
    assert scaler.scale(x).tolist() == [4, 4]
    nested = scaler.scale([x, (x, [x])])
    assert isinstance(nested[1], tuple)
    assert isinstance(nested[1][1], list)
    assert nested[1][1][0].tolist() == [4, 4]
    assert [t.tolist() for t in scaler.scale(x for _ in range(2))] == [[4, 4], [4, 4]]  # any iterable
    assert scaler.scale(torch.tensor(40000.0, dtype=torch.float16)).item() == 160000.0  # a () loss comes out in fp32
    for wrong in (1.0, None, [x, 2.0]):
        with pytest.raises(ValueError, match="Tensor or an iterable of Tensors"):
            scaler.scale(wrong)


def test_a_string_is_no_iterable_of_tensors():
    with pytest.raises(ValueError, match="is a str"):
        ours().scale("loss")  # torch's goes on until the recursion limit


# -- a step: taken or skipped, and what the scale does then -----------------------------------------------------------

STEPS = {  # gradients of one step -> is it taken, scale after, good steps counted after
    "finite": ([1.0, 2.0], True, 8.0, 1),
    "zeros": ([0.0, 0.0], True, 8.0, 1),
    "inf": ([1.0, INF], False, 4.0, 0),
    "minus inf": ([-INF, 1.0], False, 4.0, 0),
    "NaN only": ([NAN, 1.0], False, 4.0, 0),
    "one missing": ([None, 1.0], True, 8.0, 1),
    "inf, one missing": ([INF, None], False, 4.0, 0),
}


@BOTH
@pytest.mark.parametrize("case", STEPS)
def test_a_step(make, case):
    gradients, taken, scale, good = STEPS[case]
    scaler = make(init_scale=8.0)
    after = a_step(scaler, *gradients)
    expected = [1.0 if g is None or not taken else 1.0 - g for g in gradients]
    assert after == expected
    scaler.update()
    assert (scaler.get_scale(), scaler._get_growth_tracker()) == (scale, good)
    if make is ours:
        assert scaler.last_step_skipped is not taken


@BOTH
@pytest.mark.parametrize("loss", [INF, -INF, NAN])
def test_a_loss_that_is_not_finite_skips_the_step(make, loss):
    scaler, p = make(), nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([p], lr=1.0)
    scaler.scale((p * loss).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == [1, 1, 1]
    assert scaler.get_scale() == 2.0**15


@BOTH
def test_growth_comes_with_the_last_step_of_the_interval_and_an_overflow_starts_it_anew(make):
    scaler, scales = make(init_scale=8.0, growth_interval=3), []
    for gradient in [1, 1, 1, 1, 1, INF, 1, 1, 1, NAN]:
        a_step(scaler, float(gradient))
        scaler.update()
        scales.append((scaler.get_scale(), scaler._get_growth_tracker()))
    assert scales == [(8, 1), (8, 2), (16, 0), (16, 1), (16, 2), (8, 0), (8, 1), (8, 2), (16, 0), (8, 0)]


@BOTH
def test_growth_never_overflows(make):
    scaler = make(init_scale=2.0**127, growth_interval=1)
    scaler.scale(torch.ones(()))
    for _ in range(2):
        a_step(scaler, 0.0)
        scaler.update()
    assert (scaler.get_scale(), scaler._get_growth_tracker()) == (2.0**127, 0)


@BOTH
def test_backoff_is_computed_in_fp64(make):
    scaler = make(init_scale=64.0, backoff_factor=0.8)
    for _ in range(2):
        a_step(scaler, INF)
        scaler.update()
    assert scaler.get_scale() == 40.959999084472656, "in fp32 it would be 40.960003"


@BOTH
def test_the_scale_is_constant_while_gradients_add_up(make):
    scaler, model = make(init_scale=1024.0, growth_interval=1), nn.Linear(4, 1)
    optimizer, x = torch.optim.SGD(model.parameters(), lr=0.1), torch.randn(6, 4)
    whole = torch.autograd.grad(model(x).mean(), model.weight)[0]
    for _ in range(2):
        optimizer.zero_grad()
        seen = []
        for part in x.split(2):
            scaler.scale(model(part).mean() / 3).backward()
            seen.append(scaler.get_scale())
        assert len(set(seen)) == 1
        scaler.unscale_(optimizer)
        torch.testing.assert_close(model.weight.grad, whole)  # a linear loss: the same at every step
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 4096.0


@BOTH
def test_clipping_sees_real_gradients_and_step_does_not_unscale_again(make):
    scaler, p = make(init_scale=2.0**10), nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([p], lr=1.0)
    scaler.scale((p * 3.0).sum()).backward()
    scaler.unscale_(optimizer)
    assert p.grad.tolist() == [3.0] * 4
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 6.0
    scaler.step(optimizer)
    torch.testing.assert_close(p.detach(), torch.full((4,), -0.5), rtol=1e-5, atol=0)


@BOTH
def test_an_inf_in_one_optimizer_skips_only_that_one(make):
    scaler, params = make(init_scale=8.0), [nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizers = [torch.optim.SGD([p], lr=1.0) for p in params]
    assert a_step(scaler, INF, optimizer=optimizers[0], params=params[:1]) == [1.0]
    assert a_step(scaler, 0.5, optimizer=optimizers[1], params=params[1:]) == [0.5]
    scaler.update()
    assert scaler.get_scale() == 4.0, "one overflow counts, whoever had it, and whoever came last"
    assert not scaler._per_optimizer_states


@BOTH
def test_a_schedule_can_wait_for_a_skipped_step(make):
    scaler, p = make(), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=1.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's: `lr_scheduler.step()` before `optimizer.step()`
        for gradient in (INF, 0.25, NAN, 0.25):
            before = scaler.get_scale()
            a_step(scaler, gradient, optimizer=optimizer, params=[p])
            scaler.update()
            skipped = scaler.last_step_skipped if make is ours else scaler.get_scale() < before
            if not skipped:
                schedule.step()
    assert schedule.get_last_lr() == [0.25]


def test_the_last_step_is_reported():
    scaler = ours()
    assert scaler.last_step_skipped is None
    for gradient, skipped in ((INF, True), (1.0, False), (NAN, True)):
        a_step(scaler, gradient)
        assert scaler.last_step_skipped is skipped
        scaler.update()
        assert scaler.last_step_skipped is skipped, "update() does not forget it"


# -- many NaN steps in a row ------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("bad", "scale", "then"),
    [(143, 2.0**-127, 0.5), (144, 2.0**-128, -INF), (166, 0.0, NAN)],
    ids=["143", "144", "166"],
)
def test_without_a_floor_a_run_of_nan_ruins_the_next_healthy_step(make, bad, scale, then):
    scaler, p = make(), nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([p], lr=0.5)
    for gradient in [NAN] * bad + [1.0]:
        optimizer.zero_grad()
        assert gradient == 1.0 or p == 1.0
        at = scaler.get_scale()
        scaler.scale(p * gradient).backward()
        scaler.step(optimizer)
        scaler.update()
    assert at == scale
    torch.testing.assert_close(p.item(), then, rtol=0, atol=0, equal_nan=True)


def test_a_floor_lets_training_go_on():
    scaler = ours(min_scale=2.0**-3, growth_interval=2)
    for _ in range(200):
        a_step(scaler, NAN)
        scaler.update()
    assert scaler.get_scale() == 2.0**-3
    for _ in range(2):
        assert a_step(scaler, 0.5) == [0.5]
        scaler.update()
    assert scaler.get_scale() == 2.0**-2


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("saved", [0.0, 1.0, -3.0, 3.999])
def test_a_state_below_the_floor_is_loaded_as_the_floor(saved, used):
    dead = torchs().state_dict() | {"scale": saved}
    scaler = ours(min_scale=4.0, growth_interval=2)
    if used:
        scaler.scale(torch.ones(()))
    scaler.load_state_dict(dead)
    assert scaler.get_scale() == scaler.state_dict()["scale"] == 4.0
    a_step(scaler, NAN)
    scaler.update()
    assert scaler.get_scale() == 4.0, "an overflow never raises it"
    assert a_step(scaler, 0.5) == [0.5]


@pytest.mark.parametrize("new", [1.0, 0.0, torch.tensor(1.0), torch.tensor([[-1.0]])])
def test_a_scale_set_below_the_floor_is_the_floor(new):
    scaler = ours(min_scale=4.0)
    scaler.scale(torch.ones(()))
    scaler.update(new)
    assert scaler.get_scale() == 4.0
    assert new in (1.0, 0.0, -1.0), "the caller's tensor is as it was"
    scaler.update(8.0)
    assert scaler.get_scale() == 8.0


@BOTH
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("value", [0.0, -0.0, -3.0, 2.0**-140, INF, NAN])
def test_without_a_floor_any_scale_is_taken_as_it_is(make, value, used):
    scaler = make()
    if used:
        scaler.scale(torch.ones(()))
    scaler.load_state_dict(scaler.state_dict() | {"scale": value})
    assert repr(scaler.get_scale()) == repr(value)
    scaler.scale(torch.ones(()))
    scaler.update(1.0)
    scaler.update(value)
    assert repr(scaler.get_scale()) == repr(value)


# -- the two formulas, against PyTorch's kernels ----------------------------------------------------------------------

DTYPES = ["half", "bfloat16", "float32", "float64"]
NUMBERS = st.floats(width=16, allow_nan=True, allow_infinity=True)


@settings(deadline=None)
@given(
    st.lists(NUMBERS, min_size=1, max_size=6),
    st.integers(-20, 40),
    st.sampled_from(DTYPES),
)
def test_unscaling_is_the_kernels(values, exponent, dtype):
    inv_scale = torch.tensor(1.1 * 2.0**-exponent)
    grads = [torch.tensor(values).to(getattr(torch, dtype)) for _ in range(2)]
    found = [torch.zeros(()), torch.zeros(1)]
    unscale_and_check_(grads[0], inv_scale, found[0])
    torch._amp_foreach_non_finite_check_and_unscale_([grads[1]], found[1], inv_scale)
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0, equal_nan=True)
    assert found[0] == found[1]


def test_a_verdict_once_found_stays_and_nothing_is_found_in_large_numbers():
    found = torch.zeros(())
    unscale_and_check_(torch.tensor([3.4e38, -3.4e38, 1e-45, 0.0]), torch.tensor(1e10), found)  # inf only afterwards
    assert found == 0
    unscale_and_check_(torch.tensor([NAN]), torch.tensor(1.0), found)
    unscale_and_check_(torch.tensor([1.0]), torch.tensor(1.0), found)
    assert found == 1


@settings(deadline=None)
@given(
    st.floats(0, float(torch.finfo(torch.float32).max), width=32), st.integers(0, 5), st.sampled_from([0.0, 1.0, 2.0]),
    st.floats(1.01, 1e4), st.floats(0, 0.99), st.integers(1, 6),
)  # fmt: skip
def test_the_next_scale_is_the_kernels(scale, tracker, found, growth, backoff, interval):
    before = torch.tensor(scale), torch.tensor(tracker, dtype=torch.int32)
    theirs = [t.clone() for t in before]
    torch._amp_update_scale_(*theirs, torch.tensor(found), growth, backoff, interval)
    after = next_scale(*before, torch.tensor(found), growth, backoff, interval)
    assert [x.item() for x in after] == [x.item() for x in theirs]
