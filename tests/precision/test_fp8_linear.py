"""The FP8 layer: its three products equal what is written out in fp64, and it takes the place of nn.Linear."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm

from dslab.precision.fp8 import calc_diff, quantize
from dslab.precision.fp8_linear import Fp8Linear, Recipe, convert
from dslab.precision.fp8_product import fp8_matmul

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
SCHEMES = ["tensor", "row", "1x128", "mx32"]


def problem(tokens=150, in_features=200, out_features=140, spread=2.0, seed=0):
    """x, W, dy whose size varies along both of their dimensions: tiles along the wrong one give other numbers."""
    g = torch.Generator().manual_seed(seed)

    def uneven(rows, columns):
        sizes = [torch.exp(spread * torch.randn(shape, generator=g)) for shape in ((rows, 1), (1, columns))]
        return torch.randn(rows, columns, generator=g) * sizes[0] * sizes[1]

    return uneven(tokens, in_features), uneven(out_features, in_features), uneven(tokens, out_features)


def layer_with(weight, **options):
    layer = Fp8Linear(weight.shape[1], weight.shape[0], bias=False, **options)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def products(layer, x, dy):
    x = x.clone().requires_grad_()
    y = layer(x)
    dx, dw = torch.autograd.grad(y, [x, layer.weight], dy)
    return y.detach(), dx, dw


def written_out(x, w, dy, scheme, weights, grad_dtype=E4M3, dtype=E4M3):
    """(value, sum of the magnitudes of its terms) of each product, in fp64. `weights`: how W lies in forward, dgrad."""

    def q(t, how, d=dtype, floor=None):
        return quantize(t, how, d, amax_floor=floor).dequantize(torch.float64)

    pairs = [
        (q(x, scheme), q(w, weights).T),
        (q(dy, scheme, grad_dtype, 1e-40), q(w.T, weights).T),
        (q(dy.T, scheme, grad_dtype, 1e-40), q(x.T, scheme).T),
    ]
    return [(a @ b, a.abs() @ b.abs()) for a, b in pairs]


@pytest.mark.parametrize("grad_dtype", [E4M3, E5M2])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("sizes", [(150, 200, 140), (1, 128, 64), (300, 31, 257)])
def test_all_three_products_equal_the_definition(scheme, grad_dtype, sizes):
    x, w, dy = problem(*sizes)
    ours = products(layer_with(w, scheme=scheme, grad_dtype=grad_dtype), x, dy)
    expected = written_out(x, w, dy, scheme, "128x128" if scheme == "1x128" else scheme, grad_dtype)
    for value, (exact, magnitude) in zip(ours, expected, strict=True):
        # The dequantized factors are rounded to fp32, then there are at most 300 additions.
        assert ((value.double() - exact).abs() <= 310 * 2.0**-24 * magnitude).all()


def test_both_dtypes_reach_their_products():
    x, w, dy = problem()
    ours = products(layer_with(w, scheme="row", dtype=E5M2, grad_dtype=E4M3), x, dy)
    for value, (exact, _) in zip(ours, written_out(x, w, dy, "row", "row", E4M3, E5M2), strict=True):
        assert calc_diff(value, exact) < 1e-12


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_fast_products_are_those_of_fp8_matmul(scheme):
    x, w, dy = problem()
    fast = products(layer_with(w, scheme=scheme), x, dy)
    # 52 bits cut off nothing: the same sums, taken by fp8_matmul.
    slow = products(layer_with(w, scheme=scheme, accumulator_bits=52), x, dy)
    recipe = Recipe(scheme)
    direct = fp8_matmul(recipe.activation(x), recipe.weight(w))
    for value, other in zip([*fast, fast[0]], [*slow, direct], strict=True):
        assert calc_diff(value, other) < 1e-12
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5 * float(value.abs().max()))


def test_a_short_accumulator_reaches_every_product():
    x, w, dy = (t.abs() for t in problem(spread=0.0, tokens=1024, in_features=1024, out_features=1024))
    full = products(layer_with(w, scheme="row"), x, dy)
    never, often = (
        products(layer_with(w, scheme="row", accumulator_bits=12, promote_every=promote_every), x, dy)
        for promote_every in (None, 128)
    )
    for exact, a, b in zip(full, never, often, strict=True):
        errors = [float(((short - exact) / exact).abs().max()) for short in (a, b)]
        assert 1e-3 < errors[0] < 1e-2
        assert 1e-4 < errors[1] < errors[0] / 3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_close_to_fp32_on_random_data(scheme):
    x, w, dy = problem(256, 512, 384, spread=0.0)
    ours = products(layer_with(w, scheme=scheme), x, dy)
    for value, exact in zip(ours, (x @ w.T, dy @ w, dy.T @ x), strict=True):
        assert 1e-5 < calc_diff(value, exact) < 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("power", [-40, 40])
def test_small_gradients_are_not_flushed(scheme, power):
    """A loss 2^-40 times as large, as a mean over more tokens is smaller, has gradients 2^-40 times as large."""
    x, w, dy = problem(spread=0.0)
    layer = layer_with(w, scheme=scheme)
    for one, scaled in zip(products(layer, x, dy)[1:], products(layer, x, dy * 2.0**power)[1:], strict=True):
        assert torch.equal(one * 2.0**power, scaled)


def test_the_floor_of_activations_would_flush_them():
    x, w, dy = problem(spread=0.0)
    _, dx, dw = products(layer_with(w, grad_amax_floor=1e-4), x, dy * 1e-11)
    assert dx.abs().max() == dw.abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (2, 1, 4), (0,), (2, 0)])
def test_leading_dimensions_and_input_dtypes(dtype, leading):
    layer = Fp8Linear(48, 32)
    x = torch.randn(*leading, 48, dtype=dtype, requires_grad=True)
    y = layer(x)
    assert (y.shape, y.dtype) == ((*leading, 32), dtype)
    y.float().square().sum().backward()
    assert (x.grad.shape, x.grad.dtype, layer.weight.grad.dtype) == (x.shape, dtype, torch.float32)
    assert layer.weight.grad.isfinite().all()
    with torch.no_grad():
        assert torch.equal(layer(x), y)
    if x.numel():
        plain = nn.functional.linear(x.float(), layer.weight, layer.bias)
        assert calc_diff(y.float(), plain) < 3e-3


def test_bias_is_not_quantized_and_gets_its_gradient():
    layer = Fp8Linear(16, 8)
    with torch.no_grad():
        layer.bias.copy_(torch.arange(8) + 1 / 3)
    assert torch.equal(layer(torch.zeros(4, 16)), layer.bias.expand(4, 8))
    layer(torch.zeros(4, 16)).backward(torch.full((4, 8), 0.3))
    torch.testing.assert_close(layer.bias.grad, torch.full((8,), 1.2))


@pytest.mark.parametrize("frozen", ["weight", "x"])
def test_what_wants_no_gradient_gets_none_and_keeps_nothing(frozen):
    x, w, dy = problem()
    layer = layer_with(w)
    whole = products(layer, x, dy)
    kept = []
    layer.weight.requires_grad_(frozen != "weight")
    x.requires_grad_(frozen != "x")
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
        y = layer(x)
    y.backward(dy)
    got, expected = (x.grad, whole[1]) if frozen == "weight" else (layer.weight.grad, whole[2])
    assert torch.equal(got, expected)
    assert (layer.weight.grad if frozen == "weight" else x.grad) is None
    assert sum(kept) < (w.numel() if frozen == "weight" else x.numel()) * 1.1  # a byte an element, and the scales


def test_autocast_decides_the_dtype_but_not_the_products():
    x, w, dy = problem()
    layer = layer_with(w)
    y, dx, dw = products(layer, x, dy)
    with torch.autocast("cpu", torch.bfloat16):
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, y.bfloat16())
        got = torch.autograd.grad(out, [leaf, layer.weight], dy.bfloat16())
        exact = fp8_matmul(quantize(x), quantize(w, "128x128"))
    assert torch.equal(exact, fp8_matmul(quantize(x), quantize(w, "128x128")))
    for value, other in zip(got, products(layer, x, dy.bfloat16().float())[1:], strict=True):
        assert torch.equal(value, other)
    assert dx.dtype == dw.dtype == torch.float32


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stays_visible(bad):
    x, w, dy = problem(spread=0.0)
    layer = layer_with(w)
    broken = x.clone()
    broken[3, 5] = bad
    y = layer(broken)
    assert y[3].isnan().all()
    assert torch.equal(y[4:], layer(x)[4:])
    gradient = dy.clone()
    gradient[3, 5] = bad
    _, dx, dw = products(layer, x, gradient)
    assert dx.isnan().any(1).nonzero().flatten().tolist() == [3]
    assert dw.isnan().any(1).nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_trains(scheme):
    """fp32 fits this to 1e-5; FP8 stops where the rounding of its forward products leaves it: 1 to 2 % of the start."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(256, 32, generator=g)
    target = torch.sin(x @ torch.randn(32, 4, generator=g) / 3)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 4))
    model = copy.deepcopy(plain)
    assert convert(model, scheme=scheme) == ["0", "2"]
    assert model[0].recipe == Recipe(scheme)
    for trained, bound in ((plain, 1e-3), (model, 0.04)):
        optimizer, losses = torch.optim.AdamW(trained.parameters(), lr=1e-2), []
        for _ in range(150):
            loss = (trained(x) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < bound * losses[0]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 16)
        self.attention = nn.MultiheadAttention(16, 2)

    def forward(self, x):
        return self.down(self.up(x))


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.layers = nn.ModuleList([Block(), Block()])
        self.lm_head = nn.Linear(16, 50, bias=False)
        self.lm_head.weight = self.embed.weight

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = x + layer(x)
        return self.lm_head(x)


