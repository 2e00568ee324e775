"""plan and train_step: the dtype is named, the calls are in the right order, mistakes are named before they cost."""

import copy
import math
import warnings

import pytest
import torch
from torch import nn

from dslab.precision.scaler import GradScaler
from dslab.precision.step import Plan, plan, train_step

FORMATS = [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]


@pytest.mark.parametrize(("name", "dtype"), FORMATS)
@pytest.mark.parametrize("by", ["name", "dtype"])
def test_only_fp16_gets_a_scaler(name, dtype, by):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = plan(name if by == "name" else dtype, "cpu", init_scale=4.0)
    assert (got.dtype, got.device) == (dtype, torch.device("cpu"))
    assert isinstance(got.scaler, GradScaler)
    assert got.scaler.is_enabled() is (name == "fp16")
    assert got.scaler.get_scale() == (4.0 if name == "fp16" else 1.0)
    assert name in got.why
    assert got.why.endswith(".")


@pytest.mark.parametrize(("name", "scaler", "says"), [
    ("bf16", True, "fp32's exponents.*something runs in fp16 after all"),
    ("fp32", True, "nothing to save"),
    ("fp16", False, "gradients below 6e-8 become 0"),
])  # fmt: skip
def test_a_plan_against_reason_is_made_with_a_warning(name, scaler, says):
    with pytest.warns(UserWarning, match=says):
        got = plan(name, "cpu", scaler=scaler)
    assert got.scaler.is_enabled() is scaler
    assert got.why


@pytest.mark.parametrize("dtype", [None, "auto", "float16", torch.float64, torch.float8_e4m3fn, 16])
def test_no_other_dtype(dtype):
    with pytest.raises(ValueError, match="must be one of fp32, bf16, fp16"):
        plan(dtype, "cpu")


def test_dtype_and_device_are_mandatory():
    with pytest.raises(TypeError, match="device"):
        plan("fp16")
    with pytest.raises(TypeError, match="unexpected keyword"):
        plan("fp16", "cpu", groth_factor=3.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.filterwarnings("ignore:GradScaler is enabled")
def test_a_plan_for_a_machine_that_is_not_this_one_says_so():
    with pytest.warns(UserWarning, match="CUDA is not available"):
        got = plan("fp16", "cuda")
    assert "another machine" in got.why
    assert not plan("bf16", "cuda").scaler.is_enabled()
    for name in ("bf16", "fp32"):
        with pytest.warns(UserWarning, match="only costs time"):
            got = plan(name, "cuda", scaler=True)
        assert got.why.startswith(f"{name} h"), "it needs no scaler on any machine"


@pytest.mark.parametrize("scaler", [torch.amp.GradScaler("cpu"), GradScaler("cpu"), "off", "auto", 0, 1, {}])
def test_a_scaler_is_wished_for_not_passed(scaler):
    with pytest.raises(TypeError, match=rf"None .*, True or False, got a {type(scaler).__name__}.*init_scale=.*Plan\("):
        plan("fp16", "cpu", scaler=scaler)


@pytest.mark.parametrize(("name", "dtype"), FORMATS)
def test_autocast_has_the_planned_dtype(name, dtype):
    with plan(name, "cpu").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16), plan("fp16", "cpu").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float16


def square(model, batch):
    x, y = batch
    return nn.functional.mse_loss(model(x), y)


def regression(seed=0, rows=12):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    return model, torch.randn(rows, 4), torch.randn(rows, 1)


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("max_norm", [None, 0.05])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_it_is_the_loop_written_out_with_torchs_scaler(name, max_norm, kind):
    model, x, y = regression()
    batches = list(zip(x.split(4), y.split(4), strict=True))
    twin = copy.deepcopy(model)
    recipe, optimizer = plan(name, "cpu", init_scale=64.0, growth_interval=2), kind(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=2, enabled=name == "fp16")
    theirs = kind(twin.parameters(), lr=0.1)
    dtype = dict(FORMATS)[name]
    for _ in range(5):
        report = train_step(model, batches, square, optimizer, recipe, max_norm)

        theirs.zero_grad()
        losses = []
        for batch in batches:
            with torch.autocast("cpu", dtype=dtype, enabled=name != "fp32"):
                loss = square(twin, batch)
            scaler.scale(loss / 3).backward()
            losses.append(loss.item())
        scaler.unscale_(theirs)
        norm = nn.utils.clip_grad_norm_(twin.parameters(), max_norm or math.inf)
        scale = scaler.get_scale()
        scaler.step(theirs)
        scaler.update()
        assert (report.grad_norm, report.scale, report.skipped) == (norm.item(), scale, False)
        assert report.loss == pytest.approx(sum(losses) / 3, rel=1e-6)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))
    assert recipe.scaler.get_scale() == scaler.get_scale()


