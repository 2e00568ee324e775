"""Rounding to a format against tables of its codes: every 16-bit value, every midpoint, both ends, gradients."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dslab.precision.rounding import DTYPES, FORMATS, Format, format_of, nearest, nearest_by_definition, round_to

SHORT = ["fp16", "bf16", "e4m3", "e5m2"]
SPLITS = ["e2m1", "e3m4", "e2m3", "e3m2", "e5m6", "e4m11", "e6m9", "e8m10"]
NO_INF = [Format("e2m1fn", 2, 1, has_inf=False), Format("e5m2fn", 5, 2, has_inf=False)]


def numbers(to):
    """The finite numbers >= 0 of a format in order, from what its codes mean; the position of each is its code."""
    top = 2 ** (to.exponent_bits + to.mantissa_bits)
    code = torch.arange(top - 2**to.mantissa_bits if to.has_inf else top - 1)
    exponent, mantissa = code >> to.mantissa_bits, (code & (2**to.mantissa_bits - 1)).double()
    is_normal = exponent > 0
    fraction = mantissa / 2**to.mantissa_bits + is_normal
    bias = 2 ** (to.exponent_bits - 1) - 1
    return torch.tensor(
        [f * 2.0 ** (e - bias) for f, e in zip(fraction.tolist(), exponent.clamp(min=1).tolist(), strict=True)],
        dtype=torch.float64,
    )


def looked_up(x, to):
    """Rounding by search in the table: the nearest number, of two equally near the one with an even code."""
    table = numbers(to)
    # One number further than the format has: what rounds to it has overflowed.
    table = torch.cat([table, 2 * table[-1:] - table[-2:-1]])
    magnitude = x.double().abs().nan_to_num(0.0, posinf=0.0).clamp(max=float(table[-1]))
    above = torch.searchsorted(table, magnitude)
    below = (above - 1).clamp(min=0)
    left, right = magnitude - table[below], table[above] - magnitude
    out = table[torch.where((left < right) | ((left == right) & (below % 2 == 0)), below, above)]
    out = out.where(out < table[-1], torch.inf if to.has_inf else table[-2])
    out = out.where(x.isfinite(), torch.nan if not to.has_inf else x.double().abs())
    return torch.copysign(out, x.double())


def same(a, b):
    """Equal bit by bit, the sign of zero included; any NaN equals any other."""
    a, b = a.double(), b.double()
    nan = a.isnan()
    return bool((nan == b.isnan()).all()) and torch.equal(a[~nan].view(torch.int64), b[~nan].view(torch.int64))


def all_codes(dtype):
    return torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)


def hard_cases(to):
    """Numbers of the format and their midpoints, one fp32 step to each side of them, beyond both ends; both signs."""
    table = numbers(to)
    beyond = torch.cat([table[-1:] * s for s in (1 + 2.0**-20, 1.001, 1.03, 1.07, 1.2, 4.0)])
    points = torch.cat([table, (table[1:] + table[:-1]) / 2, 1.5 * table[-1:] - 0.5 * table[-2:-1], beyond])
    points = points[points < torch.finfo(torch.float32).max].float()
    points = torch.cat(
        [points, torch.nextafter(points, torch.tensor(0.0)), torch.nextafter(points, torch.tensor(torch.inf))]
    )
    return torch.cat([points, -points, torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan])])


@pytest.mark.parametrize("to", [*SHORT, "fp32"])
def test_a_format_is_what_torch_says_it_is(to):
    f, info = FORMATS[to], torch.finfo(DTYPES[to])
    assert (f.largest, f.smallest_normal, f.epsilon) == (info.max, info.tiny, info.eps)
    assert f.smallest == info.smallest_normal * info.eps
    assert format_of(to) is format_of(DTYPES[to]) is format_of(f) is f


@pytest.mark.parametrize("to", [*map(FORMATS.get, SHORT), *map(format_of, SPLITS), *NO_INF], ids=lambda f: f.name)
def test_a_format_s_ends_are_those_of_its_codes(to):
    table = numbers(to).tolist()
    assert (to.largest, to.smallest) == (table[-1], table[1])
    assert to.smallest_normal == table[2**to.mantissa_bits]
    one = table.index(1.0)
    assert to.epsilon == table[one + 1] - 1.0
    assert all(a < b for a, b in pairwise(table))


@pytest.mark.parametrize("to", [*map(FORMATS.get, SHORT), *map(format_of, SPLITS), *NO_INF], ids=lambda f: f.name)
def test_every_number_midpoint_and_neighbour(to):
    x = hard_cases(to)
    expected = looked_up(x, to)
    assert same(round_to(x, to), expected)
    assert same(nearest_by_definition(x, to), expected)
    assert same(round_to(x.double(), to), expected)


@pytest.mark.parametrize("source", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("to", [*SHORT, "fp32", "e3m4", "e5m6"])
def test_every_16_bit_value(source, to):
    x, f = all_codes(source), format_of(to)
    ours = round_to(x, to)
    assert ours.dtype == source
    if to == "fp32" or DTYPES.get(to) == source:
        expected = x
    else:
        expected = looked_up(x, f).to(source)  # bf16 rounds 65504 to 65536, which is inf in fp16
    assert same(ours, expected)
    assert same(round_to(x.float(), to).to(source), expected)


@pytest.mark.parametrize("to", ["fp16", "bf16", "e5m2"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_any_bits_of_fp32_as_torch_casts_them(to, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(-(2**31), 2**31, (4096,), generator=g).to(torch.int32).view(torch.float32)
    assert same(round_to(x, to), x.to(DTYPES[to]))
    assert same(nearest_by_definition(x, FORMATS[to]), x.to(DTYPES[to]))


def test_the_split_of_a_known_format_is_that_format():
    x = torch.cat([hard_cases(FORMATS["fp16"]), torch.randn(5000) * 2.0 ** torch.randint(-150, 127, (5000,))])
    for split, name in (("e5m10", "fp16"), ("e8m7", "bf16"), ("e8m23", "fp32")):
        assert same(round_to(x, split), round_to(x, name))
    assert same(round_to(x, "fp32"), x)


def test_fp16_as_numpy_and_bf16_as_integers_round():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(20000, generator=g) * 2.0 ** torch.randint(-40, 20, (20000,), generator=g)
    with np.errstate(over="ignore"):
        assert same(round_to(x, "fp16"), torch.from_numpy(x.numpy().astype(np.float16)))
    code = x.view(torch.int32)
    rounded = (code + 0x7FFF + ((code >> 16) & 1)) & -0x10000
    assert same(round_to(x, "bf16"), rounded.view(torch.float32))


@pytest.mark.parametrize("to", [*SHORT, "e3m4"])
def test_fp64_is_rounded_once(to):
    """Just beside a midpoint, nearer than fp32 can tell: by way of fp32 it would become a tie and go the wrong way."""
    table = numbers(format_of(to))
    middle = (table[1:] + table[:-1]) / 2
    x = torch.cat([middle * (1 + 2.0**-40), middle * (1 - 2.0**-40)])
    assert same(round_to(x, to), torch.cat([table[1:], table[:-1]]))


@pytest.mark.parametrize("to", [*SHORT, "e3m4"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_it_is_a_projection_odd_and_monotone(to, seed):
    g = torch.Generator().manual_seed(seed)
    x = (torch.randn(500, generator=g) * 2.0 ** torch.randint(-20, 20, (500,), generator=g)).sort().values
    once = round_to(x, to)
    assert same(round_to(once, to), once)
    assert same(round_to(-x, to), -once)
    assert (once[1:] >= once[:-1]).all()
    inside = (x.abs() < format_of(to).largest) & (x.abs() >= format_of(to).smallest_normal)
    assert ((once - x).abs()[inside] <= format_of(to).epsilon / 2 * x.abs()[inside]).all()


def test_a_format_of_ones_own_may_bear_a_known_name():
    own = Format("e4m3", 4, 3)  # with inf, unlike OCP's
    assert same(
        round_to(torch.tensor([239.0, 240.0, 248.0, 300.0]), own), torch.tensor([240.0, 240.0, math.inf, math.inf])
    )


def test_nothing_out_of_range_is_left_to_the_cast():
    """What a cast to e4m3 does beyond 448 differs between releases of torch."""

    class Watch(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if (kwargs or {}).get("dtype") == torch.float8_e4m3fn:
                assert args[0][~args[0].isnan()].abs().max() <= 448
                self.seen += 1
            return func(*args, **(kwargs or {}))

    with Watch() as watch:
        round_to(torch.tensor([1.0, 449.0, -1e6, math.inf, math.nan]), "e4m3")
    assert watch.seen == 1


def test_shape_strides_and_emptiness():
    x = torch.randn(3, 4, 5).transpose(0, 2)
    assert torch.equal(round_to(x, "fp16"), x.half().float())
    assert torch.equal(round_to(x, "e3m4"), round_to(x.contiguous(), "e3m4"))
    assert round_to(torch.zeros(0, 3), "e4m3").shape == (0, 3)
    assert round_to(torch.tensor(0.1), "e3m4").shape == ()


def test_x_itself_is_not_changed():
    x = torch.tensor([1.0001, math.inf, 1e9])
    for to in ("e4m3", "fp16", "e3m4"):
        round_to(x, to)
    assert x.tolist() == [torch.tensor(1.0001).item(), math.inf, 1e9]


@pytest.mark.parametrize(
    ("grad_dtype", "expected"),
    [
        ("same", [0.0, 1.0, math.inf, math.nan]),
        ("bf16", [None, 1.0, None, math.nan]),
        (None, [1e-9, 1.0001, 1e6, math.nan]),
        ("e4m3", [0.0, 1.0, 448.0, math.nan]),
    ],
)
def test_gradients_are_rounded_to_their_own_format(grad_dtype, expected):
    x = torch.tensor([1.00001, 3.3, -2.0, 70000.0], requires_grad=True)
    gradient = torch.tensor([1e-9, 1.0001, 1e6, math.nan])
    y = round_to(x, "fp16", grad_dtype)
    assert torch.equal(y.detach(), x.detach().half().float())
    (got,) = torch.autograd.grad(y, x, gradient)
    wanted = [
        float(torch.tensor(g).bfloat16()) if e is None else e for e, g in zip(expected, gradient.tolist(), strict=True)
    ]
    assert same(got, torch.tensor(wanted))
    assert got.dtype == x.dtype


def test_forward_and_backward_equal_a_chain_of_casts():
    x = torch.randn(50, 7, requires_grad=True)
    (ours,) = torch.autograd.grad(round_to(x * 3, "fp16").square().sum(), x)
    (casts,) = torch.autograd.grad((x * 3).half().float().square().sum(), x)
    assert torch.equal(ours, casts)


@pytest.mark.parametrize(
    "bad", ["fp8", "e1m3", "e11m3", "e3m0", "e3m52", "m3", "e3m4 ", torch.float64, torch.int8, None, 16]
)
def test_what_is_no_format_is_refused(bad):
    with pytest.raises(ValueError, match=r"expected one of fp32, fp16.*got"):
        round_to(torch.zeros(1), bad)


def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"torch\.int64"):
        round_to(torch.zeros(1, dtype=torch.long), "fp16")


def test_the_fast_path_and_the_definition_are_one_function():
    x = torch.randn(100_000) * 2.0 ** torch.randint(-30, 20, (100_000,))
    for name in SHORT:
        assert same(nearest(x, FORMATS[name]), nearest_by_definition(x, FORMATS[name]))


@pytest.mark.parametrize("x", [[0.5, 1.0], 0.5, None, "1.0"])
def test_what_is_no_tensor_is_refused_by_name(x):
    with pytest.raises(TypeError, match=rf"tensor; got a {type(x).__name__}: pass torch\.tensor"):
        round_to(x, "fp16")
