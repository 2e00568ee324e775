"""The loss scaler with fp16, bf16 and sparse gradients, and with optimizers that unscale by themselves."""

import math

import pytest
import torch
from scalers import BOTH, INF, NAN, ours, torchs
from torch import nn

# -- gradients of other kinds -----------------------------------------------------------------------------------------


@BOTH
def test_fp16_gradients_are_refused_before_anything_is_touched(make):
    scaler = make(init_scale=8.0)
    first, half = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, dtype=torch.float16))
    optimizer = torch.optim.SGD([first, half], lr=0.1)
    scaler.scale(first.sum() + half.float().sum()).backward()
    for call in (scaler.unscale_, scaler.step):
        with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients" + ".*fp32" * (make is ours)):
            call(optimizer)
    assert first.grad.tolist() == half.grad.tolist() == [8, 8]


@BOTH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_are_unscaled_in_their_own(make, dtype):
    scaler, p = make(init_scale=2.0**30), nn.Parameter(torch.ones(2, dtype=dtype))
    p.grad = torch.tensor([3.0 * 2.0**30, 1.0], dtype=dtype)
    scaler.scale(p.sum())
    scaler.unscale_(torch.optim.SGD([p], lr=0.1))
    assert p.grad.dtype == dtype
    assert p.grad.tolist() == [3.0, 2.0**-30]


def sparse(values, dtype, where=(1, 1, 3)):
    return torch.sparse_coo_tensor([where], torch.tensor(values, dtype=dtype), (5,), check_invariants=True)


@BOTH
@pytest.mark.parametrize(
    ("values", "dtype", "found"),
    [
        ([4.0, 4.0, 8.0], torch.float32, 0.0),
        ([4.0, INF, 8.0], torch.float32, 1.0),
        ([4.0, 4.0, NAN], torch.float32, 1.0),
        ([4.0, 4.0, 8.0], torch.float16, 0.0),
        ([60000.0, 60000.0, 8.0], torch.float16, 1.0),  # each fits into fp16, their sum does not
        ([60000.0, -60000.0, 8.0], torch.float16, 0.0),
    ],
)
def test_sparse_gradients(make, values, dtype, found):
    scaler, p = make(init_scale=4.0), nn.Parameter(torch.zeros(5, dtype=dtype))
    scaler.scale(torch.ones(()))
    p.grad = sparse(values, dtype)
    verdicts = scaler._unscale_grads_(torch.optim.SGD([p], lr=1.0), torch.tensor(0.25), torch.zeros(()), True)
    assert [v.item() for v in verdicts.values()] == [found]
    if not found:
        assert p.grad.to_dense().tolist() == [0, sum(values[:2]) / 4, 0, values[2] / 4, 0]


# -- optimizers that unscale by themselves ----------------------------------------------------------------------------

FLAVOURS = [{"foreach": True}, {"fused": True}, {"foreach": False}]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.Adam])
@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda f: "-".join(f"{k}-{v}" for k, v in f.items()))
@pytest.mark.parametrize("unscale_first", [False, True])
def test_flavours_of_optimizers_train_as_with_torchs_scaler(optimizer, flavour, unscale_first):
    trained = []
    for make in (ours, torchs):
        torch.manual_seed(0)
        scaler, model = make(init_scale=2.0**12, growth_interval=2), nn.Linear(4, 3)
        steps = optimizer(model.parameters(), lr=0.1, **flavour)
        for spoil in (None, INF, None, NAN, None, None):
            steps.zero_grad()
            scaler.scale(model(torch.ones(2, 4)).pow(2).mean()).backward()
            if spoil is not None:
                model.weight.grad[1, 2] = spoil
            if unscale_first:
                scaler.unscale_(steps)
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(steps)
            if make is ours:
                assert scaler.last_step_skipped is (spoil is not None)
            scaler.update()
        assert not hasattr(steps, "found_inf")
        assert not hasattr(steps, "grad_scale")
        trained.append([*model.parameters(), torch.tensor(scaler.get_scale())])
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))
    assert trained[0][0].isfinite().all()


class TakesOver(torch.optim.SGD):
    """An optimizer that says it unscales by itself, and writes down what it is given."""

    _step_supports_amp_scaling = True
    fails = False

    def step(self, closure=None):
        self.seen = self.grad_scale if self.grad_scale is None else float(self.grad_scale), float(self.found_inf)
        if self.fails:
            raise OSError("no step today")


