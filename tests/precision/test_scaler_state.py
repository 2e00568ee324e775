"""The loss scaler set, saved, pickled and switched off; and whether it can stand where torch's stood."""

import inspect
import io
import itertools
import pickle
import warnings

import pytest
import torch
from scalers import BOTH, INF, NAN, a_step, ours, torchs
from torch import nn

from dslab.precision.scaler import GradScaler

# -- settings, saving, switching off ----------------------------------------------------------------------------------


@BOTH
def test_the_scale_can_be_set(make):
    scaler = make(growth_interval=5)
    a_step(scaler, 1.0)
    scaler.update()
    for new, value in ((3.5, 3.5), (torch.tensor(0.25), 0.25)):
        held = scaler._scale
        scaler.update(new)
        assert scaler._scale is held, "filled in place: the new tensor is not kept"
        assert (scaler.get_scale(), scaler._get_growth_tracker()) == (value, 1)
    for wrong in (torch.ones(2), torch.ones((), requires_grad=True), torch.ones((), device="meta")):
        with pytest.raises(AssertionError, match="new_scale should be a float or a 1-element"):
            scaler.update(wrong)


def test_an_int_and_a_tensor_of_any_shape_are_scales_too():
    scaler = ours()
    scaler.scale(torch.ones(()))
    scaler.update(4)  # torch's looks for int.device
    assert scaler.get_scale() == 4.0
    scaler.update(torch.tensor([[7.0]]))  # torch's says "1-element" and takes only shape ()
    assert scaler.get_scale() == 7.0


@BOTH
def test_settings(make):
    scaler = make(init_scale=2.0, growth_factor=3.0, backoff_factor=0.25, growth_interval=4)
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()) == (3.0, 0.25, 4)
    scaler.set_growth_factor(5.0)
    scaler.set_backoff_factor(0.125)
    scaler.set_growth_interval(1)
    a_step(scaler, 1.0)
    scaler.update()
    assert scaler.get_scale() == 10.0
    a_step(scaler, NAN)
    scaler.update()
    assert scaler.get_scale() == 1.25
    scaler._growth_tracker.fill_(3)
    scaler.set_growth_interval(2)
    a_step(scaler, 1.0)
    scaler.update()
    assert (scaler.get_scale(), scaler._get_growth_tracker()) == (1.25, 4), "past the interval it does not grow"


@BOTH
@pytest.mark.parametrize("options", [{"growth_factor": 1.0}, {"backoff_factor": 1.0}])
def test_factors_that_do_not_grow_or_back_off_are_refused(make, options):
    with pytest.raises(AssertionError, match="factor must be"):
        make(**options)
    make(enabled=False, **options)


@pytest.mark.parametrize("floor", [-1.0, NAN, 2.0**17])
def test_a_floor_that_is_none_is_refused(floor):
    with pytest.raises(ValueError, match="min_scale must lie in"):
        ours(min_scale=floor)


def half_way(make):
    scaler = make(init_scale=16.0, growth_factor=4.0, backoff_factor=0.25, growth_interval=3)
    for gradient in (INF, 1.0, 1.0):
        a_step(scaler, gradient)
        scaler.update()
    return scaler


SAVED = {"scale": 4.0, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 3, "_growth_tracker": 2}


@pytest.mark.parametrize(("saver", "loader"), itertools.product([ours, torchs], repeat=2))
@pytest.mark.parametrize("running", [False, True])
def test_going_on_from_a_file_mid_interval(saver, loader, running):
    assert half_way(saver).state_dict() == SAVED
    file = io.BytesIO()
    torch.save(half_way(saver).state_dict(), file)
    file.seek(0)
    scaler = loader()
    if running:  # already in use: its tensors exist
        a_step(scaler, 1.0)
        scaler.update()
    scaler.load_state_dict(torch.load(file))
    assert scaler.state_dict() == SAVED
    a_step(scaler, 1.0)
    scaler.update()
    assert (scaler.get_scale(), scaler._get_growth_tracker()) == (16.0, 0)


