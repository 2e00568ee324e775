"""Word and shingle hashes against words cut by Python, one character at a time."""

from __future__ import annotations

import re
import sys
import tracemalloc
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslab.dedup import reference, shingle_hashes
from dslab.dedup import words as words_module
from dslab.dedup.words import is_cjk, word_hashes

# Letters, both scripts, what separates, what vanishes when folded, and what is easily forgotten.
ALPHABET = "aAbzßéİﬁＡ１09中文字カなｶ한글，。、「」.,-'’#$+_=…😀𠀀 \t\n\r\x0b\x1c\x85\xa0\u2003\u2028\u3000"
ALPHABET += "\u200b\ufeff\u00ad\x00\ud800\U000e0041"
TEXTS = st.lists(st.text(alphabet=ALPHABET, max_size=40), max_size=6)


def numbered(sequences: list[list]) -> list[list[int]]:
    """Each sequence with equal things numbered alike, in order of appearance over all."""
    seen: dict = {}
    return [[seen.setdefault(thing, len(seen)) for thing in sequence] for sequence in sequences]


def hashed(texts: list[str], folded: bool) -> list[list[int]]:
    words = word_hashes(texts, folded)
    return [words.hashes[a:b].tolist() for a, b in zip(words.starts, words.ends, strict=True)]


@pytest.mark.parametrize("folded", [False, True])
@given(texts=TEXTS)
def test_words_are_pythons_words(folded: bool, texts: list[str]) -> None:
    """Equal hashes where, and only where, the words are equal; in number and order as cut by definition."""
    expected = [reference.words(text, folded) for text in texts]
    assert numbered(hashed(texts, folded)) == numbered(expected)


@pytest.mark.parametrize("folded", [False, True])
def test_every_character_alone_and_between_letters(folded: bool) -> None:
    """All code points but the private planes, in the roles of a separator, a word and nothing."""
    points = [*range(0x3400), *range(0x9FF0, 0xA010), *range(0xD7F0, 0xE010), *range(0xF8F0, 0x10010), 0x1F600, 0x1FFFF]
    points += [0x20000, 0x323AF, 0x323B0, 0xE0001, 0xE0041, 0xE01FF, 0x10FFFF]
    texts = [f"x{chr(point)}y" for point in points]
    ours = [len(words) for words in hashed(texts, folded)]
    wrong = [hex(p) for p, text, n in zip(points, texts, ours, strict=True) if n != len(reference.words(text, folded))]
    assert not wrong


@pytest.mark.parametrize("folded", [False, True])
@given(texts=TEXTS, piece=st.integers(48, 90))
@settings(max_examples=50)
def test_the_cut_of_the_work_changes_nothing(folded: bool, texts: list[str], piece: int) -> None:
    """Texts shorter and (joined) longer than a piece, words shorter than one: the same hashes for any piece."""
    texts = [*texts, " ".join(texts)]
    whole = hashed(texts, folded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words_module, "PIECE", piece)
        assert hashed(texts, folded) == whole


def test_a_word_longer_than_a_piece_is_cut_from_its_own_start() -> None:
    long = "1" * (2 * words_module.PIECE + 5)
    alone, later = word_hashes([long]), word_hashes(["short", f"two words, then {long}"])
    assert len(alone.hashes) == 3
    assert alone.hashes.tolist() == later.hashes[-3:].tolist()


def test_which_characters_are_words() -> None:
    """By Unicode's own names: ideographs, kana, bopomofo. Not Hangul, which has spaces, nor marks or wide letters."""
    names = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA LETTER", "KATAKANA LETTER", "BOPOMOFO LETTER")
    for point in (*range(0x3000, 0xA100), *range(0xF900, 0x10000), *range(0x20000, 0x20100), 0x2A700, 0x31000):
        if unicodedata.name(chr(point), "").startswith(names):
            assert is_cjk(chr(point)), hex(point)
    assert not [character for character in "Aé１Ａ，。、「」〜한가😀ไ" if is_cjk(character)]


def test_an_independent_cut() -> None:
    """What anyone would write for English and Chinese: one ideograph, or a run of other characters without space."""
    text = "Deep-learning 模型v2，在GPU上 训练了3天。\t“好”的 end."
    expected = re.findall(r"[一-鿿]|[^\s一-鿿]+", text)
    assert hashed([text], False)[0] == [hashed([word], False)[0][0] for word in expected]
    assert len(expected) == 18


def test_words_that_a_weak_hash_confuses() -> None:
    words = [
        "a",
        "a\0",
        "\0a",
        "aa",
        "ab",
        "ba",
        "aab",
        "aba",
        "\x00",
        "\x00\x00",
        "A",
        "à",
        "a\u0300",
        "\ud800",
        "\udc00",
    ]
    assert len(set(word_hashes(words).hashes.tolist())) == len(words)


@given(texts=TEXTS, k=st.integers(1, 6))
def test_shingles_are_the_sets_of_tuples(texts: list[str], k: int) -> None:
    """As many different ones, and equally many in common between any two texts: so equal Jaccard similarity."""
    ours = shingle_hashes(texts, k)
    sets = [set(ours[i].tolist()) for i in range(len(ours))]
    truth = [reference.shingles(text, k) for text in texts]
    assert [len(s) for s in sets] == [len(s) for s in truth]
    for a, x in zip(sets, truth, strict=True):
        for b, y in zip(sets, truth, strict=True):
            assert len(a & b) == len(x & y)


def test_a_short_document_is_its_own_content() -> None:
    """Not the first words of its neighbour's, and not a part of a longer one."""
    short = shingle_hashes(["one two", "three four five six"], k=3)
    other = shingle_hashes(["one two", "anything else than that"], k=3)
    assert short[0].tolist() == other[0].tolist()
    assert len(short[0]) == 1
    assert shingle_hashes(["one two three"], k=3)[0] != short[0]
    assert shingle_hashes(["one  two\n"], k=3)[0] == short[0]


def test_chinese_is_counted_by_character() -> None:
    assert len(shingle_hashes(["今天天气很好"], k=5)[0]) == 2
    assert len(shingle_hashes(["今天天气很好，明天也好。"], k=5)[0]) == 8  # its marks are words too


def test_no_documents_and_empty_ones() -> None:
    assert len(shingle_hashes([])) == 0
    empty = shingle_hashes(["", " \n\u3000"])
    assert (len(empty), len(empty.hashes)) == (2, 0)


def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"pass \[text\]"):
        shingle_hashes("one text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k >= 1"):
        shingle_hashes(["a"], k=0)


def test_memory_of_a_long_row_stays_a_small_multiple() -> None:
    """5 MB in one word: what is held at once is a piece's worth, beside the text and its copy."""
    text = "1" * 5_000_000
    word_hashes(["warm"])
    tracemalloc.start()
    try:
        assert len(word_hashes([text]).hashes) == -(-len(text) // words_module.PIECE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6


def test_torch_is_not_needed() -> None:
    import subprocess

    code = "import dslab.dedup as d, sys; [getattr(d, n) for n in d.__all__]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_names_are_listed_once_and_none_hides_its_file() -> None:
    import dslab.dedup as room

    assert {"minhash_duplicates", "exact_duplicates", "contaminated", "quality", "s_curve"} <= set(dir(room))
    with pytest.raises(AttributeError, match="nothing"):
        _ = room.nothing
    assert isinstance(room.signatures(shingle_hashes(["a"]), 4), np.ndarray)