def test_convert_replaces_in_place_and_keeps_the_parameters():
    model = Tiny().eval()
    before, ids = dict(model.named_parameters()), torch.arange(20).view(2, 10)
    plain = model(ids)
    assert convert(model) == ["layers.0.up", "layers.0.down", "layers.1.up", "layers.1.down"]
    assert isinstance(model.layers[0].up, Fp8Linear)
    assert not model.layers[0].up.training
    assert type(model.lm_head) is nn.Linear
    after = dict(model.named_parameters())
    assert before.keys() == after.keys()
    assert all(after[name] is p for name, p in before.items())
    assert 0 < calc_diff(model(ids), plain) < 1e-3
    Tiny().load_state_dict(model.state_dict())
    assert "scheme='1x128'" in repr(model)
    assert torch.equal(copy.deepcopy(model)(ids), model(ids))


@pytest.mark.parametrize(
    ("skip", "converted"),
    [
        ((), ["layers.0.up", "layers.0.down", "layers.1.up", "layers.1.down", "lm_head"]),
        (("lm_head", "up"), ["layers.0.down", "layers.1.down"]),
        (("lm_head", "layers.0"), ["layers.1.up", "layers.1.down"]),
        (("head", "ayers.0", "u"), ["layers.0.up", "layers.0.down", "layers.1.up", "layers.1.down", "lm_head"]),
    ],
)
def test_skip_takes_whole_parts_of_names(skip, converted):
    assert convert(Tiny(), skip=skip) == converted


