"""The values of a sweep: every way to write them, what is refused, and what holds for any of them."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslab.runner import grid, parameters
from dslab.runner.grid import Span
from dslab.runner.parameters import ParameterError

SPECIFICATION = parameters.parse("""\
rank: int = 8  # adapter rank [1..64]
free: int = 0  # any whole number
lr: float = 0.001  # learning rate [0..1]
x: float = 0.0  # any number
causal: bool = True  # whether the future is hidden
note: str = ""  # free text
kind: str = "a"  # a choice {a,b,c:d}
""")
BY_NAME = {parameter.name: parameter for parameter in SPECIFICATION}


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("rank", "8", [8]),
        ("rank", "1,2,4,8", [1, 2, 4, 8]),
        ("rank", " 1, 2 ", [1, 2]),
        ("rank", "1..4", [1, 2, 3, 4]),
        ("rank", "1..8..2", [1, 3, 5, 7]),
        ("rank", "1..9..4", [1, 5, 9]),
        ("rank", "5..5", [5]),
        ("rank", "1,2,8..16..4", [1, 2, 8, 12, 16]),
        ("rank", "1:64:log7", [1, 2, 4, 8, 16, 32, 64]),
        ("rank", "2:10:lin5", [2, 4, 6, 8, 10]),
        ("free", "-2..2..2", [-2, 0, 2]),
        ("lr", "0:1:lin5", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("lr", "0:1:lin11", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ("lr", "1e-4:1e-2:log5", [1e-4, 0.000316227766017, 1e-3, 0.00316227766017, 1e-2]),
        ("lr", "1e-4:1e-2:log2", [1e-4, 1e-2]),
        ("lr", "0..1", [0.0, 1.0]),
        ("x", "-1:1:lin3", [-1.0, 0.0, 1.0]),
        ("x", "-0.3:0.3:lin7", [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),
        ("causal", "true,no", [True, False]),
        ("note", "a,b", ["a", "b"]),
        ("note", r"a\,b,c", ["a,b", "c"]),
        ("note", "1..4", ["1..4"]),
        ("note", "", [""]),
        ("kind", "a,b", ["a", "b"]),
        ("kind", "c:d", ["c:d"]),
    ],
)
def test_each_way_to_write_values(name: str, text: str, values: list[Any]) -> None:
    found = grid.expand(BY_NAME[name], text)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_choice_with_a_comma_is_one_value() -> None:
    parameter = parameters.Parameter("pair", "str", "a,b", choices=("a,b", "c"))
    assert grid.expand(parameter, "a,b") == ["a,b"]
    assert grid.expand(parameter, r"a\,b,c") == ["a,b", "c"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rank", "8..1", "'8..1' is empty"),
        ("rank", "1..8..0", "step above 0"),
        ("rank", "1..8..-1", "step above 0"),
        ("rank", "1...8", "is no range; write a list"),
        ("rank", "1..", "is no range"),
        ("rank", "1..65", r"rank must be an int in \[1..64\]; got 65"),
        ("rank", "1..1000000000000", "at most 100,000"),
        ("rank", "1,2,", "rank must be an int in .*; got ''"),
        ("rank", "1:64:lin4,x", "got 'x'"),
        ("rank", "1:2:lin4", "rank is an int, and '1:2:lin4' goes through 1.33333, which is no whole number"),
        ("rank", "1:10:log4", "goes through 2.15443"),
        ("rank", "1.5:3:lin2", "got '1.5'"),
        ("lr", "0.1..0.5", "must be whole numbers.*lin5"),
        ("lr", "1:0:lin3", "'1:0:lin3' is empty"),
        ("lr", "0.5:0.5:lin3", "is empty"),
        ("lr", "0:1:log3", "must begin above 0"),
        ("lr", "0:1:lin1", "at least 2 values, as both ends count"),
        ("lr", "0:1:lin0", "at least 2"),
        ("lr", "0:1:lin1000000000", "at most 100,000"),
        ("lr", "0:2:lin3", "lr must be a float in .*; got 2.0"),
        ("lr", "0:1:cubic3", "is no range"),
        ("lr", "0:1:lin,0.5", "cannot stand in a list"),
        ("lr", "0:nan:lin3", "got nan"),
        ("causal", "true,maybe", "causal must be a bool"),
        ("kind", "a,d", "kind must be a str from .*; got 'd'"),
    ],
)
def test_what_is_refused_says_why(name: str, text: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        grid.expand(BY_NAME[name], text)


def test_a_file_gives_values_lists_or_the_same_texts() -> None:
    assert grid.checked(BY_NAME["rank"], [1, 2]) == [1, 2]
    assert grid.checked(BY_NAME["rank"], 4) == [4]
    assert grid.checked(BY_NAME["rank"], "1..3") == [1, 2, 3]
    assert grid.checked(BY_NAME["note"], ["a,b"]) == ["a,b"]
    assert grid.checked(BY_NAME["lr"], [1, 0.5]) == [1.0, 0.5]
    for wrong, said in (([], "empty list"), ([1, 2.5], "got 2.5"), (["1..3"], "got '1..3'"), (True, "got True")):
        with pytest.raises(ParameterError, match=said):
            grid.checked(BY_NAME["rank"], wrong)


finite = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(st.tuples(finite, finite), st.integers(2, 40))
def test_a_linear_grid_has_its_ends_its_count_and_even_steps(ends: tuple[float, float], count: int) -> None:
    low, high = sorted(ends)
    if high - low < 1e-3:
        return
    values = grid.expand(BY_NAME["x"], f"{low!r}:{high!r}:lin{count}")
    assert isinstance(values, list)
    assert (values[0], values[-1], len(values)) == (low, high, count)
    step = (high - low) / (count - 1)
    assert all(math.isclose(b - a, step, rel_tol=1e-3, abs_tol=1e-9) for a, b in itertools.pairwise(values))


@given(st.floats(1e-8, 1e3), st.floats(1.5, 1e6), st.integers(2, 40))
def test_a_logarithmic_grid_has_its_ends_its_count_and_even_ratios(low: float, ratio: float, count: int) -> None:
    high = low * ratio
    values = grid.expand(BY_NAME["x"], f"{low!r}:{high!r}:log{count}")
    assert isinstance(values, list)
    assert (values[0], values[-1], len(values)) == (low, high, count)
    each = ratio ** (1 / (count - 1))
    assert all(math.isclose(b / a, each, rel_tol=1e-9) for a, b in itertools.pairwise(values))


@given(st.integers(-100, 100), st.integers(0, 100), st.integers(1, 9))
def test_whole_ranges_are_pythons_with_the_end(low: int, length: int, step: int) -> None:
    assert grid.expand(BY_NAME["free"], f"{low}..{low + length}..{step}") == list(range(low, low + length + 1, step))


texts = st.text(st.characters(exclude_characters="\\"), max_size=8)


@given(st.lists(texts, min_size=1, max_size=5))
def test_any_texts_can_be_written_as_a_list(values: list[str]) -> None:
    assert grid.expand(BY_NAME["note"], ",".join(value.replace(",", r"\,") for value in values)) == values


@given(st.text(max_size=30))
def test_any_text_is_values_or_a_refusal(text: str) -> None:
    for parameter in SPECIFICATION:
        try:
            found = grid.expand(parameter, text)
        except ParameterError:
            continue
        assert isinstance(found, Span) or [parameter.check(value) for value in found] == found


axes = st.dictionaries(
    st.sampled_from("abcd"), st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True), max_size=4
)


@given(axes)
def test_a_product_has_every_combination_once(given_axes: dict[str, list[int]]) -> None:
    points = [tuple(point.items()) for point in grid.product(given_axes)]
    assert len(points) == len(set(points)) == math.prod(map(len, given_axes.values()))


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=5), min_size=1, max_size=4))
def test_zip_pairs_equal_lists_and_refuses_others(lists: list[list[int]]) -> None:
    named = dict(zip("abcd", lists, strict=False))
    if len({len(values) for values in lists}) == 1:
        assert [tuple(point.values()) for point in grid.zipped(named)] == list(zip(*lists, strict=True))
    else:
        with pytest.raises(ParameterError, match="equal lengths; a has"):
            list(grid.zipped(named))


@given(axes.filter(bool), st.integers(0, 5), st.data())
def test_draws_from_lists_are_different_and_the_same_for_a_seed(
    given_axes: dict[str, list[int]], seed: int, data: st.DataObject
) -> None:
    total = math.prod(map(len, given_axes.values()))
    count = data.draw(st.integers(1, total))
    points = list(grid.drawn(given_axes, {}, count, seed))
    assert points == list(grid.drawn(given_axes, {}, count, seed))
    assert len({tuple(sorted(point.items())) for point in points}) == count
    assert all(point[name] in values for point in points for name, values in given_axes.items())
    with pytest.raises(ParameterError, match=f"more points than the {total}"):
        list(grid.drawn(given_axes, {}, total + 1, seed))


def test_draws_go_round_the_lists_and_over_the_whole_range() -> None:
    spans = {"lr": Span(1e-4, 1e-1, "log"), "x": Span(-1.0, 1.0, "lin"), "n": Span(1, 8, "log", True)}
    points = list(grid.drawn({"kind": ["a", "b", "c"]}, spans, 300, 0))
    assert [sum(point["kind"] == kind for point in points) for kind in "abc"] == [100, 100, 100]
    assert all(1e-4 <= point["lr"] <= 1e-1 and -1 <= point["x"] <= 1 for point in points)
    assert {point["n"] for point in points} == set(range(1, 9))
    for low, high in ((1e-4, 1e-3), (1e-3, 1e-2), (1e-2, 1e-1)):  # a third each
        assert 70 < sum(low <= point["lr"] < high for point in points) < 130
    assert 120 < sum(point["x"] < 0 for point in points) < 180
    assert list(grid.drawn({}, spans, 5, 1)) != list(grid.drawn({}, spans, 5, 2))


def test_draws_from_huge_grids_take_no_time_and_from_tiny_ranges_end() -> None:
    huge = {name: list(range(1000)) for name in "abcdefgh"}
    assert len(list(grid.drawn(huge, {}, 50, 0))) == 50
    assert sorted(point["n"] for point in grid.drawn({}, {"n": Span(1, 3, "lin", True)}, 3, 0)) == [1, 2, 3]
    with pytest.raises(ParameterError, match="hardly more than 3 points"):
        list(grid.drawn({}, {"n": Span(1, 3, "lin", True)}, 4, 0))


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), st.sampled_from(["lin", "log"]), st.integers(0, 99))
def test_a_draw_stays_in_its_range_which_can_be_written_down(low: float, ratio: float, scale: str, seed: int) -> None:
    span = Span(low, low * ratio, scale)
    assert span.low <= span.draw(random.Random(seed)) <= span.high
    assert grid.expand(BY_NAME["x"], str(span)) == span
