"""FP8 products: equal to the dequantized product, to torch's scaled_mm, and for few accumulator bits to a slow loop."""

import itertools
import math
import time
from fractions import Fraction

import pytest
import torch
from torch.nn import functional as F

from dslab.precision.fp8 import BLOCKS, calc_diff, quantize
from dslab.precision.fp8_product import fp8_matmul, truncate

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
PAIRS = [("tensor", "tensor"), ("row", "row"), ("row", "tensor"), ("1x128", "128x128"), ("1x128", "1x128")]
PAIRS += [("128x128", "1x128"), ("128x128", "128x128"), ("mx32", "mx32")]
EPS = 2.0**-24


def matrices(m, n, k, spread=3.0, seed=0):
    """Rows whose sizes differ by e^3, and columns too: a scale applied to the wrong row, column or tile shows."""
    g = torch.Generator().manual_seed(seed)
    along_k = torch.exp(spread * torch.randn(k, generator=g))
    x, y = (torch.randn(r, k, generator=g) * torch.exp(spread * torch.randn(r, 1, generator=g)) for r in (m, n))
    return x * along_k, y / along_k


def exact(a, b):
    """The product in fp64, and the sum of its terms' magnitudes, which bounds every rounding error."""
    x, y = a.dequantize(torch.float64), b.dequantize(torch.float64)
    return x @ y.T, x.abs() @ y.abs().T


@pytest.mark.parametrize("schemes", PAIRS)
@pytest.mark.parametrize("dtypes", [(E4M3, E4M3), (E5M2, E4M3)])
@pytest.mark.parametrize(("m", "n", "k"), [(64, 48, 512), (37, 131, 300), (130, 1, 33), (1, 5, 129)])
def test_equals_the_dequantized_product(schemes, dtypes, m, n, k):
    a, b = (quantize(x, s, d) for x, s, d in zip(matrices(m, n, k), schemes, dtypes, strict=True))
    expected, magnitude = exact(a, b)
    for promote_every in (32, 64, 128):
        ours = fp8_matmul(a, b, promote_every=promote_every)
        assert ours.shape == (m, n)
        assert ours.dtype == torch.float32
        # K roundings of at most eps each is the worst that a sum of K terms can do.
        assert ((ours.double() - expected).abs() <= k * EPS * magnitude).all()
    assert calc_diff(ours, expected) < 1e-12


@pytest.mark.parametrize("schemes", [("tensor", "tensor"), ("row", "row"), ("mx32", "mx32")])
def test_never_promoting_is_one_long_sum(schemes):
    a, b = (quantize(x, s) for x, s in zip(matrices(40, 50, 1000), schemes, strict=True))
    expected, magnitude = exact(a, b)
    assert ((fp8_matmul(a, b, promote_every=None).double() - expected).abs() <= 1000 * EPS * magnitude).all()


@pytest.mark.parametrize("dtypes", [(E4M3, E4M3), (E5M2, E4M3)])
def test_equals_torch_scaled_mm_for_one_scale_a_tensor(dtypes):
    a, b = (quantize(x, "tensor", d) for x, d in zip(matrices(48, 32, 160, spread=0.5), dtypes, strict=True))
    kind = F.ScalingType.TensorWise
    theirs = F.scaled_mm(a.codes, b.codes.t(), a.scales, kind, b.scales, kind, output_dtype=torch.float32)
    _, magnitude = exact(a, b)
    assert ((fp8_matmul(a, b) - theirs).abs() <= 160 * EPS * magnitude).all()
    theirs = F.scaled_mm(a.codes, b.codes.t(), a.scales, kind, b.scales, kind, output_dtype=torch.bfloat16)
    torch.testing.assert_close(fp8_matmul(a, b, out_dtype=torch.bfloat16), theirs, rtol=2.0**-7, atol=1e-3)


