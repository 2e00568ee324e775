"""How well does a detector do? Counted so that a leak cannot hide behind a good average.

    recall       gold spans of which every character is covered, whatever the type: does the value leave the text?
    half_eaten   gold spans covered in part: `[MASK]02X` leaks, and looks as if it did not
    precision    predictions that touch a gold span of their own type; those that touch only others are `mislabelled`
    negatives    planted look-alikes (order numbers, hashes, versions) that a prediction touches, by kind

Each share comes with its 95 % interval (Wilson 1927, JASA 22, p. 209), which stays honest at 0 and 1:

    (p + z^2/2n  +-  z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n),  z = 1.96

A test set by the author of the detector flatters it. Judge by a set of another hand, and look at each type.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

_RENAMED = {"CN_PASSPORT": "PASSPORT"}


class Finder(Protocol):
    """Whatever finds things with start, end and type."""

    def find(self, text: str) -> Sequence[Any]: ...


@dataclass(slots=True)
class Counts:
    """What was counted for one type, or for all."""

    gold: int = 0
    covered: int = 0
    covered_as_type: int = 0
    half_eaten: int = 0
    predicted: int = 0
    true: int = 0
    mislabelled: int = 0

    @property
    def recall(self) -> float:
        """Fully covered gold spans, by whatever type; NaN without gold spans."""
        return _share(self.covered, self.gold)

    @property
    def precision(self) -> float:
        """Predictions that touch a gold span of their type; NaN without predictions."""
        return _share(self.true, self.predicted)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing was found or nothing right."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both > 0 else 0.0


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`: counts by type, and (hit, planted) by kind of look-alike; the rest follows."""

    types: Mapping[str, Counts]
    negatives: Mapping[str, tuple[int, int]]
    documents: int
    total: Counts = field(init=False)

    def __post_init__(self) -> None:
        sums = {name: sum(getattr(c, name) for c in self.types.values()) for name in Counts.__slots__}
        object.__setattr__(self, "total", Counts(**sums))

    @property
    def recall(self) -> float:
        return self.total.recall

    @property
    def precision(self) -> float:
        return self.total.precision

    @property
    def f1(self) -> float:
        return self.total.f1

    @property
    def half_eaten(self) -> int:
        return self.total.half_eaten

    @property
    def negatives_hit(self) -> float:
        """Share of all planted look-alikes that were hit; NaN without any."""
        return _share(sum(hit for hit, _ in self.negatives.values()), sum(n for _, n in self.negatives.values()))

    def table(self) -> list[dict[str, Any]]:
        """One row a type, and a row "all": shares, their intervals (low, high), counts."""
        return [_row(name, counts) for name, counts in [*sorted(self.types.items()), ("all", self.total)]]

    def negatives_table(self) -> list[dict[str, Any]]:
        """One row a kind of look-alike, most hit first, and a row "all"."""
        hits, planted = (sum(pair[i] for pair in self.negatives.values()) for i in (0, 1))
        rows = [_negative(kind, *pair) for kind, pair in self.negatives.items()]
        return [*sorted(rows, key=lambda r: (-r["share"], r["kind"])), _negative("all", hits, planted)]