@pytest.mark.parametrize("parts", [1, 2, 6])
def test_micro_batches_add_up_to_the_whole_batch(parts):
    model, x, y = regression()
    whole = torch.autograd.grad(square(model, (x, y)), list(model.parameters()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    batches = zip(x.split(12 // parts), y.split(12 // parts), strict=True)  # an iterator will do
    report = train_step(model, batches, square, optimizer, plan("fp32", "cpu"))
    assert report.loss == pytest.approx(square(model, (x, y)).item(), rel=1e-6)
    for p, g in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(p.grad, g)
    assert report.grad_norm == pytest.approx(math.sqrt(sum(g.pow(2).sum().item() for g in whole)), rel=1e-5)


def test_the_norm_is_of_real_gradients_and_clipping_holds():
    p = nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([p], lr=1.0)
    recipe = plan("fp16", "cpu")
    report = train_step(p, [None], lambda p, _: (p * 3.0).sum(), optimizer, recipe, max_norm=1.0)
    assert (report.grad_norm, report.scale) == (6.0, 65536.0)
    torch.testing.assert_close(p.detach().norm().item(), 1.0, rtol=1e-5, atol=0)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_an_overflow_is_reported_and_costs_one_step(bad):
    model, x, y = regression()
    optimizer, recipe = torch.optim.AdamW(model.parameters(), lr=0.1), plan("fp16", "cpu", init_scale=64.0)
    held = copy.deepcopy(model.state_dict())
    report = train_step(model, [(x, y * bad), (x, y)], square, optimizer, recipe, max_norm=1.0)
    assert report.skipped is True
    assert report.scale == 64.0
    assert not math.isfinite(report.loss)
    assert not math.isfinite(report.grad_norm)
    assert all(torch.equal(held[k], v) for k, v in model.state_dict().items())
    report = train_step(model, [(x, y)], square, optimizer, recipe, max_norm=1.0)
    assert (report.skipped, report.scale) == (False, 32.0)
    assert not torch.equal(held["0.weight"], model[0].weight)


def test_gradients_of_the_step_before_do_not_linger():
    p = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=1.0)
    for step in (1, 2, 3):
        train_step(p, [None], lambda p, _: p.sum(), optimizer, plan("fp32", "cpu"))
        assert p.item() == -step


def test_a_half_precision_loss_is_divided_in_fp32():
    p = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([p], lr=1.0)
    tiny = 2.0**-24  # fp16's smallest number: half of it is zero there
    report = train_step(p, [None] * 4, lambda p, _: (p.half() * tiny).sum(), optimizer, plan("fp16", "cpu"))
    assert report.loss == tiny
    assert p.grad.item() == tiny


@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_sparse_gradients_have_a_norm_too(max_norm):
    table = nn.Embedding(6, 2, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=1.0)
    before = table.weight.detach().clone()
    batch = torch.tensor([1, 1, 4])
    report = train_step(table, [batch], lambda m, b: m(b).sum(), optimizer, plan("fp16", "cpu"), max_norm)
    assert report.grad_norm == pytest.approx(math.sqrt(2 * 2**2 + 2 * 1**2))
    moved = (table.weight - before).norm().item()
    assert moved == pytest.approx(max_norm or report.grad_norm, rel=1e-4)


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_fp16_parameters_are_refused_up_front(name):
    model, x, y = regression()
    model[2].half()
    asked = []
    with pytest.raises(ValueError, match=r"^Attempting to unscale FP16 gradients\..*keep them in fp32"):
        train_step(
            model, [(x, y)], lambda *a: asked.append(a), torch.optim.SGD(model.parameters(), lr=0.1), plan(name, "cpu")
        )
    assert not asked


def test_a_frozen_fp16_base_under_fp32_adapters_is_fine():
    base, adapter = nn.Linear(2, 2).half().requires_grad_(False), nn.Linear(2, 1)
    optimizer = torch.optim.SGD([*base.parameters(), *adapter.parameters()], lr=0.1)
    recipe = plan("fp16", "cpu", init_scale=1024.0)
    assert not train_step(None, [torch.ones(3, 2)], lambda _, x: adapter(base(x)).mean(), optimizer, recipe).skipped


def test_a_loss_left_in_fp16_skips_the_first_step_since_the_first_scale_is_no_fp16_number():
    model, recipe = nn.Linear(2, 1), plan("fp16", "cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    reports = [train_step(model, [torch.ones(3, 2)], lambda m, x: m(x).mean(), optimizer, recipe) for _ in range(2)]
    assert [(r.scale, r.skipped) for r in reports] == [(65536.0, True), (32768.0, False)]  # fp16 ends at 65504


WRONG = {
    "no batches": ([], lambda m, b: m(b).mean(), ValueError, "batches is empty"),
    "an exhausted iterator": (iter(()), lambda m, b: m(b).mean(), ValueError, "iterator used up"),
    "a tensor": (torch.ones(2, 4), lambda m, b: m(b).mean(), TypeError, r"list of micro-batches, got a Tensor.*\[it\]"),
    "x and y": ((torch.ones(2, 4), torch.ones(2, 1)), square, TypeError, r"a tuple of 2 .*one batch: pass \[batch\]"),
    "a tuple of parts": (torch.ones(8, 4).split(2), lambda m, b: m(b).mean(), TypeError, r"pass list\(batches\)"),
    "inputs, no mask": ((torch.ones(2, 4), None), lambda m, b: m(b[0]).mean(), TypeError, "2 that holds tensors"),
    "x, y of a loader": ([torch.ones(2, 4), torch.ones(2, 1).long()], square, TypeError, r"float32.*int64.*\[batch\]"),
    "x, y of another": ([torch.ones(2, 4), torch.ones(2)], square, TypeError, r"1-dim.*float32, 2-dim.*float32\)"),
    "a dict": ({"x": torch.ones(2, 4)}, lambda m, b: m(b).mean(), TypeError, "got a dict"),
    "no return": ([torch.ones(2, 4)], lambda m, b: None, TypeError, "returned None.*return"),
    "a float": ([torch.ones(2, 4)], lambda m, b: m(b).mean().item(), TypeError, "got a float"),
    "a vector": ([torch.ones(2, 4)], lambda m, b: m(b), ValueError, r"scalar of shape \(\), got \(2, 1\).*mean"),
    "detached": ([torch.ones(2, 4)], lambda m, b: m(b).mean().detach(), ValueError, "depends on no parameter"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_step_is_refused_and_the_next_one_works(case):
    batches, loss_fn, error, says = WRONG[case]
    model, recipe = nn.Linear(4, 1), plan("fp16", "cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(error, match=says):
        train_step(model, batches, loss_fn, optimizer, recipe)
    train_step(model, [torch.ones(2, 4)], lambda m, b: m(b).mean(), optimizer, recipe)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_a_norm_that_would_turn_gradients_round_is_refused(max_norm):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="max_norm must be positive"):
        train_step(model, [torch.ones(2, 4)], lambda m, b: m(b).mean(), optimizer, plan("fp32", "cpu"), max_norm)


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_an_optimizer_of_another_model_is_noticed(name):
    """Without a scaler nothing else would: the norm is 0, the step does nothing, and gradients pile up."""
    used, recipe = nn.Linear(4, 1), plan(name, "cpu", init_scale=4.0)
    batches = [torch.ones(2, 4)]
    for wrong in (copy.deepcopy(used), nn.Linear(4, 1).requires_grad_(False)):
        optimizer = torch.optim.SGD(wrong.parameters(), lr=0.1)
        with pytest.raises(ValueError, match=r"no parameter of the optimizer got a gradient.*this model"):
            train_step(used, batches, lambda m, b: m(b).mean(), optimizer, recipe)
    optimizer = torch.optim.SGD([*used.parameters(), *wrong.parameters()], lr=0.1)
    assert not train_step(used, batches, lambda m, b: m(b).mean(), optimizer, recipe).skipped, "one is enough"


def test_micro_batches_may_be_tuples_dicts_or_tensors_of_different_lengths():
    model, recipe = nn.Linear(4, 1), plan("fp32", "cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x, y = torch.ones(3, 2, 4), torch.ones(3, 2, 1)
    pairs = tuple(zip(x, y, strict=True))  # a tuple that holds no tensors itself
    assert train_step(model, pairs, square, optimizer, recipe) == train_step(model, [*pairs], square, optimizer, recipe)
    train_step(model, ({"x": x}, {"x": x}), lambda m, b: m(b["x"]).mean(), optimizer, recipe)
    train_step(model, [x[:, :1], x], lambda m, b: m(b).mean(), optimizer, recipe)
    train_step(model, list(x.split(1)), lambda m, b: m(b).mean(), optimizer, recipe)


def test_clipping_before_unscaling_stops_sgd_and_this_order_does_not():
    """The fault that AdamW hides: the gradients, still times 65536, are cut to 1, and then divided by 65536."""
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    y = x @ torch.tensor([[3.0], [-2.0], [1.0], [4.0]])
    losses = {}
    for order in ("clip first", "train_step"):
        model, recipe = nn.Linear(4, 1), plan("fp16", "cpu")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with torch.no_grad():
            first = square(model, (x, y)).item()
        for _ in range(100):
            if order == "train_step":
                train_step(model, [(x, y)], square, optimizer, Plan(torch.float32, recipe.device, recipe.scaler, ""), 1)
                continue
            optimizer.zero_grad()
            recipe.scaler.scale(square(model, (x, y))).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            recipe.scaler.step(optimizer)
            recipe.scaler.update()
        losses[order] = square(model, (x, y)).item() / first
    assert losses["clip first"] > 0.99
    assert losses["train_step"] < 1e-3
