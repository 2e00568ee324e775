"""The ledger of claims: read `data/claims.toml`, refuse what is incomplete, judge what was measured.

A claim is `exact` (holds on any machine), `measured` (a ratio that depends on the machine) or `documented` (verdict,
source and date; nothing to measure). Only a judged claim can fail: see `Claim.judge`.
"""

from __future__ import annotations

import difflib
import operator
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from dslab.book import text
from dslab.book.cards import number
from dslab.paths import data_dir

KINDS = ("exact", "measured", "documented")
VERDICTS = ("true", "false", "outdated", "unverifiable")
SAYS = ("article", "paper", "documentation", "us")

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_COMPARISON = re.compile(rf"(>=|<=|==|>|<)\s*({_NUMBER})")
_INTERVAL = re.compile(rf"in\s*\[\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\]")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


class LedgerError(ValueError):
    """An entry of the ledger that is incomplete or contradicts itself; the message names the entry."""


@dataclass(frozen=True)
class Bound:
    """What a measured number must satisfy.

    >>> Bound.parse(">= 5").holds(5), Bound.parse("in [0.9, 1.1]").holds(1.2), Bound.parse("> 0").holds(float("nan"))
    (True, False, False)
    """

    source: str
    relation: str
    low: float
    high: float

    @classmethod
    def parse(cls, source: str) -> Bound:
        """Read `>= 5`, `<= 1e-5`, `> 0`, `< 1`, `== 576` or `in [0.9, 1.1]`. Raises ValueError for anything else."""
        if match := _COMPARISON.fullmatch(source.strip()):
            value = float(match[2])
            return cls(source.strip(), match[1], value, value)
        if match := _INTERVAL.fullmatch(source.strip()):
            low, high = float(match[1]), float(match[2])
            if low > high:
                raise ValueError(f"bound {source!r}: the lower end {low:g} is above the upper end {high:g}")
            return cls(source.strip(), "in", low, high)
        raise ValueError(f"bound {source!r} is not understood; expected e.g. '>= 5', '== 576' or 'in [0.9, 1.1]'")

    def words(self) -> str:
        """The bound as a reader is told it: `at least 5`, `0.9 to 1.1`."""
        low, high = (int(end) if end.is_integer() else end for end in (self.low, self.high))
        return text.EXPECTED[self.relation].format(low=number(low), high=number(high))

    def holds(self, value: float) -> bool:
        """Whether `value` satisfies the bound. NaN satisfies none: every comparison with it is false."""
        if self.relation == "in":
            return self.low <= value <= self.high
        return _OPERATORS[self.relation](value, self.low)


@dataclass(frozen=True)
class Claim:
    """One entry of the ledger; the fields are those of `data/claims.toml`."""

    id: str
    notebook: str
    statement: str
    says: str
    verdict: str
    as_of: date
    kind: str
    reference: str = ""
    because: str = ""
    measures: str = ""
    bound: str = ""
    depends_on: tuple[str, ...] = ()
    pinned_weights: bool = False
    evidence: tuple[str, ...] = ()
    planned: bool = False

    def judge(
        self,
        value: float,
        parameters: Mapping[str, Any],
        defaults: Mapping[str, Any],
        weights_pinned: bool | None,
        profile: str,
    ) -> tuple[bool | None, str]:
        """Return (True, ""), (False, why it may differ) or (None, why it is only recorded).

        weights_pinned: None where no weights were loaded.
        Raises ValueError where the claim depends on a name that is no parameter of the notebook.
        """
        if profile == "smoke":
            return None, text.WHY_SMOKE
        for name in self.depends_on:
            if name not in defaults or name not in parameters:
                names = ", ".join(sorted(parameters))
                raise ValueError(text.UNKNOWN_DEPENDENCE.format(id=self.id, name=name, names=names))
            if parameters[name] != defaults[name]:
                return None, text.WHY_PARAMETER.format(name=name, value=parameters[name], default=defaults[name])
        if self.pinned_weights and not weights_pinned:
            return None, text.WHY_NO_WEIGHTS if weights_pinned is None else text.WHY_WEIGHTS
        holds = Bound.parse(self.bound).holds(value)
        return holds, "" if holds or self.kind == "exact" else text.WHY_OTHER_MACHINE


def as_number(claim: Claim, value: Any) -> float:
    """One number out of a Python, numpy or torch scalar; ValueError for anything else."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(text.NOT_A_NUMBER.format(id=claim.id, value=value)) from None


def load_ledger(path: Path | None = None) -> list[Claim]:
    """Read and check the ledger, in file order. Raises LedgerError naming the entry at fault."""
    path = path or data_dir() / "claims.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("claim", [])
    ledger: list[Claim] = []
    seen: set[str] = set()
    for position, entry in enumerate(entries, start=1):
        claim = _read(entry, position)
        if claim.id in seen:
            raise LedgerError(f"claim {claim.id!r} stands twice in {path.name}")
        seen.add(claim.id)
        ledger.append(claim)
    return ledger


def find(ledger: list[Claim], claim_id: str) -> Claim:
    """The claim of that id; ValueError with near-misses where there is none."""
    for claim in ledger:
        if claim.id == claim_id:
            return claim
    near = difflib.get_close_matches(claim_id, [claim.id for claim in ledger], n=3)
    hint = text.NEAR.format(near=" or ".join(near)) if near else ""
    raise ValueError(text.UNKNOWN_CLAIM.format(id=claim_id, near=hint))


def _read(entry: Mapping[str, Any], position: int) -> Claim:
    """One checked claim from one TOML table."""
    name = f"claim {entry['id']!r}" if entry.get("id") else f"claim number {position}"
    known = {field.name for field in fields(Claim)}
    if unknown := sorted(set(entry) - known):
        raise LedgerError(f"{name} has unknown fields {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    for field in ("id", "notebook", "statement", "says", "verdict", "as_of", "kind"):
        if not entry.get(field):
            raise LedgerError(f"{name} has no {field!r}")
    for field, allowed in (("says", SAYS), ("verdict", VERDICTS), ("kind", KINDS)):
        if entry[field] not in allowed:
            raise LedgerError(f"{name}: {field} is {entry[field]!r}; expected one of {', '.join(allowed)}")
    if not isinstance(entry["as_of"], date):
        raise LedgerError(f"{name}: as_of is {entry['as_of']!r}; expected a date such as 2026-11-24, without quotes")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    claim = Claim(**values)
    if claim.kind == "documented":
        if claim.bound:
            raise LedgerError(f"{name} is documented and has a bound; a claim with a bound is exact or measured")
        if not claim.evidence or not claim.because:
            raise LedgerError(f"{name} is documented: it needs 'evidence' (sources) and 'because' (why this verdict)")
        return claim
    if not claim.measures or not claim.bound:
        raise LedgerError(f"{name} is {claim.kind}: it needs 'measures' (what is measured) and 'bound'")
    try:
        Bound.parse(claim.bound)
    except ValueError as error:
        raise LedgerError(f"{name}: {error}") from None
    return claim
