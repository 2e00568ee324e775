"""The ledger's reader and judge."""

from __future__ import annotations

import math
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslab.book.claims import Bound, Claim, LedgerError, as_number, find, load_ledger

GOOD = """[[claim]]
id = "01.leak"
notebook = "01"
statement = "It leaks."
says = "us"
verdict = "true"
as_of = 2026-11-24
kind = "exact"
measures = "the leak"
bound = ">= 0.5"
"""


@pytest.mark.parametrize(
    ("bound", "holding", "failing"),
    [
        (">= 5", [5, 5.1, math.inf], [4.999, -math.inf]),
        ("<= 1e-5", [0, 1e-5, -1], [1.1e-5]),
        ("> 0", [1e-300], [0, -1]),
        ("< 1", [0.999], [1]),
        ("== 576", [576], [575.999, 577]),
        ("== -1.5e2", [-150], [150]),
        ("in [0.9, 1.1]", [0.9, 1, 1.1], [0.89, 1.11]),
        ("in [-2,-1]", [-2, -1.5], [1.5]),
    ],
)
def test_bounds(bound: str, holding: list[float], failing: list[float]) -> None:
    parsed = Bound.parse(bound)
    assert all(parsed.holds(value) for value in holding)
    assert not any(parsed.holds(value) for value in failing)
    assert not parsed.holds(math.nan)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_bounds_agree_with_python(limit: float, value: float) -> None:
    assert Bound.parse(f">= {limit!r}").holds(value) == (value >= limit)
    assert Bound.parse(f"< {limit!r}").holds(value) == (value < limit)


@pytest.mark.parametrize(
    "bound", ["", "5", "=> 5", ">= five", ">= 5 x", "in [1]", "in [2, 1]", "!= 3", ">= nan", ">= 1 2"]
)
def test_bounds_that_mean_nothing_are_refused(bound: str) -> None:
    with pytest.raises(ValueError, match="bound"):
        Bound.parse(bound)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "01.leak"', "", "claim number 1 has no 'id'"),
        ('says = "us"', 'says = "them"', "'01.leak': says is 'them'; expected one of article"),
        ('verdict = "true"', 'verdict = "maybe"', "verdict is 'maybe'"),
        ('kind = "exact"', 'kind = "sure"', "kind is 'sure'"),
        ('bound = ">= 0.5"', "", "needs 'measures'"),
        ('measures = "the leak"', "", "needs 'measures'"),
        ('bound = ">= 0.5"', 'bound = "about 5"', "'01.leak': bound 'about 5' is not understood"),
        ("as_of = 2026-11-24", 'as_of = "today"', "as_of is 'today'"),
        ('kind = "exact"', 'kind = "exact"\nbuond = "x"', "unknown fields buond"),
        ('kind = "exact"', 'kind = "documented"', "documented and has a bound"),
        ('kind = "exact"\nmeasures = "the leak"\nbound = ">= 0.5"', 'kind = "documented"', "needs 'evidence'"),
        ('bound = ">= 0.5"', f'bound = ">= 0.5"\n{GOOD}', "'01.leak' stands twice"),
    ],
)
def test_faulty_entries_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    ledger = tmp_path / "claims.toml"
    ledger.write_text(GOOD, encoding="utf-8")
    assert [claim.id for claim in load_ledger(ledger)] == ["01.leak"]
    assert old in GOOD
    ledger.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(LedgerError, match=re.escape(said)):
        load_ledger(ledger)


def a_claim(**changed: object) -> Claim:
    fields: dict[str, object] = {
        "id": "01.x", "notebook": "01", "statement": "s", "says": "us", "verdict": "true", "as_of": date(2026, 11, 24),
        "kind": "exact", "measures": "m", "bound": ">= 5", "depends_on": ("window",), "pinned_weights": False,
    }  # fmt: skip
    return Claim(**{**fields, **changed})  # type: ignore[arg-type]


DEFAULTS = {"window": 16, "seed": 0}


@pytest.mark.parametrize(
    ("changed", "value", "window", "pinned", "profile", "holds", "why"),
    [
        ({}, 5, 16, None, "quick", True, ""),
        ({}, 4, 16, None, "quick", False, ""),
        ({}, math.nan, 16, None, "quick", False, ""),
        ({"kind": "measured"}, 4, 16, None, "quick", False, "depends on the machine"),
        ({}, 4, 16, None, "smoke", None, "smoke"),
        ({}, 4, 17, None, "quick", None, "window is 17, not its default 16"),
        ({"depends_on": ()}, 5, 17, None, "quick", True, ""),
        ({"pinned_weights": True}, 4, 16, None, "quick", None, "page.weights was not called"),
        ({"pinned_weights": True}, 4, 16, False, "quick", None, "others are loaded"),
        ({"pinned_weights": True}, 4, 16, True, "full", False, ""),
        ({"pinned_weights": True}, 5, 16, True, "quick", True, ""),
    ],
)
def test_judging(
    changed: dict[str, object],
    value: float,
    window: int,
    pinned: bool | None,
    profile: str,
    holds: bool | None,
    why: str,
) -> None:
    verdict, reason = a_claim(**changed).judge(value, {"window": window, "seed": 3}, DEFAULTS, pinned, profile)
    assert verdict is holds
    assert why in reason
    assert bool(reason) == bool(why)


def test_a_claim_must_depend_on_parameters_that_exist() -> None:
    with pytest.raises(ValueError, match="depends on 'widnow', which is no parameter of this notebook"):
        a_claim(depends_on=("widnow",)).judge(5, DEFAULTS, DEFAULTS, None, "quick")


def test_an_unknown_id_gets_near_misses() -> None:
    ledger = [a_claim(id="01.leak"), a_claim(id="01.parity")]
    with pytest.raises(ValueError, match=r"no claim '01.laek'.*Did you mean 01.leak"):
        find(ledger, "01.laek")


@pytest.mark.parametrize("value", ["5", None, [1, 2], b"5", complex(1, 2)])
def test_only_numbers_are_measured(value: object) -> None:
    with pytest.raises(ValueError, match="needs one number"):
        as_number(a_claim(), value)


def test_scalars_of_any_library_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    assert as_number(a_claim(), np.float32(2.5)) == 2.5
    assert as_number(a_claim(), np.array(3)) == 3
    assert as_number(a_claim(), True) == 1