def test_a_layer_with_two_names_stays_one_layer():
    shared = nn.Linear(8, 8)
    model = nn.ModuleDict({"a": shared, "b": shared})
    assert convert(model) == ["a", "b"]
    assert model["a"] is model["b"]
    assert isinstance(model["a"], Fp8Linear)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: convert(nn.Sequential(nn.ReLU())), ValueError, "nothing to convert.*none"),
        (lambda: convert(Tiny(), skip=("layers", "lm_head")), ValueError, "layers.0.up, .*leaves none"),
        (lambda: convert(nn.Linear(2, 2)), ValueError, "Fp8Linear.from_linear"),
        (lambda: convert(Tiny(), skip="lm_head"), ValueError, "tuple"),
        (lambda: convert(Tiny().bfloat16()), ValueError, "fp32, got torch.bfloat16"),
        (lambda: Fp8Linear(8, 8, scheme="128x128"), ValueError, "'mx32'; got '128x128'"),
        (lambda: Fp8Linear(8, 8, grad_dtype=torch.float16), ValueError, "float8_e5m2; got torch.float16"),
        (lambda: Fp8Linear(8, 8, bits=14), TypeError, "no option bits; it has scheme"),
        (lambda: convert(Tiny(), bits=14), TypeError, "no option bits; it has scheme"),
        (lambda: Recipe(promote_every=7), ValueError, "multiple of 32; got 7"),
        (lambda: Recipe(promote_every=256), ValueError, "32, 64 or 128; got 256"),
        (lambda: Recipe(promote_every=None), ValueError, "32, 64 or 128; got None"),
        (lambda: Fp8Linear(8, 8, accumulator_bits=1), ValueError, "2..52, whole; got 1"),
        (lambda: Fp8Linear(8, 8, accumulator_bits=14.5), ValueError, "2..52, whole; got 14.5"),
        (lambda: convert(Tiny(), scheme="row", promote_every=0), ValueError, "multiple of 32; got 0"),
        (lambda: Recipe(grad_amax_floor=-1.0), ValueError, "grad_amax_floor must be .* got -1.0"),
        (lambda: Recipe(grad_amax_floor=math.nan), ValueError, "grad_amax_floor must be .* got nan"),
        (lambda: Fp8Linear(8, 8)(torch.zeros(3, 9)), ValueError, r"\(\.\.\., 8\); got \(3, 9\)"),
    ],
)
def test_bad_use_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_a_refused_conversion_changes_nothing():
    model = Tiny()
    model.layers[1].down.bfloat16()
    with pytest.raises(ValueError, match="fp32"):
        convert(model)
    assert type(model.layers[0].up) is nn.Linear