@BOTH
@pytest.mark.parametrize(
    ("gradient", "unscale_first", "own", "seen"),
    [
        (1.0, False, None, (8.0, 0.0)),
        (INF, False, None, (8.0, 1.0)),
        (1.0, True, None, (None, 0.0)),
        (NAN, True, None, (None, 1.0)),
        (1.0, False, 2.0, (16.0, 0.0)),
        (1.0, True, 2.0, (2.0, 0.0)),
    ],
)
def test_the_hand_off_to_a_fused_optimizer(make, gradient, unscale_first, own, seen):
    scaler, p = make(init_scale=8.0), nn.Parameter(torch.ones(2))
    optimizer = TakesOver([p], lr=0.1)
    if own is not None:
        optimizer.grad_scale = torch.tensor(own)
    scaler.scale((p * gradient).sum()).backward()
    if unscale_first:
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert optimizer.seen == seen
    assert not hasattr(optimizer, "grad_scale")
    if not unscale_first:
        assert p.grad[0] == gradient * 8.0, "unscaling is left to the optimizer"
    scaler.update()
    assert scaler.get_scale() == (8.0 if math.isfinite(gradient) else 4.0)


def test_nothing_stays_behind_when_a_fused_step_fails():
    scaler, p = ours(), nn.Parameter(torch.ones(2))
    optimizer = TakesOver([p], lr=0.1)
    optimizer.fails = True
    scaler.scale(p.sum()).backward()
    with pytest.raises(OSError, match="no step today"):
        scaler.step(optimizer)
    assert not hasattr(optimizer, "found_inf")
    assert not hasattr(optimizer, "grad_scale")


def test_a_fused_step_never_applies_gradients_that_were_unscaled_too_early():
    scaler, p = ours(), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([p], lr=0.1, fused=True)
    loss = scaler.scale(p.sum())
    scaler.unscale_(optimizer)  # there is nothing yet
    loss.backward()
    with pytest.raises(
        AssertionError, match="No inf checks were recorded for this optimizer"
    ):  # torch's: AttributeError
        scaler.step(optimizer)
    assert p.tolist() == [1, 1]


@BOTH
def test_an_optimizer_of_the_older_form_gets_the_scaler(make):
    class Older(torch.optim.SGD):
        _step_supports_amp_scaling = True

        def step(self, closure=None, grad_scaler=None):
            grad_scaler.unscale_(self)
            self.found = sum(f.item() for f in grad_scaler._found_inf_per_device(self).values())
            return grad_scaler

    scaler, p = make(init_scale=8.0), nn.Parameter(torch.ones(2))
    optimizer = Older([p], lr=0.1)
    scaler.scale((p * INF).sum()).backward()
    with pytest.warns(FutureWarning, match="found_inf"):
        assert scaler.step(optimizer) is scaler
    assert optimizer.found == 1
    if make is ours:
        assert scaler.last_step_skipped is True
    scaler.update()
    assert scaler.get_scale() == 4.0


# -- gradients spread over processes ----------------------------------------------------------------------------------


def one_rank(rank, world, folder):
    """Three steps under FSDP2, with an overflow in the first rank's shard in the second step."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    seen = []
    for make in (ours, torchs):
        torch.manual_seed(0)
        model = nn.Linear(4, 4)
        fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
        scaler, optimizer = make(init_scale=8.0), torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(3):
            optimizer.zero_grad()
            scaler.scale(model(torch.ones(2, 4) * (rank + 1)).pow(2).mean()).backward()
            if step == 1 and rank == 0:
                model.weight.grad.to_local()[0, 0] = INF
            scaler.step(optimizer)
            scaler.update()
        seen.append((scaler.get_scale(), model.weight.full_tensor().tolist()))
    assert seen[0] == seen[1]
    assert seen[0][0] == 4.0
    dist.destroy_process_group()


@pytest.mark.slow
def test_an_overflow_in_one_shard_skips_the_step_of_all_ranks(tmp_path):
    torch.multiprocessing.spawn(one_rank, (2, str(tmp_path)), nprocs=2)
