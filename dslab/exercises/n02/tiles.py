"""Exercise `tiles`: eight-bit codes with one scale for every few neighbours in a row."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise
from dslab.exercises.n02.tiles_mistakes import E4M3, LARGEST, MISTAKES, Answer, definition, largest, spread

TASK = """\
An e4m3 code is a float of eight bits: the largest is 448, the smallest above zero 2⁻⁹. One scale for a whole tensor
moves the largest entry to 448, and a row a million times smaller falls below 2⁻⁹ and is gone. DeepSeek-V3 gives every
128 neighbours of a row a scale of their own. Build that.

Write `my_quantize(x, tile)` for `x` of shape `(rows, columns)`, fp32 and finite, and an int `tile >= 1`. Cut each row
into groups of `tile` neighbours; the last group of a row is shorter where `tile` does not divide `columns`. Return
`(codes, scales)`:

- `codes`, `torch.float8_e4m3fn`, of the shape of `x`: every entry divided by the scale of its group, rounded to the
  nearest code by `.to(torch.float8_e4m3fn)`;
- `scales`, fp32, of shape `(rows, ceil(columns / tile))`: the largest **absolute** value of the group divided by 448,
  so that the code times its scale gives the entry back, also in a group as small as gradients can be, 1e-8.

A group of zeros has codes 0; its scale may be any finite number above 0. No NaN anywhere. Leave `x` as it is."""

STUB = '''\
def my_quantize(x, tile):
    """(codes, scales): float8_e4m3fn of x's shape, and fp32 (rows, ceil(columns / tile)); codes * scales is about x."""
    ...
