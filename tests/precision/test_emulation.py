"""Emulated autocast against real narrow operands, bit for bit, and against torch's own autocast, to one last place."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dslab.models.tiny import TinyLM, batches, corpus
from dslab.precision import GradScaler, emulate
from dslab.precision.rounding import DTYPES, format_of

G = torch.Generator().manual_seed(0)


def draw(*shape):
    return torch.randn(shape, generator=G)


a, b, c, v = draw(8, 16), draw(16, 4), draw(8, 4), draw(16)
A, B, C = draw(3, 8, 16), draw(3, 16, 4), draw(3, 8, 4)
q, k = draw(2, 2, 8, 4), draw(2, 2, 8, 4)
image, line, cube = draw(2, 3, 6, 6), draw(2, 3, 9), draw(1, 2, 4, 4, 4)

# Every product: (call, its tensors). Those in ONLY_CUDA stay in fp32 under the CPU's autocast.
PRODUCTS = {
    "linear": (F.linear, [a, b.T.contiguous(), draw(4)]),
    "linear by name": (lambda x, w: F.linear(input=x, weight=w), [a, b.T.contiguous()]),
    "linear of 3 axes": (F.linear, [A, b.T.contiguous(), draw(4)]),
    "torch.matmul": (torch.matmul, [a, b]),
    "matmul by name": (lambda x, y: torch.matmul(x, other=y), [a, b]),
    "matmul broadcast": (torch.matmul, [A, b]),
    "Tensor.matmul": (torch.Tensor.matmul, [a, b]),
    "@": (lambda x, y: x @ y, [a, b]),
    "__rmatmul__": (lambda x, y: y.__rmatmul__(x), [a, b]),
    "linalg.matmul": (torch.linalg.matmul, [a, b]),
    "torch.mm": (torch.mm, [a, b]),
    "Tensor.mm": (torch.Tensor.mm, [a, b]),
    "torch.bmm": (torch.bmm, [A, B]),
    "Tensor.bmm": (torch.Tensor.bmm, [A, B]),
    "torch.mv": (torch.mv, [a, v]),
    "Tensor.mv": (torch.Tensor.mv, [a, v]),
    "torch.addmm": (torch.addmm, [c, a, b]),
    "addmm scaled": (lambda x, y, z: torch.addmm(x, y, z, beta=0.5, alpha=3.0), [c, a, b]),
    "Tensor.addmm": (torch.Tensor.addmm, [c, a, b]),
    "torch.baddbmm": (torch.baddbmm, [C, A, B]),
    "Tensor.baddbmm": (torch.Tensor.baddbmm, [C, A, B]),
    "torch.addbmm": (torch.addbmm, [c, A, B]),
    "Tensor.addbmm": (torch.Tensor.addbmm, [c, A, B]),
    "torch.addmv": (torch.addmv, [draw(8), a, v]),
    "Tensor.addmv": (torch.Tensor.addmv, [draw(8), a, v]),
    "torch.addr": (torch.addr, [draw(16, 16), v, v.flip(0)]),
    "Tensor.addr": (torch.Tensor.addr, [draw(16, 16), v, v.flip(0)]),
    "einsum": (lambda x, y: torch.einsum("ij,jk->ik", x, y), [a, b]),
    "einsum of a list": (lambda x, y: torch.einsum("bij,bjk->bik", [x, y]), [A, B]),
    "chain_matmul": (torch.chain_matmul, [a, b]),
    "multi_dot of a tuple": (lambda x, y: torch.linalg.multi_dot((x, y)), [a, b]),
    "vecdot": (torch.linalg.vecdot, [a, a.flip(0)]),
    "conv1d": (F.conv1d, [line, draw(4, 3, 3), draw(4)]),
    "conv2d": (lambda x, w: F.conv2d(x, w, stride=(2, 1), padding=1), [image, draw(4, 3, 3, 3)]),
    "conv3d": (F.conv3d, [cube, draw(2, 2, 2, 2, 2), draw(2)]),
    "conv_tbc": (F.conv_tbc, [draw(5, 2, 3), draw(3, 3, 4), draw(4)]),
    "conv_transpose1d": (F.conv_transpose1d, [line, draw(3, 4, 3), draw(4)]),
    "conv_transpose2d": (F.conv_transpose2d, [image, draw(3, 4, 3, 3)]),
    "conv_transpose3d": (F.conv_transpose3d, [cube, draw(2, 2, 2, 2, 2)]),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), [q, k, draw(2, 2, 8, 4)]),
    "attention, mask": (F.scaled_dot_product_attention, [q, k, draw(2, 2, 8, 4), draw(8, 8)]),
}  # fmt: skip
PARTIAL_SUMS_NARROW = ("conv", "torch.addbmm", "Tensor.addbmm", "vecdot", "attention")
ONLY_CUDA = {"torch.mv", "Tensor.mv", "torch.addmv", "Tensor.addmv", "torch.addr", "Tensor.addr"}


def run(call, tensors, gradient=None):
    """The result, and the gradients of all tensors for one (else random) gradient of the result."""
    leaves = [x.clone().requires_grad_() for x in tensors]
    y = call(*leaves)
    if gradient is None:
        gradient = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return [y.detach(), *torch.autograd.grad(y, leaves, gradient.to(y.dtype))]


def emulated(dtype, call, **options):
    def inside(*leaves):
        with emulate(dtype, **options):
            return call(*leaves)

    return inside


def cast(x, dtype):
    """To real narrow numbers and back: autograd casts the gradient on the same way back."""
    return x.to(dtype).to(x.dtype)


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_real_narrow_operands_and_wide_sums(name, dtype):
    call, tensors = PRODUCTS[name]
    ours = run(emulated(dtype, call), tensors)
    by_casts = run(lambda *xs: cast(call(*(cast(x, dtype) for x in xs)), dtype), tensors)
    assert all(map(torch.equal, ours, by_casts))
    assert not any(map(torch.equal, ours, run(call, tensors))), "nothing was rounded"
    assert all(torch.equal(x, cast(x, dtype)) for x in ours), "the result and every gradient are narrow numbers"


def last_place(x, to):
    """Distance to the next number of the format."""
    exponent = (torch.frexp(x).exponent - 1).clamp(min=to.lowest_exponent)
    return torch.ldexp(torch.ones_like(x), exponent - to.mantissa_bits)


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", sorted(set(PRODUCTS) - ONLY_CUDA))
def test_a_product_is_torch_s_autocast_to_one_last_place(name, dtype):
    """Kernels of the CPU that keep partial sums narrow are off by two last places of the largest number at most."""
    call, tensors = PRODUCTS[name]

    def real(*leaves):
        with torch.autocast("cpu", dtype):
            y = call(*leaves)
        assert y.dtype == dtype
        return y

    for ours, theirs in zip(run(emulated(dtype, call), tensors), run(real, tensors), strict=True):
        theirs = theirs.float()
        step = last_place(torch.maximum(ours.abs(), theirs.abs()), format_of(dtype))
        if name.startswith(PARTIAL_SUMS_NARROW):
            step = 2 * step.max()
        assert ((ours - theirs).abs() <= step).all()


UNTOUCHED = {
    "softmax": (lambda x: x.softmax(-1), [a]),
    "log_softmax": (lambda x: F.log_softmax(x, -1), [a]),
    "layer_norm": (lambda x, w: F.layer_norm(x, (16,), w), [a, v]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (16,), w), [a, v]),
    "cross_entropy": (lambda x: F.cross_entropy(x, torch.arange(8)), [a]),
    "mse_loss": (F.mse_loss, [a, a.flip(0)]),
    "sum": (torch.sum, [a]),
    "mean": (torch.mean, [a]),
    "embedding": (lambda w: F.embedding(torch.tensor([0, 3, 3]), w), [a]),
    "gelu": (F.gelu, [a]),
    "add and multiply": (lambda x, y: (x + 3 * y) * y, [a, a.flip(0)]),
    "transpose, reshape, index": (lambda x: x.T.reshape(4, 32)[:, 3:], [a]),
    # Products that CUDA's autocast leaves in the widest of their inputs' formats.
    "dot": (torch.dot, [v, v.flip(0)]),
    "bilinear": (F.bilinear, [a, a.flip(0), draw(4, 16, 16)]),
    "tensordot": (lambda x, y: torch.tensordot(x, y, 1), [a, b]),
    # Autocast leaves these alone, on every device.
    "addmm_ in place": (lambda x, y, z: x.clone().addmm_(y, z), [c, a, b]),
    "baddbmm_ in place": (lambda x, y, z: x.clone().baddbmm_(y, z), [C, A, B]),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_everything_else_stays_as_it_is(name):
    call, tensors = UNTOUCHED[name]
    with emulate("e4m3") as seen:
        inside = run(call, tensors)
    assert all(map(torch.equal, inside, run(call, tensors)))
    assert (seen.nonzero, seen.flushed, seen.overflowed) == (0, 0, 0)


def test_a_given_result_tensor_is_filled_unrounded_as_autocast_does():
    for product in (torch.mm, torch.matmul):
        out = torch.zeros(8, 4)
        with emulate("e4m3"):
            got = product(a, b, out=out)
        assert got is out
        assert torch.equal(out, product(a, b))
        with emulate("e4m3"):
            assert torch.equal(product(a, b, out=None), emulated("e4m3", product)(a, b)), "None is none"


@pytest.mark.parametrize(
    "module",
    [nn.MultiheadAttention(16, 2), *(kind(16, 8) for kind in (nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell))],
    ids=lambda m: type(m).__name__,
)  # fmt: skip
def test_modules_whose_products_hide_are_refused_not_skipped(module):
    args = [a] * 3 if isinstance(module, nn.MultiheadAttention) else [a]
    with emulate("fp16"), pytest.raises(NotImplementedError, match=r"emulate cannot reach the products inside \w+; wr"):
        module(*args)
    module(*args)


@pytest.mark.parametrize("name", ["fp16", "bf16", "e4m3", "e5m2", "e3m4", "fp32"])
def test_every_format_and_every_way_to_name_it(name):
    y = emulated(name, torch.matmul)(a, b)
    assert torch.equal(y, emulated(format_of(name), torch.matmul)(a, b))
    if name in DTYPES:
        assert torch.equal(y, emulated(DTYPES[name], torch.matmul)(a, b))
    assert torch.equal(y, a @ b) == (name == "fp32")


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="expected one of fp32"):
        emulate("fp17")


def test_doubles_are_rounded_and_stay_doubles_and_integers_pass():
    y = emulated("fp16", torch.matmul)(a.double(), b.double())
    assert y.dtype == torch.float64
    assert torch.equal(y, (a.half().double() @ b.half().double()).half().double())
    with emulate("fp16"):
        assert torch.equal(torch.arange(4096, 4100) @ torch.ones(4, dtype=torch.long), torch.tensor(16390))


# The counts.


def backward_of(gradient, dtype="fp16", **options):
    """The gradient of a weight and what was counted, when exactly this gradient arrives at a product with 1."""
    weight = torch.ones(1, 1, requires_grad=True)
    with emulate(dtype, **options) as seen:
        y = torch.mm(torch.ones(len(gradient), 1), weight)
    y.backward(torch.tensor(gradient)[:, None])
    return weight.grad.item(), seen


JUST_ABOVE = math.ldexp(1 + 2.0**-23, -25)


@pytest.mark.parametrize(
    ("gradient", "nonzero", "flushed", "overflowed", "kept"),
    [
        ([2.0**-25], 1, 1, 0, 0.0),  # a tie, to even: zero
        ([-(2.0**-25)], 1, 1, 0, 0.0),
        ([JUST_ABOVE], 2, 0, 0, 2.0**-24),  # counted where it arrives and again at the weight
        ([2.0**-26, 2.0**-24, 0.0], 3, 1, 0, 2.0**-24),
        ([0.0, -0.0], 0, 0, 0, 0.0),
        ([65519.0], 2, 0, 0, 65504.0),
        ([65520.0], 2, 0, 1, math.inf),
        ([-1e9], 2, 0, 1, -math.inf),
        ([60000.0, 60000.0], 3, 0, 1, math.inf),  # both fit, their sum does not
        ([math.inf], 2, 0, 0, math.inf),  # inf before the rounding is not the rounding's doing
        ([math.nan], 2, 0, 0, math.nan),
        ([1.0, 2.0], 3, 0, 0, 3.0),
    ],
)
def test_counts_of_hand_made_gradients(gradient, nonzero, flushed, overflowed, kept):
    got, seen = backward_of(gradient)
    assert (seen.nonzero, seen.flushed, seen.overflowed) == (nonzero, flushed, overflowed)
    assert got == kept or (math.isnan(got) and math.isnan(kept))
    assert seen.lost == flushed / nonzero if nonzero else math.isnan(seen.lost)


def test_e4m3_stops_at_its_largest_and_bf16_loses_nothing_here():
    got, seen = backward_of([1000.0], "e4m3")
    assert (got, seen.overflowed, seen.flushed) == (448.0, 0, 0)
    assert backward_of([2.0**-11], "e4m3")[1].flushed == 1
    got, seen = backward_of([2.0**-40], "bf16")
    assert (got, seen.lost) == (2.0**-40, 0.0)


def test_without_counting_the_numbers_are_the_same():
    gradient = [2.0**-25, 2.0**-24, 1e9]
    got, seen = backward_of(gradient, count=False)
    assert got == backward_of(gradient)[0]
    assert (seen.nonzero, seen.flushed, seen.overflowed) == (0, 0, 0)
    assert math.isnan(seen.lost)


def test_what_needs_no_gradient_is_not_counted_and_every_argument_is():
    weight, bias = torch.ones(3, 2, requires_grad=True), torch.ones(3, requires_grad=True)
    with emulate("fp16") as seen:
        y = F.linear(torch.ones(4, 2), weight, bias)
    y.sum().backward()
    assert seen.nonzero == 4 * 3 + 3 * 2 + 3


# The context.


def test_backward_after_leaving_rounds_and_counts_and_the_counts_add_up():
    weight = b.clone().requires_grad_()
    seen = emulate("fp16")
    for times in (1, 2):
        with seen:
            y = a @ weight
        weight.grad = None
        y.backward(torch.full_like(y, 2.0**-26))
        assert (seen.flushed, seen.nonzero) == (times * y.numel(), times * y.numel())
        assert not weight.grad.any()


def test_outside_and_after_an_error_all_is_as_before():
    plain = a @ b

    def fail():
        with emulate("e4m3"):
            assert not torch.equal(a @ b, plain)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(a @ b, plain)
    with emulate("e4m3"), pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        a @ a
    assert torch.equal(a @ b, plain)


def test_of_nested_contexts_the_inner_one_acts():
    narrow = {name: emulated(name, torch.matmul)(a, b) for name in ("e3m2", "e4m3", "fp32")}
    weight = b.clone().requires_grad_()
    with emulate("e4m3") as outer:
        for inner in ("e3m2", "fp32"):
            with emulate(inner) as seen:
                y = a @ weight
            assert torch.equal(y, narrow[inner])
            y.sum().backward()
            assert seen.nonzero > 0
            assert outer.nonzero == 0, "a gradient was counted twice"
        assert torch.equal(a @ b, narrow["e4m3"])
        with pytest.raises(KeyError), emulate("e3m2"):
            raise KeyError
        assert torch.equal(a @ b, narrow["e4m3"])
    assert torch.equal(a @ b, narrow["fp32"])


@pytest.mark.parametrize("dtype", ["fp16", "e5m10"])  # the same format, by torch's cast and by the definition
def test_gradients_of_gradients_are_rounded_too(dtype):
    def penalty(product):
        x = a.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((product(x, b) ** 2).sum(), x, create_graph=True)
        return torch.autograd.grad((gradient**2).sum(), x)[0]

    exact, ours = penalty(torch.matmul), penalty(emulated(dtype, torch.matmul))
    by_casts = penalty(lambda x, y: cast(cast(x, torch.float16) @ cast(y, torch.float16), torch.float16))
    assert torch.equal(ours, by_casts)
    assert 0 < (ours - exact).norm() < 1e-3 * exact.norm()


def test_modules_run_inside_and_leave_their_parameters_alone():
    layer = nn.Linear(16, 4)
    before = layer.weight.detach().clone()
    with emulate("fp16"):
        y = layer(a)
    assert torch.equal(y, F.linear(a.half().float(), before.half().float(), layer.bias.half().float()).half().float())
    assert torch.equal(layer.weight, before)
    y.sum().backward()
    assert torch.equal(layer.weight.grad, cast(layer.weight.grad, torch.float16))


# Whole trainings.


def train(forward, steps=6, scaler=None, loss_scale=1.0):
    """Losses, and the gradients of the first step, of a tiny model under AdamW."""
    torch.manual_seed(0)
    model = TinyLM(width=32, layers=2, heads=2, context=32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses, first = [], None
    for batch in batches(TEXT, steps, rows=4, length=32, seed=1):
        loss = forward(model, batch)
        loss_backward = loss * loss_scale
        (scaler.scale(loss_backward) if scaler else loss_backward).backward()
        if first is None:
            first = {name: p.grad.clone() for name, p in model.named_parameters()}
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return torch.tensor(losses), first


TEXT = corpus()


def under(context):
    def forward(model, batch):
        with context():
            return model.loss(batch)

    return forward


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("loss_scale", [1.0, 2.0**-12])
def test_a_training_follows_real_autocast(dtype, loss_scale):
    """Losses to 1e-4 of themselves in fp16 and 1e-3 in bf16; the share of zero gradients to a thousandth; every
    gradient of the first step to four roundings."""
    real = under(lambda: torch.autocast("cpu", DTYPES[dtype], cache_enabled=False))
    theirs, their_first = train(real, loss_scale=loss_scale)
    ours, our_first = train(under(lambda: emulate(dtype)), loss_scale=loss_scale)
    assert theirs[-1] < theirs[0] - 0.3, "nothing was learned, nothing is compared"
    tolerance = {"fp16": 1e-4, "bf16": 1e-3}[dtype]
    assert ((ours - theirs).abs() <= tolerance * theirs).all()

    def share_of_zeros(gradients):
        named = [g.flatten() for name, g in gradients.items() if "embed" not in name]  # unused bytes have none anyway
        return float((torch.cat(named) == 0).float().mean())

    assert share_of_zeros(our_first) == pytest.approx(share_of_zeros(their_first), abs=0.001)
    if dtype == "fp16" and loss_scale < 1:
        assert share_of_zeros(our_first) > 0.5
    for name, gradient in their_first.items():
        assert (our_first[name] - gradient).norm() <= 4 * format_of(dtype).epsilon * gradient.norm(), name


def test_a_scaler_brings_the_lost_gradients_back():
    with emulate("fp16") as bare:
        _, lost = train(TinyLM.loss, steps=1, loss_scale=2.0**-12)
    with emulate("fp16") as scaled:
        train(TinyLM.loss, steps=1, loss_scale=2.0**-12, scaler=GradScaler("cpu", init_scale=2.0**24))
    assert bare.lost > 0.3
    assert scaled.lost < 0.01
    assert (scaled.overflowed, bare.overflowed) == (0, 0)
    assert sum(int(g.count_nonzero()) for g in lost.values()) > 0
