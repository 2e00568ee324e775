"""The FP8 cast against formulas written out: every code, every scheme, and what must never pass in silence."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dslab.precision.fp8 import BLOCKS, Quantized, calc_diff, quantize

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
LIMIT = {E4M3: 448.0, E5M2: 57344.0}
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def decode(code, dtype):
    """What a byte means, from the definition of the formats."""
    exponent_bits, mantissa_bits = (4, 3) if dtype == E4M3 else (5, 2)
    bias = 2 ** (exponent_bits - 1) - 1
    sign = -1.0 if code & 0x80 else 1.0
    exponent, mantissa = (code & 0x7F) >> mantissa_bits, code & (2**mantissa_bits - 1)
    if dtype == E4M3 and code & 0x7F == 0x7F:
        return math.nan
    if dtype == E5M2 and exponent == 31:
        return math.nan if mantissa else sign * math.inf
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
    return sign * (1 + mantissa / 2**mantissa_bits) * 2.0 ** (exponent - bias)


def nearest_code(values, dtype):
    """fp32 values -> bytes: the nearest code, of two equally near the even one, saturating."""
    table = torch.tensor([decode(code, dtype) for code in range(0x7F if dtype == E4M3 else 0x7C)], dtype=torch.float64)
    magnitude = values.double().abs().clamp(max=float(table[-1]))
    above = torch.searchsorted(table, magnitude).clamp(max=len(table) - 1)
    below = (above - 1).clamp(min=0)
    left, right = magnitude - table[below], table[above] - magnitude
    code = torch.where((left < right) | ((left == right) & (below % 2 == 0)), below, above)
    return torch.where(torch.signbit(values), code + 128, code).to(torch.uint8)


def deepseek_cast(x, tile, dtype=E4M3):
    """DeepSeek-V3's cast of a matrix, a tile at a time."""
    rows, columns = tile
    codes = torch.empty(x.shape, dtype=torch.uint8)
    scales = torch.empty(-(-x.shape[0] // rows), -(-x.shape[1] // columns))
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            part = (slice(i * rows, (i + 1) * rows), slice(j * columns, (j + 1) * columns))
            amax = max(x[part].abs().max().float(), torch.tensor(1e-4))
            scales[i, j] = amax / LIMIT[dtype]
            codes[part] = nearest_code(x[part] * (torch.tensor([1.0]) / scales[i, j]), dtype)
    return codes, scales


def bits(quantized):
    return quantized.codes.view(torch.uint8)


def difficult(rows, columns, dtype=torch.float32, seed=0):
    """Sixty octaves across tiles, zeros, tiles under the floor, exact ties, and values near the end of fp32."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=g, dtype=torch.float64)
    x *= 2.0 ** torch.randint(-30, 30, (rows, 1), generator=g)
    x[rows // 5] = 0.0
    x[rows // 4] *= 1e-12 / float(x[rows // 4].abs().max())
    x[rows // 3] = torch.arange(columns) % 449 * 0.125
    x[rows // 2, ::2] = -0.0
    x[-1] *= 3.0e38 / float(x[-1].abs().max()) if dtype != torch.float16 else 1.0
    return x.clamp(-60000, 60000).to(dtype) if dtype == torch.float16 else x.to(dtype)


@pytest.mark.parametrize("dtype", [E4M3, E5M2])
def test_all_256_codes_survive_the_round_trip(dtype):
    codes = torch.arange(256, dtype=torch.uint8).view(dtype)
    expected = torch.tensor([decode(code, dtype) for code in range(256)])
    torch.testing.assert_close(codes.float(), expected, rtol=0, atol=0, equal_nan=True)
    # The floor of 'tensor' leaves the scale at exactly 1, since the largest finite value is the largest code.
    back = quantize(expected, "tensor", dtype, nonfinite="propagate")
    assert float(back.scales) == 1.0
    is_number = ~expected.isnan()
    kept = is_number if dtype == E5M2 else expected.isfinite()
    assert torch.equal(bits(back)[kept], codes.view(torch.uint8)[kept])
    assert back.dequantize()[~is_number].isnan().all()


@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("scheme", "tile"), [("1x128", (1, 128)), ("128x128", (128, 128))])
@pytest.mark.parametrize("shape", [(40, 128), (23, 300), (130, 129), (257, 131), (20, 7)])
def test_equals_the_deepseek_cast_bit_by_bit(scheme, tile, source, dtype, shape):
    x = difficult(*shape, source)
    ours = quantize(x, scheme, dtype)
    codes, scales = deepseek_cast(x, tile, dtype)
    assert ours.codes.shape == x.shape
    assert torch.equal(ours.scales, scales)
    assert torch.equal(bits(ours), codes)


@pytest.mark.parametrize(("scheme", "tile"), [("1x128", (1, 128)), ("128x128", (128, 128))])
@pytest.mark.parametrize("size", [0.0, 1e-11, 1e-8, 2e-5])
def test_equals_the_deepseek_cast_where_every_tile_is_below_the_floor(scheme, tile, size):
    x = torch.randn(130, 140) * size
    codes, scales = deepseek_cast(x, tile)
    assert torch.equal(quantize(x, scheme).scales, scales)
    assert torch.equal(bits(quantize(x, scheme)), codes)


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize("scheme", ["tensor", "row", "mx32"])
def test_equals_the_definition_tile_by_tile(scheme, dtype, source):
    x = difficult(31, 75, source)
    ours = quantize(x, scheme, dtype)
    width = {"tensor": 75, "row": 75, "mx32": 32}[scheme]
    for i in range(31):
        for j in range(0, 75, width):
            part = x[i, j : j + width].float()
            amax = float(x.float().abs().max() if scheme == "tensor" else part.abs().max())
            if scheme == "mx32":
                power = (math.frexp(amax)[1] - 1 if amax else -200) - {E4M3: 8, E5M2: 15}[dtype]
                scale = torch.tensor(2.0 ** max(power, -127))
            else:
                scale = torch.tensor(amax) / LIMIT[dtype] if amax else torch.tensor(2.0**-126)
            given_scale = ours.scales if scheme == "tensor" else ours.scales[i, j // width]
            assert given_scale == scale
            assert torch.equal(bits(ours)[i, j : j + width], nearest_code(part * (1.0 / scale), dtype))


@pytest.mark.parametrize(
    ("scheme", "shape", "scales", "nbytes"),
    [
        ("tensor", (3, 5, 300), (), 4500 + 4),
        ("row", (3, 5, 300), (3, 5, 1), 4500 + 4 * 15),
        ("1x128", (3, 5, 300), (3, 5, 3), 4500 + 4 * 45),
        ("128x128", (3, 130, 300), (3, 2, 3), 117000 + 4 * 18),
        ("mx32", (3, 5, 300), (3, 5, 10), 4500 + 150),
        ("1x128", (0, 300), (0, 3), 0),
        ("128x128", (0, 300), (0, 3), 0),
        ("tensor", (0, 4), (), 4),
        ("tensor", (7,), (), 11),
    ],
)
def test_shapes_and_bytes(scheme, shape, scales, nbytes):
    q = quantize(torch.randn(shape), scheme)
    assert (q.scheme, q.shape, q.scales.shape, q.scales.dtype) == (scheme, shape, scales, torch.float32)
    assert (q.nbytes, q.dequantize().shape, q.codes.is_contiguous()) == (nbytes, shape, True)


@pytest.mark.parametrize("scheme", ["row", "1x128", "128x128", "mx32"])
def test_leading_dimensions_are_batches_and_strides_do_not_matter(scheme):
    x = torch.randn(2, 3, 70, 150)
    q = quantize(x.transpose(0, 1).contiguous().transpose(0, 1), scheme)
    for i in range(2):
        for j in range(3):
            alone = quantize(x[i, j], scheme)
            assert torch.equal(bits(q)[i, j], bits(alone))
            assert torch.equal(q.scales[i, j], alone.scales)


@pytest.mark.parametrize("scheme", BLOCKS)
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 140), columns=st.integers(1, 300), octave=st.integers(-12, 60))
def test_error_is_half_a_step_of_the_code(scheme, dtype, seed, rows, columns, octave):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=g) * 2.0**octave
    q = quantize(x, scheme, dtype)
    bits_kept, smallest = (4, 2.0**-9) if dtype == E4M3 else (3, 2.0**-16)
    scale = q.spread_scales().double()
    error = (q.dequantize(torch.float64) - x.double()).abs() / scale
    step = torch.maximum(torch.frexp(x.double().abs() / scale)[1] - bits_kept, torch.tensor(math.log2(smallest)))
    half = 0.5 * 2.0**step
    if scheme == "mx32":  # saturates: a value just under 2 * 2^8 becomes 448
        half = torch.maximum(half, x.double().abs() / scale - LIMIT[dtype])
    assert (error <= half * (1 + 1e-6)).all()


@pytest.mark.parametrize("scheme", ["tensor", "row", "mx32"])
def test_a_power_of_two_changes_the_scale_only(scheme):
    x = torch.randn(33, 200)
    one, other = quantize(x, scheme), quantize(x * 2.0**-60, scheme)
    assert torch.equal(bits(one), bits(other))
    assert torch.equal(one.scales * 2.0**-60, other.scales)


def test_the_floor_takes_tiny_tiles_and_another_floor_keeps_them():
    x = torch.randn(4, 128) * torch.tensor([[1e-3], [1e-6], [1e-9], [1e-11]])
    lost = (quantize(x).dequantize() == 0).float().mean(-1)
    assert lost.tolist() == [lost[0], lost[1], lost[2], 1.0]
    assert max(lost[0], lost[1]) < 0.01 < lost[2] < 0.5
    assert calc_diff(quantize(x, amax_floor=1e-30).dequantize()[3:], x[3:]) < 1e-3
    assert torch.equal(quantize(x, "row", amax_floor=1e-4).scales, quantize(x, "1x128").scales)


@pytest.mark.parametrize("scheme", BLOCKS)
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize("floor", [None, 0.0, 1e-45])
def test_the_ends_of_fp32_neither_overflow_nor_divide_by_zero(scheme, dtype, floor):
    largest = torch.finfo(torch.float32).max
    for value in (largest, torch.nextafter(torch.tensor(largest), torch.tensor(0.0)), 2.0**127, 1e-38, 1e-44, 0.0):
        x = torch.zeros(2, 160)
        x[0, ::2], x[1, 3] = float(value), -float(value)
        q = quantize(x, scheme, dtype, amax_floor=floor)
        assert q.codes.float().isfinite().all()
        assert q.scales.isfinite().all()
        assert (q.scales > 0).all()
        assert q.dequantize().isfinite().all()
        if value > 1:
            assert float(q.dequantize()[0, 0]) == pytest.approx(float(value), rel=0.13 if scheme == "mx32" else 1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("scheme", BLOCKS)
@pytest.mark.parametrize("source", DTYPES)
def test_what_is_not_finite_raises_and_says_where(bad, scheme, source):
    x = torch.randn(3, 140, dtype=source)
    x[1, 17] = x[2, 130] = bad
    with pytest.raises(ValueError, match=rf"2 of 420 values .*\(1, 17\): {bad}"):
        quantize(x, scheme)


def test_a_number_beyond_fp32_counts_as_not_finite():
    with pytest.raises(ValueError, match=r"1 of 2 .*\(0, 1\): 1e\+300"):
        quantize(torch.tensor([[1.0, 1e300]], dtype=torch.float64), "row")


@pytest.mark.parametrize("scheme", BLOCKS)
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
def test_propagated_values_leave_their_neighbours_alone(scheme, dtype):
    x = torch.randn(130, 140)
    x[1, 17:20] = 0.0
    clean = quantize(x, scheme, dtype)
    x[1, 17:20] = torch.tensor([math.nan, math.inf, -math.inf])
    q = quantize(x, scheme, dtype, nonfinite="propagate")
    hit = torch.zeros_like(x, dtype=torch.bool)
    hit[1, 17:20] = True
    assert torch.equal(q.scales, clean.scales)
    assert torch.equal(bits(q)[~hit], bits(clean)[~hit])
    expected = [math.nan, math.inf, -math.inf] if dtype == E5M2 else [math.nan] * 3
    torch.testing.assert_close(q.dequantize()[hit], torch.tensor(expected), equal_nan=True)


@pytest.mark.parametrize("scheme", BLOCKS)
@pytest.mark.parametrize("dtype", [E4M3, E5M2])
def test_nothing_out_of_range_is_left_to_the_cast(scheme, dtype):
    """What a cast does beyond the largest code differs between formats, devices and releases of torch."""

    class Watch(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if (kwargs or {}).get("dtype") == dtype:
                assert args[0].abs().max() <= LIMIT[dtype]
                self.seen += 1
            return func(*args, **(kwargs or {}))

    with Watch() as watch:
        quantize(torch.randn(200, 300), scheme, dtype)
    assert watch.seen == 1


def test_dequantize_rounds_once():
    q = Quantized(torch.randn(9, 200).to(E4M3), torch.rand(9, 2), "1x128")
    scales = torch.cat([q.scales[:, :1].expand(9, 128), q.scales[:, 1:].expand(9, 72)], dim=1).double()
    exact = q.codes.double() * scales
    assert torch.equal(q.dequantize(torch.float64), exact)
    assert torch.equal(q.dequantize(), exact.float())
    assert torch.equal(q.dequantize(torch.bfloat16), exact.float().bfloat16())


def test_quantize_takes_a_tensor_that_wants_a_gradient():
    q = quantize(torch.randn(2, 128, requires_grad=True))
    assert not q.scales.requires_grad
    assert not q.codes.requires_grad


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: quantize(x, "2x64"), "'1x128'.*got '2x64'"),
        (lambda x: quantize(x, dtype=torch.float16), "float8_e4m3fn"),
        (lambda x: quantize(x.long()), "got torch.int64"),
        (lambda x: quantize(x[0]), r"rows, columns.*\(128,\)"),
        (lambda x: quantize(x, nonfinite="ignore"), "'propagate'"),
        (lambda x: quantize(x, amax_floor=-1.0), "amax_floor"),
        (lambda x: quantize(x, amax_floor=math.nan), "amax_floor"),
        (lambda x: calc_diff(x, x[:1]), r"\(2, 128\) and \(1, 128\)"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call(torch.zeros(2, 128))


def test_calc_diff_is_half_the_squared_relative_error():
    x = torch.randn(50, 60, dtype=torch.float64)
    assert calc_diff(x, x) == pytest.approx(0, abs=1e-15)
    assert calc_diff(x, -x) == pytest.approx(2)
    assert calc_diff(x, x * 1.01) == pytest.approx(0.01**2 / (1 + 1.01**2))
    assert calc_diff(x * 0, x * 0) == 0.0
    assert calc_diff(x * 0, x) == 1.0
    assert math.isnan(calc_diff(x / 0, x))


def test_token_wise_range_is_what_tiles_save():
    """Rows whose sizes spread over e^3: one scale flushes a quarter of the values and more, a scale a tile none."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(512, 2048, generator=g) * torch.exp(3 * torch.randn(512, 1, generator=g))
    flushed = {s: float((quantize(x, s).dequantize() == 0).float().mean()) for s in ("tensor", "1x128", "mx32")}
    assert flushed["tensor"] >= 0.25
    assert max(flushed["1x128"], flushed["mx32"]) < 1e-3


@pytest.mark.parametrize("x", [[0.5, 1.0], 0.5, None, "1.0"])
def test_what_is_no_tensor_is_refused_by_name(x):
    with pytest.raises(TypeError, match=rf"tensor; got a {type(x).__name__}: pass torch\.tensor"):
        quantize(x)