def with_everything(linear):
    """Hooks of each kind, a buffer, an attribute, evaluation mode; returns what the hooks saw and their handles."""
    seen = []
    handles = [
        linear.register_forward_pre_hook(lambda m, x: seen.append(("before", m))),
        linear.register_forward_hook(lambda m, x, y: seen.append(("after", m))),
        linear.register_forward_hook(lambda m, x, k, y: seen.append(("with keywords", m)), with_kwargs=True),
        linear.register_full_backward_hook(lambda m, gx, gy: seen.append(("backward", m))),
    ]
    linear.register_buffer("steps", torch.tensor(3), persistent=False)
    linear.note = "kept"
    linear.eval()
    return seen, handles


def test_convert_keeps_hooks_handles_buffers_and_who_holds_the_layer():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    held = model[0]
    seen, handles = with_everything(held)
    assert convert(model) == ["0"]
    assert model[0] is held
    assert isinstance(held, Fp8Linear)
    model(torch.ones(2, 8, requires_grad=True)).sum().backward()
    assert seen == [(when, held) for when in ("before", "after", "with keywords", "backward")]
    assert (held.steps.item(), held.note, held.training, "steps" in held.state_dict()) == (3, "kept", False, False)
    for handle in handles:
        handle.remove()
    seen.clear()
    model(torch.ones(2, 8)).sum().backward()
    assert not seen


def test_from_linear_brings_the_same_along_and_leaves_the_layer_alone():
    linear = nn.Linear(8, 8)
    seen, _ = with_everything(linear)
    layer = Fp8Linear.from_linear(linear, scheme="row")
    assert (layer.recipe, layer.weight is linear.weight, layer.bias is linear.bias) == (Recipe("row"), True, True)
    layer(torch.ones(2, 8, requires_grad=True)).sum().backward()
    assert seen == [(when, layer) for when in ("before", "after", "with keywords", "backward")]
    assert (layer.steps.item(), layer.note, layer.training) == (3, "kept", False)
    layer.bias = None
    layer.register_forward_hook(lambda *_: seen.append("new"))
    seen.clear()
    linear(torch.ones(2, 8))
    assert type(linear) is nn.Linear
    assert linear.bias is not None
    assert seen == [(when, linear) for when in ("before", "after", "with keywords")]


def test_a_converted_model_is_copied_and_pickled():
    model = Tiny()
    convert(model, scheme="mx32")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.layers[0].up.recipe == Recipe("mx32")
        assert torch.equal(twin(torch.arange(9)), model(torch.arange(9)))


def test_a_layer_skipped_under_one_of_its_names_is_left_alone():
    shared = nn.Linear(8, 8)
    model = nn.ModuleDict({"a": shared, "lm_head": shared, "b": nn.Linear(8, 8)})
    assert convert(model) == ["b"]
    assert type(model["a"]) is type(model["lm_head"]) is nn.Linear


def replaced_forward(linear):
    linear.forward = linear.forward
    return linear


SPECIAL = {
    "spectral norm": (parametrizations.spectral_norm, "is no parameter but computed"),
    "weight norm": (parametrizations.weight_norm, "is no parameter but computed"),
    "weight norm, old": (weight_norm, "is no parameter but computed"),
    "pruned": (lambda linear: prune.l1_unstructured(linear, "weight", 0.5), "is no parameter but computed"),
    "pruned bias": (lambda linear: prune.l1_unstructured(linear, "bias", 0.5), "is no parameter but computed"),
    "forward": (replaced_forward, "its forward has been replaced"),
    "fp16 bias": (lambda linear: setattr(linear, "bias", nn.Parameter(torch.zeros(16).half())), "must be fp32"),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("case", SPECIAL)
def test_what_would_be_lost_is_refused_and_nothing_is_changed(case):
    change, says = SPECIAL[case]
    model = Tiny()
    change(model.layers[1].down)
    with pytest.raises(ValueError, match=rf"layers\.1\.down: .*{says}.*, or pass its name in skip"):
        convert(model)
    assert type(model.layers[0].up) is nn.Linear
    with pytest.raises(ValueError, match=says):
        Fp8Linear.from_linear(model.layers[1].down)
    assert convert(model, skip=("lm_head", "layers.1.down")) == ["layers.0.up", "layers.0.down", "layers.1.up"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_parameters_cast_after_the_conversion_are_refused(dtype):
    model = nn.Sequential(nn.Linear(8, 8))
    convert(model)
    model.to(dtype)
    for grad in (True, False):
        with torch.set_grad_enabled(grad), pytest.raises(ValueError, match=rf"must be fp32, got {dtype}.*model\.float"):
            model(torch.ones(2, 8, dtype=dtype))
    model.float()(torch.ones(2, 8))