@BOTH
@pytest.mark.parametrize("used", [False, True])
def test_pickling(make, used):
    scaler = half_way(make) if used else make(init_scale=4.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy = pickle.loads(pickle.dumps(scaler))
    assert copy.state_dict() == scaler.state_dict()
    assert copy._scale is None
    a_step(copy, 1.0)
    copy.update()
    assert copy.get_scale() == (16.0 if used else 4.0)


@BOTH
def test_pickling_amid_a_step_is_refused(make):
    scaler = make()
    a_step(scaler, 1.0)
    with pytest.raises(AssertionError, match=r"update\(\)"):
        pickle.dumps(scaler)


@BOTH
def test_a_disabled_scaler_passes_everything_through(make):
    scaler, p = make(enabled=False), nn.Parameter(torch.ones(2))
    optimizer, x = torch.optim.SGD([p], lr=0.5), object()
    assert scaler.scale(x) is x
    p.grad = torch.ones(2)
    scaler.unscale_(optimizer)
    scaler.unscale_(optimizer)
    assert scaler.step(optimizer, lambda: 7) == 7, "a closure too"
    scaler.update()
    assert p.tolist() == [0.5, 0.5]
    assert (scaler.is_enabled(), scaler.get_scale(), scaler._get_growth_tracker()) == (False, 1.0, 0)
    assert scaler.state_dict() == {}
    scaler.load_state_dict({})
    assert not pickle.loads(pickle.dumps(scaler)).is_enabled()
    if make is ours:
        assert scaler.last_step_skipped is False


@BOTH
def test_an_empty_state_is_refused(make):
    with pytest.raises(RuntimeError, match="source state dict is empty"):
        make().load_state_dict({})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("kind", [GradScaler, torch.amp.GradScaler])
def test_the_default_device_switches_itself_off_where_there_is_no_cuda(kind):
    with pytest.warns(UserWarning, match="CUDA is not available"):
        assert not kind().is_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(enabled=False)


def test_a_device_with_an_index_is_a_device():
    scaler = GradScaler("cpu:0")
    scaler.scale(torch.ones(()))
    scaler.update(torch.tensor(2.0))
    assert scaler.get_scale() == 2.0


# -- what others reach for --------------------------------------------------------------------------------------------


def test_every_name_of_torchs_is_here():
    names = {n for n in dir(torch.amp.GradScaler) if not n.startswith("__")}
    assert names <= set(dir(GradScaler))
    assert set(vars(torchs())) <= set(vars(ours()))


@pytest.mark.parametrize("name", [n for n in dir(torch.amp.GradScaler) if not n.startswith("_")])
def test_signatures_are_torchs(name):
    theirs, mine = (inspect.signature(getattr(kind, name)) for kind in (torch.amp.GradScaler, GradScaler))
    assert list(mine.parameters) == list(theirs.parameters)


def test_constructor_takes_torchs_arguments_first():
    theirs, mine = (inspect.signature(kind).parameters for kind in (torch.amp.GradScaler, GradScaler))
    assert [str(p) for p in mine.values()][: len(theirs)] == [str(p) for p in theirs.values()]
    assert list(mine)[len(theirs) :] == ["min_scale"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_trains_as_torchs(dtype):
    trained = []
    for make in (ours, torchs):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 1))
        scaler, optimizer = make(init_scale=2.0**14, growth_interval=3), torch.optim.AdamW(model.parameters(), lr=0.05)
        x = torch.randn(32, 8)
        losses = []
        for _ in range(12):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=dtype):
                loss = nn.functional.mse_loss(model(x), x[:, :1] * 2)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 2
        trained.append((losses, scaler.get_scale(), [p.detach() for p in model.parameters()]))
    assert trained[0][:2] == trained[1][:2]
    assert all(torch.equal(a, b) for a, b in zip(trained[0][2], trained[1][2], strict=True))
