"""A study: one notebook, the values each parameter takes, how they are combined; its points; its record as TOML."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dslab.runner import grid, parameters
from dslab.runner.grid import Span
from dslab.runner.parameters import Parameter, ParameterError
from dslab.runner.selection import Refused
from dslab.runner.study_toml import key, literal, single

DEFAULT_TIMEOUT = 600.0
HEAD = "# The record of a sweep. `dslab sweep study.toml` asks the same question again.\n"


@dataclass(frozen=True)
class Point:
    """One run of the notebook: its place in the order, from 1; its name, made of its values; its values."""

    index: int
    id: str
    values: dict[str, Any]

    @property
    def folder(self) -> str:
        """Where it lies under `points/`."""
        return f"{self.index:04d}-{self.id}"


@dataclass(frozen=True)
class Study:
    """What a sweep runs. grid: the parameters that vary, each with its values; spans: those that `--random` draws.

    how: product, zip or random; random: how many points are drawn, with draw_seed. seeds: each crossed with every
    point. timeout: seconds a cell may take. cluster: options of `--cluster`; no part of the question.
    """

    notebook: str
    grid: dict[str, list[Any]]
    fixed: dict[str, Any]
    how: str = "product"
    random: int | None = None
    draw_seed: int = 0
    seeds: list[int] = field(default_factory=list)
    timeout: float = DEFAULT_TIMEOUT
    spans: dict[str, Span] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def swept(self) -> list[str]:
        """The parameters that differ between points."""
        return [*self.grid, *self.spans, *(["seed"] if len(self.seeds) > 1 else [])]

    @property
    def count(self) -> int:
        """How many points there are, without making them."""
        lengths = [len(values) for values in self.grid.values()]
        each = {"product": math.prod(lengths), "zip": lengths[0] if lengths else 1, "random": self.random or 0}
        return each[self.how] * max(1, len(self.seeds))

    def points(self) -> list[Point]:
        """Every point, in the order in which they start: the whole grid with the first seed, then with the next.

        Raises ParameterError for lists of unequal lengths, and where fewer points exist than are to be drawn.
        """
        found: list[Point] = []
        combined = list(self._combined())
        for seed in [{"seed": seed} for seed in self.seeds] or [{}]:
            for values in combined:
                given = self.fixed | values | seed
                found.append(Point(len(found) + 1, point_id(self.notebook, given), given))
        return found

    def _combined(self) -> Iterator[dict[str, Any]]:
        if self.how == "random":
            return grid.drawn(self.grid, self.spans, self.random or 0, self.draw_seed)
        return grid.zipped(self.grid) if self.how == "zip" and self.grid else grid.product(self.grid)

    def toml(self) -> str:
        """The record, which `study_toml.read` understands."""
        lines = [
            HEAD + f"notebook = {literal(self.notebook)}",
            f"timeout = {literal(self.timeout)}",
        ]
        if self.how == "random":
            lines += [f"random = {self.random}", f"draw_seed = {self.draw_seed}"]
        else:
            lines.append(f"how = {literal(self.how)}")
        if self.seeds:
            lines.append(f"seeds = {literal(self.seeds)}")
        texts = {name: single(value) for name, value in self.fixed.items()}
        texts |= {name: literal(values) for name, values in self.grid.items()}
        texts |= {name: literal(str(span)) for name, span in self.spans.items()}
        lines += ["", "[parameters]", *(f"{key(name)} = {text}" for name, text in texts.items())]
        if self.cluster:
            lines += [
                "",
                "[cluster]",
                *(f"{key(name)} = {literal(value)}" for name, value in self.cluster.items()),
            ]
        return "\n".join(lines) + "\n"


def point_id(notebook: str, values: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that name a notebook with all its given values, whatever their order."""
    text = json.dumps([notebook, dict(values)], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def build(
    notebook: str, specification: Sequence[Parameter], given: Mapping[str, Any], *, how: str = "product",
    random: int | None = None, draw_seed: int = 0, seeds: int | Sequence[Any] | None = None,
    timeout: float = DEFAULT_TIMEOUT, cluster: Mapping[str, Any] | None = None,
) -> Study:  # fmt: skip
    """A study from what was given for each parameter, checked to the last value.

    given: name -> text of the command line, a value, or a list of values.
    seeds: a number n for 0 … n-1, or a list.
    Raises ParameterError or Refused saying what was expected, what came, what to do.
    """
    by_name = parameters.known(specification, given)
    varied: dict[str, list[Any]] = {}
    fixed: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    notes = []
    for name, text in given.items():
        values = grid.checked(by_name[name], text)
        if isinstance(values, Span):
            spans[name] = values
            continue
        once, repeated = grid.without_repeats(values)
        if how == "zip" and len(once) > 1:  # a value's place in its list says what it goes with
            varied[name] = values
            continue
        if repeated:
            notes.append(f"{name}: {', '.join(map(str, repeated))} given more than once, run once")
        if len(once) == 1:
            fixed[name] = once[0]
        else:
            varied[name] = once
    if how == "zip" and len({len(values) for values in varied.values()}) == 1:
        together, repeated = grid.without_repeats(list(zip(*varied.values(), strict=True)))
        notes += [
            f"{', '.join(varied)} = {', '.join(map(str, row))} given more than once, run once" for row in repeated
        ]
        varied = {name: list(column) for name, column in zip(varied, zip(*together, strict=True), strict=True)}
    if seeds is not None and "seed" in given:
        raise Refused("seed is given twice, by --seeds (or `seeds`) and as a parameter; keep one")
    study = Study(
        notebook, varied, fixed, "random" if random is not None else how, random, draw_seed,
        _seeds(specification, seeds), _timeout(timeout), spans, dict(cluster or {}), tuple(notes),
    )  # fmt: skip
    _check_how(study, how)
    return study


def _check_how(study: Study, how: str) -> None:
    if how not in ("product", "zip"):
        raise Refused(f'how must be "product" or "zip" (or give `random`); got {how!r}')
    if study.spans and study.how != "random":
        name, span = next(iter(study.spans.items()))
        raise Refused(f"{name}={span} is a range to draw from: add --random N, or a count, as in {span}5")
    if study.how == "zip":
        next(grid.zipped(study.grid), None)
    if study.how != "random":
        return
    if how == "zip":
        raise Refused("--random and --zip exclude each other; keep one")
    if not isinstance(study.random, int) or isinstance(study.random, bool) or study.random < 1:
        raise Refused(f"random must be a whole number of at least 1; got {study.random!r}")
    if not isinstance(study.draw_seed, int) or isinstance(study.draw_seed, bool):
        raise Refused(f"draw_seed must be a whole number; got {study.draw_seed!r}")
    if not study.grid and not study.spans:
        raise Refused("--random has nothing to draw from; give a parameter several values or a range")


def _seeds(specification: Sequence[Parameter], given: Any) -> list[int]:
    if given is None:
        return []
    if isinstance(given, int) and not isinstance(given, bool):
        if not 1 <= given <= grid.MOST:
            raise Refused(f"seeds must be a number from 1 to {grid.MOST:,}, or a list; got {given}")
        given = list(range(given))
    if not isinstance(given, list) or not given:
        raise Refused(f"seeds must be a whole number, as in 3 for 0, 1, 2, or a list of seeds; got {given!r}")
    seed = parameters.known(specification, ["seed"])["seed"]
    return grid.without_repeats([seed.check(value) for value in given])[0]


def _timeout(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise Refused(f"timeout must be a number of seconds above 0; got {given!r}")
    return float(given)


def from_data(data: Mapping[str, Any], notebook: str, specification: Sequence[Parameter], name: str) -> Study:
    """The study of a file (`study_toml.read`). Raises ParameterError or Refused beginning with the file's name."""
    rest = {key: value for key, value in data.items() if key not in ("notebook", "parameters")}
    try:
        return build(notebook, specification, data["parameters"], **rest)
    except (ParameterError, Refused) as error:
        raise type(error)(f"{name}: {error}") from None


def difference(recorded: Study, given: Study) -> list[str]:
    """What differs between two studies, a line each; none where they ask the same."""
    ours, theirs = _said(recorded), _said(given)
    return [
        f"{place[1]}: {ours.get(place, 'absent')} in the folder, {theirs.get(place, 'absent')} given"
        for place in dict.fromkeys([*ours, *theirs])
        if ours.get(place) != theirs.get(place)
    ]


def _said(study: Study) -> dict[tuple[str, str], str]:
    """Each key and each parameter of a study in words; a parameter may be called as a key is."""
    names = ["notebook", "how", "random", "seeds", "timeout", *(["draw_seed"] if study.how == "random" else [])]
    rows = {("study", name): getattr(study, name) for name in names}
    rows |= {("parameter", name): value for name, value in (study.fixed | study.grid | study.spans).items()}
    return {
        place: (", ".join(map(repr, value)) or "none") if isinstance(value, list) else str(value)
        for place, value in rows.items()
    }
