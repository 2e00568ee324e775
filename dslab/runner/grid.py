"""The values of a sweep: how one parameter's are written, and how several parameters' make points.

1,2,4,8         a list                       0:1:lin5        five even steps from 0 to 1
1..8, 1..8..2   whole numbers, with a step   1e-4:1e-2:log5  five even ratios
\\\\,              a comma within a text        1e-4:1e-2:log   drawn from by `--random`: no count
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dslab.runner import parameters
from dslab.runner.parameters import Parameter, ParameterError

MOST = 100_000  # values of one parameter: more is a slip of the pen, and would fill the memory before it is refused
DIGITS = 12  # of computed values: the last bits of a logarithm differ from machine to machine, a point's id must not
FORM = "a list 1,2,4; whole numbers 1..8 or 1..8..2; a grid 0:1:lin5 or 1e-4:1e-2:log5; with --random also 0:1:lin"
_COLONS = re.compile(r"^([^:]*):([^:]*):(lin|log)(\d*)$")
_DOTS = re.compile(r"^(.*?[^.])\.\.([^.].*?)(?:\.\.([^.].*))?$")


@dataclass(frozen=True)
class Span:
    """A continuous range that `--random` draws from, evenly (lin) or evenly in the logarithm (log); ends included."""

    low: float
    high: float
    scale: str
    whole: bool = False  # an int parameter: the nearest whole number is taken

    def draw(self, source: random.Random) -> Any:
        """One value."""
        if self.scale == "lin" and self.whole:
            return source.randint(int(self.low), int(self.high))
        at = source.random()
        if self.scale == "lin":
            value = self.low + (self.high - self.low) * at
        else:
            value = self.low * (self.high / self.low) ** at
        value = min(max(_tidy(value, self.high), self.low), self.high)
        return round(value) if self.whole else value

    def __str__(self) -> str:
        return f"{self.low!r}:{self.high!r}:{self.scale}"


def expand(parameter: Parameter, text: str) -> list[Any] | Span:
    """The typed values that a text of the command line means, in order, repeats included.

    Raises ParameterError naming what was expected and what came.

    >>> rank = parameters.parse("rank: int = 8  # [1..64]")[0]
    >>> expand(rank, "1,2,8..16..4"), expand(rank, "1:64:log4")
    ([1, 2, 8, 12, 16], [1, 4, 16, 64])
    """
    if parameter.type == "str" and parameter.choices and text in parameter.choices:
        return [text]
    items = [item.replace("\\,", ",") for item in re.split(r"(?<!\\),", text)]
    if parameter.type in ("str", "bool"):
        return [_one(parameter, item) for item in items]
    found: list[Any] = []
    for item in items:
        values = _numbers(parameter, item.strip())
        if isinstance(values, Span):
            if len(items) > 1:
                raise ParameterError(f"{parameter.name}: {item.strip()} is drawn from, so it cannot stand in a list")
            return values
        found += values
    return found


def checked(parameter: Parameter, given: Any) -> list[Any] | Span:
    """The values that a study's file gives: a list of values, a single one, or the text of the command line."""
    if isinstance(given, str):
        return expand(parameter, given)
    if isinstance(given, list):
        if not given:
            raise ParameterError(f"{parameter.name} has an empty list of values; give at least one")
        return [parameter.check(value) for value in given]
    return [parameter.check(given)]


