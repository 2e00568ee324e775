"""Histograms of binades against the numbers themselves, rounded and counted one by one."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from dslab.precision import Binades, underflow_report
from dslab.precision.rounding import FORMATS, Format, format_of, nearest_by_definition

INF, NAN = math.inf, math.nan
SHORT = ["fp16", "bf16", "e4m3", "e5m2"]
# This and less is rounded to zero, a tie to even; more is not.
HALF_OF_SMALLEST = {"fp16": 2.0**-25, "bf16": 2.0**-134, "e4m3": 2.0**-10, "e5m2": 2.0**-17, "e3m4": 2.0**-7}


def binades(*numbers, dtype=torch.float32):
    return Binades.of(torch.tensor(numbers, dtype=dtype))


def spread(seed, size=4000, low=-126, high=127, dtype=torch.float32):
    """Random mantissas over all binades from low to high, a few zeros, both signs; never exactly a power of two."""
    g = torch.Generator().manual_seed(seed)
    exponent = torch.randint(low, high + 1, (size,), generator=g)
    x = torch.ldexp(1.0 + torch.randint(1, 2**23, (size,), generator=g).double() * 2.0**-23, exponent)
    x = x * (torch.randint(0, 2, (size,), generator=g) * 2 - 1)
    return x.where(torch.rand(size, generator=g) > 0.1, 0.0).to(dtype)


def share(chosen, x):
    """Of the numbers that are not zero, the share chosen."""
    return int(chosen.sum()) / int((x != 0).sum())


def brute_lost(x, to, scale):
    """Of the numbers that are not zero, the share that is zero once scaled (in fp64, exactly) and rounded."""
    x = x.double()
    return share((nearest_by_definition(x * scale, format_of(to)) == 0) & (x != 0), x)


def brute_overflowed(x, to, scale):
    """The share that is beyond the largest once scaled and rounded, inf and NaN too."""
    to, x = format_of(to), x.double()
    unbounded = Format("", 10, to.mantissa_bits)
    fits = nearest_by_definition(x * scale, unbounded).abs() <= to.largest
    return share(~fits, x)


# What is counted.


def test_each_binade_runs_from_its_power_up_to_the_next():
    for exponent in range(-126, 128):
        low = math.ldexp(1.0, exponent)
        high = math.ldexp(2.0 - 2.0**-23, exponent)
        seen = binades(low, high, -low, -high)
        assert seen.shares() == {exponent: 1.0}
        assert (seen.highest(), seen.total, seen.zeros, seen.nonzero) == (exponent, 4, 0, 4)


def test_zeros_subnormals_and_what_is_not_finite():
    seen = binades(0.0, -0.0, 2.0**-127, -(2.0**-149), INF, -INF, NAN, 4.0)
    assert (seen.total, seen.zeros, seen.nonzero) == (8, 2, 6)
    assert (int(seen.counts[0]), int(seen.counts[-1])) == (4, 3)
    assert seen.shares() == {2: 1 / 6}
    assert seen.highest() == 2
    assert binades(INF, 0.0, 2.0**-130).highest() is None


def test_shares_are_ascending_and_add_up():
    x = spread(0)
    shares = Binades.of(x).shares()
    assert list(shares) == sorted(shares)
    assert sum(shares.values()) == pytest.approx(1.0)
    exponents = torch.frexp(x[x != 0]).exponent - 1
    for exponent, count in zip(*(t.tolist() for t in exponents.unique(return_counts=True)), strict=True):
        assert shares[exponent] == count / len(exponents)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_narrow_formats_are_counted_exactly_subnormals_and_all(dtype):
    bits = torch.finfo(dtype).bits
    codes = torch.arange(2**bits, dtype=torch.int32)
    x = codes.to(torch.int16).view(dtype) if bits == 16 else codes.to(torch.uint8).view(dtype)
    seen, exact = Binades.of(x), x.double()
    assert seen.total == 2**bits
    assert seen.zeros == 2
    assert int(seen.counts[-1]) == int((~exact.isfinite()).sum())
    finite = exact[exact.isfinite() & (exact.abs() >= 2.0**-126)]
    exponents = (torch.frexp(finite).exponent + 126).bincount(minlength=256)
    assert torch.equal(seen.counts[1:-1], exponents[1:-1])


def test_doubles_are_rounded_to_fp32_first():
    seen = binades(2.0**-200, 1e300, 2.0 - 2.0**-40, 0.75, dtype=torch.float64)
    assert (seen.zeros, int(seen.counts[-1]), seen.shares()) == (1, 1, {1: 1 / 3, -1: 1 / 3})


def test_any_shape_and_stride_none_at_all_and_sparse():
    x = spread(1).reshape(10, 20, 20)
    whole = Binades.of(x)
    for view in (x.flatten(), x.transpose(0, 2), x.requires_grad_()):
        assert torch.equal(Binades.of(view).counts, whole.counts)
        assert Binades.of(view).zeros == whole.zeros
    assert Binades.of(torch.tensor(3.0).expand(7)).counts[128] == 7
    assert Binades.of(torch.tensor(3.0)).total == 1
    assert Binades.of(x[::2, :, 3]).total == 100
    empty = Binades.of(torch.zeros(0, 3))
    assert (empty.total, empty.shares(), empty.highest()) == (0, {}, None)
    rows = torch.sparse_coo_tensor([[1, 1, 2]], [1.0, 1.0, 8.0], (5,), check_invariants=True)
    assert Binades.of(rows).shares() == {1: 0.5, 3: 0.5}, "duplicates are one number, their sum"


def test_adding_is_counting_all_at_once():
    parts = [spread(seed, 300) for seed in range(3)]
    whole = Binades.of(torch.cat(parts))
    step_by_step = Binades()
    for part in parts:
        assert step_by_step.add(part) is step_by_step
    together = sum(map(Binades.of, parts), Binades())
    for other in (step_by_step, together):
        assert torch.equal(other.counts, whole.counts)
        assert other.zeros == whole.zeros
    first, second = Binades.of(parts[0]), Binades.of(parts[1])
    before = first.counts.clone()
    first + second
    assert torch.equal(first.counts, before), "a sum leaves its terms alone"
    assert Binades().counts is not Binades().counts


# What a format loses of them.


@pytest.mark.parametrize("to", HALF_OF_SMALLEST)
def test_lost_at_the_very_edge(to):
    """Half the smallest number is the one exception that the docstring names: a tie, zero in truth, kept here."""
    half = HALF_OF_SMALLEST[to]
    # bf16's half lies among fp32's subnormals, where nothing is told apart; from above, by a scale, it is.
    scale = 2.0**-40 if to == "bf16" else 1.0
    half = half / scale
    below, above = math.ldexp(1 - 2.0**-24, round(math.log2(half))), half * (1 + 2.0**-23)
    for number, lost, truth in ((below, 1.0, 1.0), (half, 0.0, 1.0), (above, 0.0, 0.0)):
        for sign in (1, -1):
            assert binades(sign * number).lost(to, scale) == lost
            assert brute_lost(torch.tensor([sign * number]), to, scale) == truth


@pytest.mark.parametrize("to", [*HALF_OF_SMALLEST, "fp32"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.integers(-60, 60), narrow=st.booleans())
@example(seed=0, shift=0, narrow=False)
def test_lost_and_overflowed_are_what_rounding_each_number_gives(to, seed, shift, narrow):
    middle = -40 if narrow else 0
    x = spread(seed, 800, *((middle - 20, middle + 20) if narrow else (-126, 127)))
    seen, scale = Binades.of(x), 2.0**shift
    assert seen.lost(to, scale) == brute_lost(x, to, scale)
    top = (torch.frexp(x.double() * scale).exponent - 1 == format_of(to).highest_exponent) & (x != 0)
    of_top = share(top, x)
    ours, truth = seen.overflowed(to, scale), brute_overflowed(x, to, scale)
    assert ours <= truth
    assert truth <= ours + of_top + 1e-12
    assert ours == share(x.double().abs() * scale >= 2.0 ** (format_of(to).highest_exponent + 1), x)


@pytest.mark.parametrize("to", ["fp16", "bf16", "e5m2"])
def test_lost_by_torch_s_own_cast(to):
    x = spread(5, low=-60, high=30)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "e5m2": torch.float8_e5m2}[to]
    for shift in range(-60, 61, 4):
        zero = ((x * 2.0**shift).to(dtype) == 0) & (x != 0)
        assert Binades.of(x).lost(to, 2.0**shift) == share(zero, x)


@pytest.mark.parametrize(("to", "first"), [("fp16", 65520.0), ("e5m2", 61440.0), ("e4m3", 464.1)])
def test_overflow_counts_whole_binades_only(to, first):
    power = 2.0 ** (format_of(to).highest_exponent + 1)
    assert brute_overflowed(torch.tensor([first]), to, 1.0) == 1.0
    assert binades(first).overflowed(to) == 0.0, "in the largest number's binade: named in the docstring"
    assert binades(power * (1 - 2.0**-24)).overflowed(to) == 0.0
    assert binades(power).overflowed(to) == binades(-power).overflowed(to) == 1.0
    assert binades(power).overflowed(to, 0.5) == 0.0
    assert binades(power / 8, 1.0).overflowed(to, 8.0) == 0.5


@pytest.mark.parametrize("to", [*SHORT, "fp32"])
@pytest.mark.parametrize("scale", [2.0**-140, 2.0**-30, 1.0, 2.0**30, 2.0**300])
def test_inf_and_nan_stay_so_at_any_scale(to, scale):
    seen = binades(INF, -INF, NAN, 0.0)
    assert (seen.overflowed(to, scale), seen.lost(to, scale)) == (1.0, 0.0)


@pytest.mark.parametrize("to", [*SHORT, "fp32"])
def test_zeros_are_never_lost_and_never_overflow(to):
    for shift in (-1000, -200, 0, 200, 1000):
        assert binades(0.0, -0.0, 1.0).lost(to, 2.0**shift) in (0.0, 1.0)
        assert binades(0.0, -0.0, 1.0).overflowed(to, 2.0**shift) in (0.0, 1.0)
        for empty in (binades(0.0, 0.0), Binades()):
            assert math.isnan(empty.lost(to, 2.0**shift))
            assert math.isnan(empty.overflowed(to, 2.0**shift))


def test_subnormals_of_fp32_are_taken_for_the_binade_below_the_normal_ones():
    tiny = binades(2.0**-127, 2.0**-149, -(2.0**-140))
    assert (tiny.lost("fp16"), tiny.lost("bf16"), tiny.lost("fp32")) == (1.0, 0.0, 0.0)
    for to, half in HALF_OF_SMALLEST.items():
        enough = half * 2.0**127
        assert (tiny.lost(to, enough), tiny.lost(to, enough / 2)) == (0.0, 1.0)
    assert tiny.overflowed("fp16", 2.0**143) == 1.0
    assert tiny.overflowed("fp16", 2.0**142) == 0.0


@pytest.mark.parametrize("scale", [3, 0, -2.0, 0.0, 1.0 + 2.0**-52, 2.0**30 * (1 + 2.0**-52), INF, NAN, -1, 1e-3])
def test_only_powers_of_two_move_a_histogram(scale):
    seen = binades(1.0)
    for question in (seen.lost, seen.overflowed):
        with pytest.raises(ValueError, match="can only be moved by powers of two; got scale"):
            question("fp16", scale)


def test_powers_of_two_may_be_whole_numbers_and_formats_any():
    seen = binades(2.0**-26, 1.0)
    assert seen.lost("fp16", 1) == 0.5
    assert seen.lost(torch.float16, 2) == seen.lost(FORMATS["fp16"], 1024) == 0.0
    with pytest.raises(ValueError, match="expected one of fp32"):
        seen.lost("fp17")


# The report.


def model_with(**gradients):
    model = nn.Module()
    for name, gradient in gradients.items():
        model.register_parameter(name, nn.Parameter(torch.zeros(gradient.shape if gradient is not None else 2)))
        getattr(model, name).grad = gradient
    return model


def test_a_row_a_parameter_most_endangered_first():
    model = model_with(
        safe=torch.tensor([1.0, 0.0, 2.0, -4.0]),
        none=None,
        silent=torch.zeros(3),
        partly=torch.tensor([[2.0**-30, 1.0], [0.0, 0.0]]),
        all_lost=torch.tensor([2.0**-30, 0.0]),
        empty=torch.zeros(0),
        huge=torch.tensor([1e9, 1.0, 1.0, 1.0]),
    )
    report = underflow_report(model)
    rows = {row["parameter"]: row for row in report.rows}
    assert [row["parameter"] for row in report.rows] == ["all_lost", "partly", "safe", "huge", "silent", "empty"]
    assert rows["partly"] == {"parameter": "partly", "entries": 4, "zero": 0.5, "lost": 0.5, "overflowed": 0.0}
    assert rows["huge"]["overflowed"] == 0.25
    assert rows["safe"]["zero"] == 0.25
    assert (rows["empty"]["entries"], rows["empty"]["zero"], rows["silent"]["zero"]) == (0, 0.0, 1.0)
    assert all(math.isnan(rows[name]["lost"]) for name in ("silent", "empty"))
    assert report.lost == 2 / 10
    assert report.binades.total == 4 + 3 + 4 + 2 + 4
    assert report.largest == torch.tensor(1e9).item()
    assert underflow_report(model, scale=2.0**10).lost == 0.0
    assert underflow_report(model, "e4m3", scale=2.0**10).lost == 2 / 10
    assert (report.format.name, report.scale) == ("fp16", 1.0)


def test_a_real_backward_pass():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 5))
    (model(torch.randn(16, 20)).square().mean() * 2.0**-16).backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
    for to in ("fp16", "e5m2"):
        for scale in (1.0, 256.0, 2.0**20):
            report = underflow_report(model, to, scale)
            assert report.lost == brute_lost(gradients, to, scale)
            for row in report.rows:
                own = dict(model.named_parameters())[row["parameter"]].grad
                assert row["lost"] == brute_lost(own, to, scale)
                assert row["entries"] == own.numel()
    assert 0.1 < underflow_report(model, "fp16").lost < 0.9
    assert sorted(row["parameter"] for row in report.rows) == ["0.bias", "0.weight", "2.bias", "2.weight"]


def test_sparse_gradients_count_what_they_store():
    embedding = nn.Embedding(1000, 2, sparse=True)
    embedding(torch.tensor([3, 3, 7])).backward(torch.tensor([[2.0**-26, 1.0], [2.0**-26, 2.0], [0.0, 1.0]]))
    report = underflow_report(embedding)
    assert report.rows == [{"parameter": "weight", "entries": 4, "zero": 0.25, "lost": 0.0, "overflowed": 0.0}]
    assert report.largest == 3.0, "two mentions of one row are added first"
    assert not embedding.weight.grad.is_coalesced(), "the gradient itself is left as it was"


def test_without_gradients_or_with_broken_ones_it_refuses():
    with pytest.raises(ValueError, match=r"no parameter of this model has a gradient; call backward\(\)"):
        underflow_report(nn.Linear(2, 2))
    for bad in (INF, -INF, NAN):
        with pytest.raises(ValueError, match="the gradient of second holds inf or NaN"):
            underflow_report(model_with(first=torch.ones(2), second=torch.tensor([1.0, bad])))
    with pytest.raises(ValueError, match="got scale 3"):
        underflow_report(model_with(one=torch.ones(2)), scale=3)
    with pytest.raises(ValueError, match="expected one of fp32"):
        underflow_report(model_with(one=torch.ones(2)), "int8")


@pytest.mark.parametrize("to", [*SHORT, "e3m4"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), low=st.integers(-126, 90))
def test_the_largest_safe_scale_is_the_largest(to, seed, low):
    x = spread(seed, 50, low, low + 20)
    scale = underflow_report(model_with(weight=x), to).largest_safe_scale
    assert brute_overflowed(x, to, scale) == 0.0
    assert brute_overflowed(x, to, 2 * scale) > 0.0


@pytest.mark.parametrize(
    ("to", "largest", "scale"),
    [
        ("fp16", 1.0, 2.0**15),
        ("fp16", 65504.0, 1.0),
        ("fp16", 65519.0, 1.0),  # rounds down to 65504
        ("fp16", 65520.0, 0.5),  # a tie, away from 65504, whose last digit is odd: inf
        ("fp16", 2.0**-24, 2.0**39),
        ("fp16", 2.0**-149, 2.0**164),  # a subnormal of fp32
        ("e5m2", 57344.0, 1.0),
        ("e5m2", 61440.0, 0.5),
        ("e4m3", 448.0, 1.0),
        ("e4m3", 464.0, 1.0),  # a tie, to 448, whose last digit is even
        ("e4m3", 465.0, 0.5),
        ("bf16", 1.0, 2.0**127),
        ("fp32", 3.4028234663852886e38, 1.0),
    ],
)
def test_the_largest_safe_scale_at_the_edges(to, largest, scale):
    report = underflow_report(model_with(weight=torch.tensor([1e-3 * largest, -largest])), to)
    assert report.largest_safe_scale == scale
    assert report.largest == torch.tensor(largest).item()


def test_all_zero_gradients_are_safe_at_any_scale():
    report = underflow_report(model_with(weight=torch.zeros(3)))
    assert report.largest_safe_scale == INF
    assert math.isnan(report.lost)


def test_it_says_so_in_a_sentence():
    report = underflow_report(model_with(weight=torch.tensor([2.0**-26, 1.0, 0.0, 3.0])), scale=1.0)
    assert str(report) == (
        "33.3% of the non-zero gradient entries become zero in fp16 at scale 1; nothing overflows up to scale 16384"
    )