def test_equals_torch_scaled_mm_for_a_scale_a_row():
    a, b = (quantize(x, "row") for x in matrices(48, 32, 160))
    kind = F.ScalingType.RowWise
    theirs = F.scaled_mm(a.codes, b.codes.t(), a.scales, kind, b.scales.t(), kind, output_dtype=torch.float32)
    _, magnitude = exact(a, b)
    assert ((fp8_matmul(a, b) - theirs).abs() <= 160 * EPS * magnitude).all()


def cut(value, bits):
    """A Fraction rounded toward zero to so many significant bits, in exact arithmetic."""
    if value == 0:
        return value
    exponent = 0
    while abs(value) >= 2 ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - bits + 1)
    return math.trunc(value / unit) * unit


@pytest.mark.parametrize("bits", [2, 3, 14, 24])
def test_truncate_cuts_toward_zero(bits):
    x = torch.cat([torch.randn(200, dtype=torch.float64) * 2.0 ** torch.randint(-40, 40, (200,)), torch.zeros(1)])
    assert truncate(x, bits).tolist() == [float(cut(Fraction(v), bits)) for v in x.tolist()]


def slow(a, b, promote_every, bits):
    """The toy tensor core in exact arithmetic, one entry of the product at a time."""
    M, N, K = a.shape[0], b.shape[0], a.shape[1]
    codes = [[[Fraction(v) for v in row] for row in q.codes.double().tolist()] for q in (a, b)]
    scales = [q.spread_scales().expand(q.shape).double() for q in (a, b)]
    out = torch.zeros(M, N)
    for m, n in itertools.product(range(M), range(N)):
        total, kept = torch.zeros(()), Fraction(0)
        for k in range(0, K, 32):
            here = range(k, min(k + 32, K))
            products = sum((codes[0][m][i] * codes[1][n][i] for i in here), Fraction(0))
            scale = float(scales[0][m, k] * scales[1][n, k])
            if a.scheme == "mx32":
                products, scale = products * Fraction(scale), 1.0
            kept = cut(kept + products, bits)
            is_last = here[-1] == K - 1
            if is_last or (promote_every and here[-1] % promote_every == promote_every - 1):
                total = total + torch.tensor(float(kept) * scale, dtype=torch.float32)
                kept = Fraction(0)
        out[m, n] = total
    return out


@pytest.mark.parametrize(
    ("schemes", "promote_every"),
    [
        (pair, period)
        for pair in PAIRS
        for period in (None, 32, 64, 128, 256)
        if BLOCKS[pair[0]][1] != 128 or period in (32, 64, 128)  # the others are refused, below
    ],
)
@pytest.mark.parametrize("bits", [7, 14])
def test_few_accumulator_bits_equal_the_slow_loop(schemes, promote_every, bits):
    a, b = (quantize(x, s) for x, s in zip(matrices(4, 3, 420, spread=1.0), schemes, strict=True))
    ours = fp8_matmul(a, b, promote_every=promote_every, accumulator_bits=bits)
    assert torch.equal(ours, slow(a, b, promote_every, bits))


def test_promotion_makes_up_for_the_short_accumulator():
    """Positive operands, K = 4096, 14 bits: the long sum swallows its small terms, 128 products hardly."""
    g = torch.Generator().manual_seed(0)
    a, b = (quantize(torch.randn(256, 4096, generator=g).abs(), "row") for _ in range(2))
    expected, _ = exact(a, b)

    def worst(promote_every):
        ours = fp8_matmul(a, b, promote_every=promote_every, accumulator_bits=14)
        return float(((ours - expected) / expected).abs().max())

    assert 2e-3 < worst(None) < 6e-3
    assert worst(1024) < 0.6 * worst(None)
    assert worst(128) < 2e-4
    assert (fp8_matmul(a, b, promote_every=None, accumulator_bits=14) < expected).all()  # cut, so always too small