def without_repeats(values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The values once each, in order, and those that were given again."""
    counts = Counter(values)
    return list(counts), [value for value, count in counts.items() if count > 1]


def product(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination, the last parameter changing fastest."""
    return (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


def zipped(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """The first values together, then the second ones, and so on. Raises ParameterError for unequal lengths."""
    lengths = {name: len(values) for name, values in axes.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in lengths.items())
        raise ParameterError(f"--zip takes lists of equal lengths; {told}; a single value goes with every point")
    return (dict(zip(axes, values, strict=True)) for values in zip(*axes.values(), strict=True))


def drawn(
    axes: Mapping[str, Sequence[Any]], spans: Mapping[str, Span], count: int, seed: int
) -> Iterator[dict[str, Any]]:
    """`count` different points: of the lists' combinations none again before each has come, of the spans anywhere.

    The same seed draws the same points. Raises ParameterError where there are not so many.
    """
    source = random.Random(seed)
    total = math.prod(len(values) for values in axes.values())
    if not spans and count > total:
        raise ParameterError(
            f"--random {count} asks for more points than the {total} of the grid; draw at most {total}, leave it away "
            "for all of them, or give a range to draw from, as in 0:1:lin"
        )
    seen: set[tuple[Any, ...]] = set()
    round_: set[int] = set()
    for _ in range(100 * count + 1000):
        if len(seen) == count:
            return
        if len(round_) == total:
            round_.clear()
        place = _fresh(source, total, round_)
        point = {}
        for name, values in axes.items():
            place, at = divmod(place, len(values))
            point[name] = values[at]
        point |= {name: span.draw(source) for name, span in spans.items()}
        key = tuple(point.values())
        if key not in seen:
            seen.add(key)
            yield point
    if len(seen) < count:
        raise ParameterError(f"--random {count}: the ranges hold hardly more than {len(seen)} points; draw fewer")


def _fresh(source: random.Random, total: int, taken: set[int]) -> int:
    """A number below `total` that was not taken yet, and is now. Lists may have more combinations than a list holds."""
    if 2 * len(taken) < total:
        while (place := source.randrange(total)) in taken:
            pass
    else:
        place = source.choice([number for number in range(total) if number not in taken])
    taken.add(place)
    return place


def _one(parameter: Parameter, text: str) -> Any:
    return parameters.coerce([parameter], {parameter.name: text})[parameter.name]


def _numbers(parameter: Parameter, text: str) -> list[Any] | Span:
    if match := _COLONS.match(text):
        low, high = (_bound(parameter, text, bound) for bound in match.groups()[:2])
        return _grid(parameter, text, low, high, match[3], match[4])
    if match := _DOTS.match(text):
        return _whole(parameter, text, *match.groups())
    if ":" in text or ".." in text:
        raise ParameterError(f"{parameter.name}: {text!r} is no range; write {FORM}")
    return [_one(parameter, text)]


def _whole(parameter: Parameter, text: str, *bounds: str | None) -> list[Any]:
    try:
        low, high, step = (1 if bound is None else int(bound) for bound in bounds)
    except ValueError:
        raise ParameterError(
            f"{parameter.name}: {text!r} must be whole numbers, as in 1..8 or 1..8..2; for others write 0.1:0.5:lin5"
        ) from None
    if step < 1 or low > high:
        raise ParameterError(f"{parameter.name}: {text!r} is empty; write low..high or low..high..step, step above 0")
    _bearable(parameter, text, (high - low) // step + 1)
    return [parameter.check(value) for value in range(low, high + 1, step)]


def _grid(parameter: Parameter, text: str, low: Any, high: Any, scale: str, count: str) -> list[Any] | Span:
    if low >= high:
        raise ParameterError(f"{parameter.name}: {text!r} is empty; the low end must be below the high one")
    if scale == "log" and low <= 0:
        raise ParameterError(f"{parameter.name}: {text!r} must begin above 0, as logarithms do; got {low!r}")
    if not count:
        return Span(low, high, scale, parameter.type == "int")
    if int(count) < 2:
        raise ParameterError(f"{parameter.name}: {text!r} must have at least 2 values, as both ends count; got {count}")
    _bearable(parameter, text, int(count))
    steps = int(count) - 1
    found = [low, *(_between(low, high, scale, Fraction(at, steps)) for at in range(1, steps)), high]
    if parameter.type == "int":
        for value in found:
            if abs(value - round(value)) > 1e-9 * abs(value):
                raise ParameterError(
                    f"{parameter.name} is an int, and {text!r} goes through {value:.6g}, which is no whole number; "
                    "choose another count, or write the list you mean"
                )
        found = [round(value) for value in found]
    return [parameter.check(value) for value in found]


def _between(low: Any, high: Any, scale: str, at: Fraction) -> float:
    if scale == "lin":
        exact = Fraction(low) + (Fraction(high) - Fraction(low)) * at
        return int(exact) if exact.denominator == 1 else _tidy(float(exact), max(abs(low), abs(high)))
    return _tidy(math.exp(math.log(low) + math.log(high / low) * float(at)), low)


def _tidy(value: float, scale: float) -> float:
    """Rounded to DIGITS digits of the larger of both, so that 0.1 + 0.2 is 0.3 and no zero is 5e-17."""
    size = max(abs(value), abs(scale) if abs(value) < abs(scale) * 1e-9 else 0)
    if size == 0:
        return 0.0
    return round(value, DIGITS - 1 - math.floor(math.log10(size))) + 0.0


def _bound(parameter: Parameter, text: str, bound: str) -> Any:
    value = _one(Parameter(parameter.name, parameter.type, parameter.default), bound.strip())
    parameter.check(value)
    return value


def _bearable(parameter: Parameter, text: str, count: int) -> None:
    if count > MOST:
        raise ParameterError(f"{parameter.name}: {text!r} means {count:,} values; at most {MOST:,} are taken")
