"""Folding: what looks the same is written the same, and every folded position leads back to the original."""

from __future__ import annotations

import itertools
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslab.privacy.fold import fold

FOLDS = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c).isalnum() or chr(c) in "%&+-.=@_")
WIDE = str.maketrans({char: chr(ord(char) + 0xFEE0) for char in FOLDS})
MESSY = st.text(st.sampled_from("a1０１９Ａ％%24F@＠-—－ 　\u00a0\u200b\u200d\ufeff张：\\nu0x\n"), max_size=40)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("plain ASCII", "plain ASCII"),
        ("电话１３８－００１３", "电话138-0013"),
        ("a＠ｂ．ｃｏｍ", "a@b.com"),
        ("138\u200b0013\u200d8000\ufeff", "13800138000"),
        ("138\u00a00013\u30008000", "138 0013 8000"),
        ("138–0013—8000−1", "138-0013-8000-1"),
        ("%2B86138", "+86138"),
        ("ann%40example.com", "ann@example.com"),
        ("%E5%BC%A0138", "张138"),
        ("100%25 of 50% off", "100% of 50% off"),
        ("%zz %C3%28 %00", "%zz %C3%28 %00"),  # no code, no UTF-8, no text: they stay
        ("a\\n138", "a\n138"),
        ("\\u624b\\u673a\\uff1a138", "手机：138"),
        ("２００１：ｄｂ８：：１", "2001:db8::1"),
        ("电话：１３８", "电话：138"),
        ("（０１０）６５５２", "（010）6552"),
    ],
)
def test_spellings(text: str, folded: str) -> None:
    assert fold(text).text == folded


@given(MESSY)
def test_every_stretch_leads_back(text: str) -> None:
    """Pieces of the folded text, cut anywhere, come from neighbouring pieces of the original that do not overlap."""
    folded = fold(text)
    ends = [folded.original(i, i + 1) for i in range(len(folded.text))]
    assert all(0 <= a < b <= len(text) for a, b in ends)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(ends))
    if folded.text:
        assert folded.original(0, len(folded.text)) == (ends[0][0], ends[-1][1])


@given(MESSY)
def test_a_character_comes_from_its_spelling(text: str) -> None:
    """What a folded character was made from folds to it again."""
    folded = fold(text)
    for at, char in enumerate(folded.text):
        start, end = folded.original(at, at + 1)
        if char != ":":  # a wide colon folds only between its likes
            assert fold(text[start:end]).text in (char, char.strip("：") or char)


@given(st.text(FOLDS.replace("%", ""), max_size=30))
def test_full_width_is_half_width(text: str) -> None:
    assert fold(text.translate(WIDE)).text == text


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="\\"), max_size=30))
def test_percent_codes_are_undone(text: str) -> None:
    assert fold(quote(text, safe="")).text == text


def test_text_without_look_alikes_is_not_copied() -> None:
    text = "no look-alikes, 手机 138 0013 8000"
    assert fold(text).text is text