def evaluate(docs: Iterable[Mapping[str, Any]], detector: Finder, types: Iterable[str] | None = None) -> Evaluation:
    """Run a detector over labelled documents.

    docs:     {"text": str, "spans": [{"start", "end", "type"}], "neg": [{"start", "end", "kind"}]}; offsets are code
              points; "label" is read for "type", and CN_PASSPORT as PASSPORT.
    detector: has `.find(text)`, giving things with start, end and type.
    types:    gold spans and predictions of other types are left out (for a detector that does not know them).
    Raises    ValueError for a span that does not lie in its text.

    >>> from dslab.privacy import Detector
    >>> doc = {"text": "电话13800138000", "spans": [{"start": 2, "end": 13, "type": "CN_MOBILE"}], "neg": []}
    >>> result = evaluate([doc], Detector())
    >>> result.recall, result.precision, result.half_eaten
    (1.0, 1.0, 0)
    """
    wanted = None if types is None else frozenset(types)
    counts: dict[str, Counts] = {}
    negatives: dict[str, list[int]] = {}
    documents = 0
    for doc in docs:
        documents += 1
        text = doc["text"]
        gold = [g for g in _read(text, doc.get("spans", ()), "type") if wanted is None or g[2] in wanted]
        found = [(s.start, s.end, _RENAMED.get(s.type, s.type)) for s in detector.find(text)]
        found = [f for f in found if wanted is None or f[2] in wanted]
        _count(gold, found, counts)
        predictions = _Intervals(found)
        for start, end, kind in _read(text, doc.get("neg", ()), "kind"):
            pair = negatives.setdefault(kind, [0, 0])
            pair[0] += any(True for _ in predictions.touching(start, end))
            pair[1] += 1
    return Evaluation(counts, {kind: (hit, n) for kind, (hit, n) in negatives.items()}, documents)


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson interval of a share; (0, 1) where nothing was tried.

    >>> [round(x, 4) for x in wilson(10, 10)], [round(x, 4) for x in wilson(5, 10)]
    ([0.7225, 1.0], [0.2366, 0.7634])
    """
    if not 0 <= successes <= n:
        raise ValueError(f"a share of {successes} in {n}")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


_Spans = list[tuple[int, int, str]]


class _Intervals:
    """Spans sorted by start, which may overlap: those that touch a range, in time of what is near it."""

    def __init__(self, spans: _Spans) -> None:
        self.spans = sorted(spans)
        self.starts = [start for start, _, _ in self.spans]
        self.reach = list(accumulate((end for _, end, _ in self.spans), max))  # the furthest end so far

    def touching(self, start: int, end: int) -> Iterator[tuple[int, int, str]]:
        index = bisect_left(self.starts, end) - 1
        while index >= 0 and self.reach[index] > start:
            if self.spans[index][1] > start:
                yield self.spans[index]
            index -= 1


def _count(gold: _Spans, found: _Spans, counts: dict[str, Counts]) -> None:
    predictions, truth = _Intervals(found), _Intervals(gold)
    for start, end, type in gold:
        row = counts.setdefault(type, Counts())
        touching = list(predictions.touching(start, end))
        covered = _is_covered(start, end, touching)
        row.gold += 1
        row.covered += covered
        row.covered_as_type += _is_covered(start, end, [t for t in touching if t[2] == type])
        row.half_eaten += bool(touching) and not covered
    for start, end, type in found:
        row = counts.setdefault(type, Counts())
        touched = {gold_type for _, _, gold_type in truth.touching(start, end)}
        row.predicted += 1
        row.true += type in touched
        row.mislabelled += bool(touched) and type not in touched


def _is_covered(start: int, end: int, spans: _Spans) -> bool:
    """Do these spans together cover every character of start..end?"""
    for begin, stop, _ in sorted(spans):
        if begin > start:
            return False
        start = max(start, stop)
    return start >= end


def _read(text: str, spans: Iterable[Mapping[str, Any]], name: str) -> _Spans:
    read = []
    for span in spans:
        start, end = span["start"], span["end"]
        if not 0 <= start < end <= len(text):
            raise ValueError(f"a span {start}..{end} in a text of {len(text)} characters")
        kind = span[name] if name in span else span["label"]
        read.append((start, end, _RENAMED.get(kind, kind)))
    return read


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _row(name: str, c: Counts) -> dict[str, Any]:
    return {
        "type": name,
        "recall": c.recall,
        "recall_interval": wilson(c.covered, c.gold),
        "precision": c.precision,
        "precision_interval": wilson(c.true, c.predicted),
        "f1": c.f1,
        "recall_as_type": _share(c.covered_as_type, c.gold),
        "half_eaten": c.half_eaten,
        "mislabelled": c.mislabelled,
        "gold": c.gold,
        "predicted": c.predicted,
    }


def _negative(kind: str, hit: int, planted: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "share": _share(hit, planted),
        "interval": wilson(hit, planted),
        "hit": hit,
        "planted": planted,
    }