@pytest.mark.parametrize("schemes", [("tensor", "tensor"), ("1x128", "128x128"), ("1x128", "1x128"), ("mx32", "mx32")])
def test_close_to_the_product_of_the_numbers_themselves(schemes):
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(96, 1024, generator=g) for _ in range(2))
    product = fp8_matmul(quantize(x, schemes[0]), quantize(y, schemes[1]))
    assert calc_diff(product, x @ y.T) < 1e-3


def test_scales_whose_product_is_in_range_though_they_are_not():
    x, y = torch.full((2, 256), 1e33), torch.full((3, 256), 1e-33)
    for scheme in ("tensor", "row", "1x128", "mx32"):
        a, b = quantize(x, scheme), quantize(y, scheme, amax_floor=0.0)
        torch.testing.assert_close(fp8_matmul(a, b), exact(a, b)[0].float())


def test_nothing_to_multiply():
    a, b = quantize(torch.zeros(0, 256)), quantize(torch.randn(130, 256), "128x128")
    assert fp8_matmul(a, b).shape == (0, 130)
    assert fp8_matmul(quantize(torch.zeros(3, 256)), b).abs().max() == 0
    nothing = quantize(torch.zeros(3, 0), "tensor")
    assert torch.equal(fp8_matmul(nothing, nothing), torch.zeros(3, 3))


def test_propagated_nan_reaches_its_row_only():
    x = torch.randn(4, 256)
    x[2, 200] = math.nan
    b = quantize(torch.randn(5, 256), "128x128")
    for bits in (None, 14):
        bad = fp8_matmul(quantize(x, nonfinite="propagate"), b, accumulator_bits=bits).isnan()
        assert bad.all(1).tolist() == bad.any(1).tolist() == [False, False, True, False]


def q(scheme, rows=4, k=256):
    return quantize(torch.zeros(rows, k), scheme)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fp8_matmul(q("1x128"), q("row")), r"'1x128' \(4, 256\), b is 'row'.*fits '1x128' or '128x128'"),
        (lambda: fp8_matmul(q("tensor"), q("128x128")), "Beside 'tensor' fits 'tensor' or 'row'"),
        (lambda: fp8_matmul(q("mx32"), q("1x128")), "Beside 'mx32' fits 'mx32'"),
        (lambda: fp8_matmul(q("row"), q("row", k=128)), r"\(4, 256\), b is 'row' \(4, 128\)"),
        (lambda: fp8_matmul(quantize(torch.zeros(2, 4, 256)), q("1x128")), r"a \(M, K\).*\(2, 4, 256\)"),
        (lambda: fp8_matmul(q("row"), q("row"), promote_every=100), "multiple of 32; got 100"),
        (lambda: fp8_matmul(q("row"), q("row"), promote_every=0), "multiple of 32; got 0"),
        (lambda: fp8_matmul(q("1x128"), q("1x128"), promote_every=96), "32, 64 or 128; got 96"),
        (lambda: fp8_matmul(q("1x128"), q("128x128"), promote_every=None), "got None.*'row' or 'tensor'"),
        (lambda: fp8_matmul(q("row"), q("row"), promote_every=64.0), "multiple of 32; got 64.0"),
        (lambda: fp8_matmul(q("row"), q("row"), accumulator_bits=1), "accumulator_bits"),
        (lambda: fp8_matmul(q("row"), q("row"), accumulator_bits=14.0), "2..52, whole; got 14.0"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_product_of_4096_is_fast_enough_for_a_notebook():
    a, b = quantize(torch.randn(256, 4096), "row"), quantize(torch.randn(256, 4096), "row")
    start = time.process_time()
    fp8_matmul(a, b, accumulator_bits=14)
    assert time.process_time() - start < 3


def test_what_is_not_quantized_is_refused():
    with pytest.raises(TypeError, match=r"two Quantized, made by quantize.*; got a int and a int"):
        fp8_matmul(1, 2)
    with pytest.raises(TypeError, match="got a Quantized and a Tensor"):
        fp8_matmul(quantize(torch.ones(2, 128)), torch.ones(2, 128))
