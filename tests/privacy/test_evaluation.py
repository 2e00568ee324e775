"""The measure itself: what counts as recall, precision, half-eaten, hit; against a definition by single characters."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslab.privacy import Detector, Span, evaluate
from dslab.privacy.evaluation import wilson

TEXT = "0123456789" * 4


class Fixed:
    """Finds what it was told to."""

    def __init__(self, *spans):
        self.spans = [Span(start, end, type, 1.0, "fixed:") for start, end, type in spans]

    def find(self, text):
        return self.spans


def document(*gold, neg=()):
    return {
        "text": TEXT,
        "spans": [{"start": start, "end": end, "type": type} for start, end, type in gold],
        "neg": [{"start": start, "end": end, "kind": kind} for start, end, kind in neg],
    }


def one(gold, found, neg=()):
    return evaluate([document(*gold, neg=neg)], Fixed(*found))


def test_a_value_is_recalled_only_if_every_character_is_covered():
    gold = [(10, 20, "CARD")]
    assert one(gold, [(10, 20, "CARD")]).recall == 1
    assert one(gold, [(5, 25, "CARD")]).recall == 1
    assert one(gold, [(10, 15, "CARD"), (15, 20, "IP")]).recall == 1
    for found in ([(10, 19, "CARD")], [(11, 20, "CARD")], [(10, 15, "CARD"), (16, 20, "CARD")]):
        result = one(gold, found)
        assert (result.recall, result.half_eaten) == (0, 1)
    missed = one(gold, [(0, 10, "CARD"), (20, 25, "CARD")])
    assert (missed.recall, missed.half_eaten, missed.precision) == (0, 0, 0)


def test_recall_does_not_ask_for_the_type_and_precision_does():
    result = one([(10, 20, "CARD"), (30, 40, "IP")], [(10, 20, "CN_ID"), (30, 40, "IP")])
    assert (result.recall, result.precision) == (1, 0.5)
    rows = {row["type"]: row for row in result.table()}
    assert rows["CARD"]["recall"] == 1
    assert rows["CARD"]["recall_as_type"] == 0
    assert rows["CN_ID"]["mislabelled"] == 1
    assert rows["CN_ID"]["precision"] == 0
    assert math.isnan(rows["CN_ID"]["recall"])
    assert rows["all"]["mislabelled"] == 1
    assert rows["all"]["gold"] == rows["all"]["predicted"] == 2


def test_look_alikes_are_counted_by_kind_and_once_each():
    neg = [(0, 5, "order"), (5, 8, "order"), (30, 35, "hash")]
    result = one([], [(2, 4, "CARD"), (4, 5, "IP"), (8, 9, "IP")], neg)
    assert result.negatives == {"order": (1, 2), "hash": (0, 1)}
    assert result.negatives_hit == 1 / 3
    assert [(r["kind"], r["hit"], r["planted"]) for r in result.negatives_table()] == [
        ("order", 1, 2), ("hash", 0, 1), ("all", 1, 3),
    ]  # fmt: skip


def test_nothing_to_find_and_nothing_found():
    result = evaluate([{"text": "", "spans": []}], Fixed())
    assert math.isnan(result.recall)
    assert math.isnan(result.precision)
    assert result.f1 == 0
    assert math.isnan(result.negatives_hit)
    assert result.documents == 1
    assert [row["type"] for row in result.table()] == ["all"]


def test_other_names_for_the_same():
    doc = {
        "text": TEXT,
        "spans": [{"start": 0, "end": 9, "label": "CN_PASSPORT"}],
        "neg": [{"start": 20, "end": 22, "kind": "x"}],
    }
    result = evaluate([doc], Fixed((0, 9, "PASSPORT")))
    assert (result.recall, result.precision, result.negatives_hit) == (1, 1, 0)


def test_types_leaves_the_others_out():
    docs = [document((0, 5, "CARD"), (10, 15, "ADDRESS"))]
    assert evaluate(docs, Fixed((0, 5, "CARD"), (20, 25, "IP"))).recall == 0.5
    result = evaluate(docs, Fixed((0, 5, "CARD"), (20, 25, "IP")), types=["CARD"])
    assert (result.recall, result.precision) == (1, 1)


@pytest.mark.parametrize("span", [(-1, 3), (3, 3), (5, 3), (38, 41)])
def test_spans_outside_the_text_are_refused(span):
    with pytest.raises(ValueError, match="in a text of 40 characters"):
        one([(*span, "CARD")], [])


def test_documents_may_be_a_generator():
    docs = (document((0, 5, "CARD")) for _ in range(3))
    result = evaluate(docs, Fixed((0, 5, "CARD")))
    assert (result.documents, result.total.gold) == (3, 3)


def test_it_runs_the_real_detector():
    text = "手机13800138000，订单号20240315123456，mail ann@example.com"
    at, order = text.index("ann"), text.index("2024")
    doc = {
        "text": text,
        "spans": [{"start": 2, "end": 13, "type": "CN_MOBILE"}, {"start": at, "end": len(text), "type": "EMAIL"}],
        "neg": [{"start": order, "end": order + 14, "kind": "order_no"}],
    }
    result = evaluate([doc], Detector())
    assert (result.recall, result.precision, result.f1, result.half_eaten, result.negatives_hit) == (1, 1, 1, 0, 0)


# -- intervals --------------------------------------------------------------------------------------------------------


def test_wilson_against_its_published_values():
    # Newcombe 1998 (Statistics in Medicine 17, p. 857), table I, method 3.
    for (successes, n), expected in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert [round(x, 4) for x in wilson(successes, n, z=1.959964)] == list(expected)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_an_interval_holds_its_share_and_narrows(n, share):
    successes = round(share * n)
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1
    wide = wilson(successes, n)
    narrow = wilson(4 * successes, 4 * n)
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_wilson_without_trials_knows_nothing_and_refuses_nonsense():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="5 in 4"):
        wilson(5, 4)


# -- the definition, character by character ---------------------------------------------------------------------------

SPAN = st.tuples(st.integers(0, 38), st.integers(1, 12), st.sampled_from("AB")).map(
    lambda s: (s[0], min(40, s[0] + s[1]), s[2])
)


@settings(max_examples=300)
@given(gold=st.lists(SPAN, max_size=6), found=st.lists(SPAN, max_size=6), neg=st.lists(SPAN, max_size=4))
def test_the_counts_are_those_of_the_definition(gold, found, neg):
    """Spans may overlap here, gold and found: peers' do."""
    result = one(gold, found, neg)
    covered = {i for start, end, _ in found for i in range(start, end)}
    places = [set(range(start, end)) for start, end, _ in gold]
    assert result.total.covered == sum(place <= covered for place in places)
    assert result.half_eaten == sum(bool(place & covered) and not place <= covered for place in places)
    true = mislabelled = 0
    for start, end, type in found:
        touched = {t for s, e, t in gold if s < end and start < e}
        true += type in touched
        mislabelled += bool(touched - {type}) and type not in touched
    assert (result.total.true, result.total.mislabelled) == (true, mislabelled)
    hit = sum(any(s < end and start < e for s, e, _ in found) for start, end, _ in neg)
    assert sum(h for h, _ in result.negatives.values()) == hit


def test_many_spans_cost_little():
    rng = random.Random(0)
    text = "x" * 200_000
    spans = [(start, start + rng.randint(1, 9), "A") for start in range(0, 190_000, 10)]
    doc = {"text": text, "spans": [{"start": s, "end": e, "type": t} for s, e, t in spans], "neg": []}
    assert evaluate([doc], Fixed(*spans)).recall == 1
