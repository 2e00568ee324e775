"""What holds for every text: offsets index the original, no overlaps; spelling and neighbours do not matter."""

from __future__ import annotations

import itertools
import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslab.privacy import checksums
from dslab.privacy.detector import Detector, Recognizer
from dslab.privacy.spans import TYPES, Span, disjoint

DETECTOR = Detector()
WIDE = str.maketrans(
    {str(d): chr(0xFF10 + d) for d in range(10)} | {"-": "－", "+": "＋", "X": "Ｘ", "@": "＠", ".": "．"}
)
DIGIT = "0123456789"
NOISE = st.text(st.sampled_from("0189 -+.@:/()aXAK京号卡：,|\n\u200b％%4\"'=é\\n"), max_size=60)


@st.composite
def cn_ids(draw: st.DrawFn) -> str:
    born = draw(st.dates(min_value=date(1930, 1, 1), max_value=date(2015, 1, 1)))
    first17 = (
        draw(st.sampled_from(sorted(checksums.PROVINCES)))
        + draw(st.text(DIGIT, min_size=4, max_size=4))
        + f"{born:%Y%m%d}"
    )
    first17 += draw(st.text(DIGIT, min_size=3, max_size=3))
    return first17 + checksums.cn_id_check(first17)


@st.composite
def cards(draw: st.DrawFn) -> str:
    head, length = draw(st.sampled_from((("4", 16), ("55", 16), ("37", 15), ("6222", 19), ("6217", 17), ("6011", 16))))
    body = head + draw(st.text(DIGIT, min_size=length - len(head) - 1, max_size=length - len(head) - 1))
    return body + next(d for d in DIGIT if checksums.luhn(body + d))


MOBILES = st.builds(
    lambda head, tail: head + tail,
    st.sampled_from(("138", "159", "166", "177", "199")),
    st.text(DIGIT, min_size=8, max_size=8),
)
EMAILS = st.builds(
    "{}@{}.{}".format,
    st.from_regex(r"[a-z][a-z0-9]{1,12}", fullmatch=True),
    st.from_regex("[a-z]{2,9}", fullmatch=True),
    st.sampled_from(("com", "cn", "org")),
)
IPS = st.builds("{}.{}.{}.{}".format, st.integers(41, 223), *[st.integers(0, 255)] * 3)
VALUES = st.one_of(
    st.tuples(st.just("CN_ID"), cn_ids()),
    st.tuples(st.just("CARD"), cards()),
    st.tuples(st.just("CN_MOBILE"), MOBILES),
    st.tuples(st.just("EMAIL"), EMAILS),
    st.tuples(st.just("IP"), IPS),
)


def values(text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in DETECTOR.find(text)]


@given(NOISE)
@settings(max_examples=200, deadline=None)
def test_spans_are_sorted_disjoint_and_inside(text: str) -> None:
    spans = DETECTOR.find(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(left.end <= right.start for left, right in itertools.pairwise(spans))
    assert all(span.type in TYPES and 0 < span.score <= 1 and span.evidence for span in spans)


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_neighbours_do_not_matter(typed: tuple[str, str]) -> None:
    """Glued to Chinese, in brackets, quotes and cells: the value, the whole value and nothing else."""
    for before, after in (
        ("你好", "谢谢"),
        ("（", "）"),
        ('"', '"'),
        ("", ""),
        ("| ", " |"),
        ("<b>", "</b>"),
        ("\n", "\n"),
        ("：", "，"),
    ):
        text = before + typed[1] + after
        assert values(text) == [typed], text


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_full_width_is_half_width(typed: tuple[str, str]) -> None:
    wide = typed[1].translate(WIDE)
    assert values(f"值：{wide}。") == [(typed[0], wide)]


@given(VALUES, VALUES)
@settings(max_examples=40, deadline=None)
def test_two_in_a_row_are_two(first: tuple[str, str], second: tuple[str, str]) -> None:
    for joint in ("、", ", ", " / ", "\n", "；", " 和 "):
        assert values(first[1] + joint + second[1]) == [first, second], joint


@given(st.one_of(cn_ids(), cards(), MOBILES), st.text(DIGIT, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_no_part_of_a_longer_run(value: str, more: str) -> None:
    """Digits on either side make another number; that one may be valid by chance, but never a piece of it."""
    for text in (value + more, more + value):
        if not value.endswith("X"):
            assert all(span.end - span.start == len(text) for span in DETECTOR.find(text)), text


@given(st.one_of(cn_ids(), cards()))
@settings(deadline=None)
def test_a_wrong_check_digit_is_nothing(value: str) -> None:
    wrong = value[:-1] + ("1" if value[-1] in "0X" else "0")
    assert not [span for span in DETECTOR.find(f"no {wrong} here") if span.type in ("CN_ID", "CARD")]


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_precision_finds_no_more_than_recall(typed: tuple[str, str]) -> None:
    strict = {(s.start, s.end) for s in Detector(policy="precision").find(typed[1])}
    assert strict <= {(s.start, s.end) for s in DETECTOR.find(typed[1])}


def test_the_better_scored_wins_an_overlap() -> None:
    a, b, c = Span(0, 4, "IP", 0.5, "a:x"), Span(2, 9, "EMAIL", 0.9, "b:x"), Span(9, 12, "IP", 0.1, "c:x")
    assert disjoint([c, a, b]) == [b, c]


def test_own_types_and_bad_input() -> None:
    badge = Recognizer("BADGE", r"B-[0-9]{4}", context=("badge", "工牌"))
    text = "工牌B-1234, and a long way behind it B-9999, badge: B-777"
    assert [text[s.start : s.end] for s in Detector(types=[badge]).find(text)] == ["B-1234"]
    odd = Recognizer("ODD", "[0-9]{3}", validate=lambda digits: int(digits) % 2 == 1)
    assert [s.start for s in Detector(types=("EMAIL", odd)).find("124 125 1255")] == [4]
    with pytest.raises(ValueError, match="unknown types"):
        Detector(types=("CN_ID", "PHONE"))
    with pytest.raises(ValueError, match="policy"):
        Detector(policy="fast")
    with pytest.raises(TypeError, match="str, not int"):
        DETECTOR.find(5)  # type: ignore[arg-type]
    with pytest.raises(re.error):
        Recognizer("X", "(")


def test_only_the_types_asked_for() -> None:
    text = "13800138000 ann@example.com 203.0.113.7"
    assert [s.type for s in Detector(types="EMAIL").find(text)] == ["EMAIL"]
    assert [s.type for s in Detector(types=("IP", "CN_MOBILE")).find(text)] == ["CN_MOBILE", "IP"]