'''

HINTS = (
    "Loop over the groups first: columns 0 to tile, tile to 2 * tile, and so on. A slice that runs over the end is cut "
    "off by itself, which is just what the last group needs. What do you divide by if a whole group is zero?",
    "For each group: part = x[:, start:start + tile], then part.abs().amax(dim=1, keepdim=True) / 448 is one scale a "
    "row; put 1 where it is 0. Divide, cast. In the end lay codes and scales side by side with torch.cat(..., dim=1). "
    "A float8 tensor can be cut and laid together like any other.",
    "parts = x.split(tile, dim=1); scales = torch.cat([p.abs().amax(1, keepdim=True) for p in parts], 1) / 448; then "
    "torch.where(scales == 0, 1.0, scales). Spread them: scales.repeat_interleave(tile, 1)[:, :x.shape[1]]. Codes: "
    "(x / spread).to(torch.float8_e4m3fn).",
)

SOLUTION = """\
def my_quantize(x, tile):
    largest = torch.cat([part.abs().amax(dim=1, keepdim=True) for part in x.split(tile, dim=1)], dim=1)
    scales = largest / 448
    scales = torch.where(scales == 0, 1.0, scales)  # 0 / 0 would be NaN
    spread = scales.repeat_interleave(tile, dim=1)[:, : x.shape[1]]
    codes = (x / spread).clamp(-448, 448).to(torch.float8_e4m3fn)
    return codes, scales
"""

SAYS = {
    "type": "my_quantize should return two tensors, (codes, scales); it returned {came}.",
    "order": "The codes come first, then the scales.",
    "codes_float": "Your codes are {came}: still numbers of {bits} bits. Cast them with .to(torch.float8_e4m3fn).",
    "codes_dtype": "Your codes are {came}; this exercise is about torch.float8_e4m3fn.",
    "scales_dtype": "Your scales are {came}. They should be fp32: a scale has to reach further than its codes.",
    "codes_padded": "Your codes are still padded: {came}, and x is {x}. Cut off what you have added.",
    "codes_grouped": "Your codes are still cut into groups: {came}, and x is {x}.",
    "codes_shape": "The codes have the shape of x, {x}; yours are {came}.",
    "per_tensor": "One scale for all of x. Each group of {tile} neighbours in a row needs its own. {case}",
    "per_row": "One scale a row. Each group of {tile} neighbours in it needs its own. {case}",
    "down": "Your groups run down the columns. They are neighbours in a row. {case}",
    "block": "Your groups run over all rows. Each row has scales of its own. {case}",
    "dropped": "The rest of a row is dropped: {columns} columns in groups of {tile} leave a shorter last one. {case}",
    "by_number": "You cut a row into `tile` groups. It is the width of a group, not how many there are. {case}",
    "spread": "You return a scale for every entry. One for each group is enough: that is what saves memory. {case}",
    "transposed": "Your scales are transposed, groups by rows. {case}",
    "scales_shape": "{case}",
    "shapes": "For x of shape {x} and tile {tile} the scales are {want}, and yours are {got}.",
    "inverted": "You return 448 / amax, which is what you multiply by. To get x back, codes are multiplied by the "
    "scale: return amax / 448. {scale}",
    "to_one": "Your codes run from -1 to 1. That throws away the upper codes, up to 448, and what is small falls below "
    "2**-9. Divide amax by 448. {scale}",
    "int8": "127 is the largest number of int8. The largest of e4m3 is 448. {scale}",
    "wasted": "Your scales are {ratio:.4g} times too large, so the upper codes are never used. {scale}",
    "clipped": "Your scales are {ratio:.4g} times as large as they should be, so the largest entries pass 448 and are "
    "cut off, in silence. {scale}",
    "no_abs": "You take the largest value without abs(): a group of negative numbers is led by its smallest. {scale}",
    "signed": "A scale is an absolute value over 448, never below 0; the sign belongs to the code. {scale}",
    "range": "You scale by largest minus smallest, as int8 with an offset does. Floats have a sign: use abs. {scale}",
    "remainder": "The last, shorter group has a scale that comes from its neighbours too. {scale}",
    "scales": "{scale}",
    "scale": "{where} scales[{i}, {g}] should be {want} and is {got}.",
    "rounded": "You round to whole numbers before the cast. That is a habit of int8; e4m3 has numbers between 0 and 1, "
    "and the cast rounds by itself. {entry}",
    "multiplied": "You multiply by the scale. {entry}",
    "not_divided": "You cast x as it is; divide by the scale first. {entry}",
    "cast_first": "You cast to eight bits before you divide, so x is rounded, or gone, before it is scaled. {entry}",
    "codes": "{entry}",
    "entry": "{where} x[{i}, {j}] = {x} has code {got}, and {want} is right.",
    "nan": "{where} the code of x[{i}, {j}] = {x} is NaN.",
    "tiny": "A small group gets lost: its scale is kept from falling below some floor. A floor helps against division "
    "by zero, but let it be far smaller than 1e-8. {scale}",
    "zero_nan": "{where} row {i} has a group of zeros, and its codes are NaN: 0 / 0.",
    "zero_scale": "{where} row {i} has a group of zeros, and its scale is {got}. It should be finite and above 0.",
    "zero_codes": "{where} row {i} has a group of zeros, and its codes are not 0.",
    "zero_crash": "{where} row {i} has a group of zeros, and your code raises {error}.",
    "listed": "For x = torch.tensor({numbers}) and tile {tile}",
    "drawn": "After torch.manual_seed({seed}), for x = torch.randn{shape} * {size:g} and tile {tile}",
}

Case = tuple[Tensor, int]  # x, tile

# Every group its own size, one all negative; seven columns in pairs leave one over. All wrong shapes differ here.
LISTED = [[1.0, -3.0, 100.0, 0.5, -60.0, 7.0, 0.02], [-0.7, -0.2, 5.0, 0.3, 0.004, -0.001, -40.0]]
SMALL = [[448.0, -0.01, 0.004, 0.0015, -1.0, 0.0009]]  # down to where the codes end: half of 2**-9 is 0.00098
DRAWS = (((4, 300), 128, 1.0), ((6, 8), 4, 1e-3), ((3, 5), 1, 1.0), ((2, 6), 10, 50.0), ((5, 9), 3, 1.0))
TINY = (((3, 10), 4, 1e-8), ((3, 10), 4, 1e25))
ZEROS: tuple[tuple[list[list[float]], int], ...] = (
    ([[0.0, 0.0, 0.0, 3.0], [-1.0, 0.5, 2.0, 0.25]], 2),
    ([[1.0, 2.0, 3.0, -0.0], [0.0, 0.0, 0.0, 0.0]], 3),
)


def _draw(seed: int, shape: tuple[int, int], tile: int, size: float) -> tuple[str, Case]:
    """(how a reader can make it, case). A generator of our own: the random state stays as it is."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size
    return SAYS["drawn"].format(seed=seed, shape=shape, size=size, tile=tile), (x, tile)


def _list(numbers: list[list[float]], tile: int) -> tuple[str, Case]:
    return SAYS["listed"].format(numbers=numbers, tile=tile), (torch.tensor(numbers), tile)


@functools.cache
def _ordinary() -> list[tuple[str, Case]]:
    return [_list(LISTED, 2), _list(SMALL, 6), *(_draw(seed, *facts) for seed, facts in enumerate(DRAWS))]


def check(my_quantize: Any) -> str | None:
    """None when right, else what is wrong."""
    return _check_ordinary(my_quantize) or _check_tiny(my_quantize) or _check_zeros(my_quantize)


def _check_ordinary(my_quantize: Any) -> str | None:
    cases, answers = [case for _, case in _ordinary()], []
    for _, case in _ordinary():
        got, diagnosis = _run(my_quantize, case)
        if got is None:
            return diagnosis
        answers.append(got)
    for (where, case), got in zip(_ordinary(), answers, strict=True):
        if _wrong_scales(case, got).any() or _wrong_codes(case, got).any():
            known = probe.recognise(cases, answers, MISTAKES, _is_alike)
            return _say(where, case, got, known[0] if known else _name_by_ratio(cases, answers))
    return None


def _check_tiny(my_quantize: Any) -> str | None:
    """Groups far from 1 in size, where floors and 16 bits show."""
    for seed, facts in enumerate(TINY):
        where, case = _draw(seed, *facts)
        got, diagnosis = _run(my_quantize, case)
        if got is None:
            return diagnosis
        wrong = _wrong_scales(case, got)
        if wrong.any() or _wrong_codes(case, got).any():
            is_floor = bool((got[1] > definition(*case)[1])[wrong].all()) and facts[-1] < 1.0
            return _say(where, case, got, "tiny" if is_floor else None)
    return None


def _check_zeros(my_quantize: Any) -> str | None:
    for numbers, tile in ZEROS:
        where, case = _list(numbers, tile)
        is_zero = largest(*case) == 0
        i = int(is_zero.any(dim=1).nonzero()[0])
        try:
            got, diagnosis = _run(my_quantize, case)
        except ZeroDivisionError as error:
            return SAYS["zero_crash"].format(where=where, i=i, error=type(error).__name__)
        if got is None:
            return diagnosis
        codes, scales = got[0][spread(is_zero, *case)], got[1][is_zero]
        if codes.isnan().any():
            return SAYS["zero_nan"].format(where=where, i=i)
        bad = scales[~(scales.isfinite() & (scales > 0))]
        if len(bad):
            return SAYS["zero_scale"].format(where=where, i=i, got=_number(bad[0]))
        if codes.any():
            return SAYS["zero_codes"].format(where=where, i=i)
        if (_wrong_scales(case, got) & ~is_zero).any() or (_wrong_codes(case, got) & ~spread(is_zero, *case)).any():
            return _say(where, case, (got[0], torch.where(is_zero, 1.0, got[1])), None)
    return None


def _run(my_quantize: Any, case: Case) -> tuple[Answer | None, str | None]:
    """The answer in fp64, or None and why it cannot be used."""
    x, tile = case
    came, changed = probe.call(my_quantize, "x tile", x, tile)
    if not isinstance(came, tuple | list) or len(came) != 2:
        return None, SAYS["type"].format(came=probe.describe(came))
    codes, scales = map(probe.as_tensor, came)
    if codes is None or scales is None:
        return None, SAYS["type"].format(came=" and ".join(map(probe.describe, came)))
    if scales.dtype == E4M3 and codes.dtype != E4M3:
        return None, SAYS["order"]
    said = _say_dtype(codes, scales) or _say_shape(codes, scales, x, tile) or changed
    return (None, said) if said else ((codes.double(), scales.double()), None)


def _say_dtype(codes: Tensor, scales: Tensor) -> str | None:
    if codes.dtype != E4M3:
        bits = 8 * codes.element_size()
        name = "codes_float" if codes.is_floating_point() and bits > 8 else "codes_dtype"
        return SAYS[name].format(came=probe.describe(codes), bits=bits)
    if scales.dtype not in (torch.float32, torch.float64):
        return SAYS["scales_dtype"].format(came=probe.describe(scales))
    return None


def _say_shape(codes: Tensor, scales: Tensor, x: Tensor, tile: int) -> str | None:
    rows, columns = x.shape
    groups = math.ceil(columns / tile)
    facts = {"x": (rows, columns), "tile": tile, "columns": columns, "came": tuple(codes.shape)}
    shown = SAYS["shapes"].format(want=(rows, groups), got=tuple(scales.shape), **facts)
    if scales.shape != (rows, groups):
        return SAYS[_name_shape(tuple(scales.shape), rows, columns, tile)].format(case=shown, **facts)
    if codes.shape == x.shape:
        return None
    is_padded = codes.shape == (rows, groups * tile)
    return SAYS["codes_padded" if is_padded else "codes_grouped" if codes.ndim == 3 else "codes_shape"].format(**facts)


def _name_shape(shape: tuple[int, ...], rows: int, columns: int, tile: int) -> str:
    """What scales of a wrong shape are."""
    groups = math.ceil(columns / tile)
    if shape in ((), (1,), (1, 1)):
        return "per_tensor"
    names = {
        (rows,): "per_row",
        (rows, 1): "per_row",
        (rows, columns // tile): "dropped",
        (rows, columns): "spread",
        (groups, rows): "transposed",
        (math.ceil(rows / tile), columns): "down",
        (rows, tile): "by_number",
        (groups,): "block",
        (1, groups): "block",
    }
    return names.get(shape, "scales_shape")


def _wrong_scales(case: Case, got: Answer) -> Tensor:
    """(rows, groups) bool. fp32 divides and multiplies to 1e-7; a floor added to amax, far below it, passes."""
    return ~torch.isclose(got[1], definition(*case)[1], rtol=3e-4, atol=0.0)


def _wrong_codes(case: Case, got: Answer) -> Tensor:
    """(rows, columns) bool: further from the entry than half a step of e4m3 there. x / s and x * (1 / s) both pass."""
    x, tile = case
    exact = x.double() / spread(definition(x, tile)[1], x, tile)
    back = got[0] * spread(got[1] / definition(x, tile)[1], x, tile)
    exponent = exact.abs().clamp(min=2.0**-6).log2().floor()  # below 2**-6 the steps stay 2**-9
    return ~((back - exact).abs() <= 2.0 ** (exponent - 4) * 1.001)


def _is_alike(mistake: Answer, got: Answer) -> bool:
    """The same scales, and the same codes but for a few that were a tie."""
    codes = (mistake[0] == got[0]) | (mistake[0].isnan() & got[0].isnan())
    return torch.allclose(mistake[1], got[1], rtol=1e-3, atol=0.0) and bool(codes.double().mean() > 0.98)


def _name_by_ratio(cases: list[Case], answers: list[Answer]) -> str | None:
    """Scales with a sign, or wrong by one factor, the same everywhere."""
    wanted = torch.cat([definition(*case)[1].flatten() for case in cases])
    given = torch.cat([scales.flatten() for _, scales in answers])
    if (given < 0).any():
        return "signed"
    if torch.allclose(given * wanted, torch.ones_like(given), rtol=1e-3):
        return "inverted"
    ratio = given / wanted
    if not torch.allclose(ratio, ratio[:1], rtol=1e-3) or torch.isclose(ratio[0], torch.ones_like(ratio[0]), rtol=1e-3):
        return None
    exact = {LARGEST: "to_one", LARGEST / 127: "int8"}
    name = next((name for factor, name in exact.items() if abs(float(ratio[0]) / factor - 1) < 1e-3), None)
    return name or ("wasted" if ratio[0] > 1 else "clipped")


def _say(where: str, case: Case, got: Answer, name: str | None) -> str:
    """The diagnosis, with one wrong scale or code as its case."""
    (x, tile), want = case, definition(*case)
    wrong_scales, wrong_codes = _wrong_scales(case, got), _wrong_codes(case, got)
    facts: dict[str, Any] = {"tile": tile, "ratio": 1.0}
    scale = entry = ""
    if wrong_scales.any():
        i, g = wrong_scales.nonzero()[0].tolist()
        facts["ratio"] = float(got[1][i, g] / want[1][i, g])
        scale = SAYS["scale"].format(where=where, i=i, g=g, want=_number(want[1][i, g]), got=_number(got[1][i, g]))
    else:
        i, j = wrong_codes.nonzero()[0].tolist()
        kind = "nan" if got[0][i, j].isnan() else "entry"
        numbers = {"x": _number(x[i, j]), "got": _number(got[0][i, j]), "want": _number(want[0][i, j])}
        entry = SAYS[kind].format(where=where, i=i, j=j, **numbers)
    shown = scale or entry
    return SAYS[name or ("scales" if scale else "codes")].format(scale=shown, entry=shown, case=shown, **facts)


def _number(value: Tensor) -> str:
    return f"{float(value):.5g}"


exercise = Exercise(name="tiles", notebook="02", task=TASK, hints=HINTS, solution=SOLUTION, check=check)
