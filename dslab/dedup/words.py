"""Texts to word hashes, a million characters at a time and without a Python loop over words.

A word is a maximal run of characters between white space (what `str.split` splits at), except that a Chinese or
Japanese character (CJK) is a word of its own: these scripts put no spaces, and a whole document would be one word.

    h(word) = mix( sum over i of (c[i] + 1) * P^i  mod 2^64 )        c[i]: its code points

With prefix sums S of (c + 1) * P^position over the whole text, the sum of one word is (S[end] - S[start]) * P^-start:
P is odd, so it has an inverse mod 2^64. (Rolling hash of Karp and Rabin, 1987; here mod 2^64, where multiplication
wraps for free.)

Two different words of ordinary text share a hash with probability about 2^-64. That is a statement about chance:
whoever wants two words to collide can construct them (Thue-Morse strings of some thousand letters).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

U64 = np.uint64
BASE = 0x9E3779B97F4A7C15
PIECE = 1 << 17  # code points at a time: the temporaries stay in the caches. A longer word is cut at its multiples.
SPACE, LETTER, CJK, DROPPED = range(4)
# Ideographs with their extensions and compatibility forms, hiragana, katakana (also half-width), and bopomofo.
CJK_RANGES = (
    (0x3005, 0x3008), (0x3021, 0x302A), (0x3040, 0x3130), (0x31A0, 0x31C0), (0x31F0, 0x3200), (0x3400, 0x4DC0),
    (0x4E00, 0xA000), (0xF900, 0xFB00), (0xFF66, 0xFFA0), (0x20000, 0x323B0),
)  # fmt: skip
CJK_SET = "".join(f"{chr(low)}-{chr(high - 1)}" for low, high in CJK_RANGES)  # for a regular expression's [ ]
CJK_CHARACTER = re.compile(f"[{CJK_SET}]")


@dataclass(frozen=True)
class Words:
    """The words of some documents, one after another. hashes: (words,) uint64; starts, ends: (documents,) int64."""

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def fold(text: str) -> str:
    """How contamination reads a text: compatibility forms unified (NFKC, so full-width letters too), lower case.

    >>> fold("ＡＢＣ Straße")
    'abc straße'
    """
    return unicodedata.normalize("NFKC", text).lower()


def is_cjk(character: str) -> bool:
    """Whether a character is a word of its own.

    >>> is_cjk("中"), is_cjk("カ"), is_cjk("，"), is_cjk("한")
    (True, True, False, False)
    """
    return CJK_CHARACTER.match(character) is not None


def word_hashes(texts: Sequence[str], folded: bool = False) -> Words:
    """Hash every word of every text.

    folded: compare what is read, not how it is typeset: `fold`, and punctuation, symbols and invisible characters
    vanish ("U.S." is "us", "don't" is "dont"), as GPT-3 (Brown et al. 2020, appendix C) and lm-evaluation-harness have
    it for contamination. Otherwise words are taken as they stand.

    >>> words = word_hashes(["the cat", "", "The cat, 你好"], folded=True)
    >>> words.starts.tolist(), words.ends.tolist(), words.hashes[0] == words.hashes[2]
    ([0, 2, 2], [2, 2, 6], np.True_)
    """
    counts = np.zeros(len(texts), np.int64)
    hashes = []
    for first, piece in _pieces(texts, folded):
        part, per_text = _hash_piece(piece, folded)
        counts[first : first + len(piece)] += per_text
        hashes.append(part)
    ends = np.cumsum(counts)
    return Words(np.concatenate(hashes) if hashes else np.empty(0, U64), ends - counts, ends)


def _pieces(texts: Sequence[str], folded: bool) -> Iterator[tuple[int, list[str]]]:
    """Runs of texts of at most PIECE characters, with the number of the first; a longer text comes in parts."""
    batch: list[str] = []
    size = first = 0
    for number, raw in enumerate(texts):
        text = fold(raw) if folded else raw
        if batch and size + len(text) + 1 > PIECE:
            yield first, batch
            batch, size = [], 0
        if not batch:
            first = number
        if len(text) < PIECE:
            batch.append(text)
            size += len(text) + 1
        else:
            for part in _cut(text):
                yield number, [part]
    if batch:
        yield first, batch


def _cut(text: str) -> Iterator[str]:
    """A long text in parts that end where a word ends; only a word longer than PIECE is cut."""
    start = 0
    while len(text) - start > PIECE:
        letter = kinds(False)[_code_points(text[start : start + PIECE])] == LETTER
        gaps = np.flatnonzero(~(letter[1:] & letter[:-1]))
        stop = start + (int(gaps[-1]) + 1 if len(gaps) else PIECE)
        yield text[start:stop]
        start = stop
    yield text[start:]


def _code_points(text: str) -> NDArray[np.uint32]:
    """Lone surrogates, which JSON can carry, are code points like any other."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _hash_piece(texts: list[str], folded: bool) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Word hashes of texts of at most PIECE characters together, and the number of words of each text."""
    points = _code_points("\n".join(chain(texts, [""])))
    lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1  # each text ends in a line break, a space
    kind = kinds(folded)[points]
    stops = np.cumsum(lengths)
    if folded:
        kept = kind != DROPPED
        stops = np.cumsum(kept)[stops - 1]
        points, kind = points[kept], kind[kept]
    letter, filled = kind == LETTER, kind != SPACE
    glued = letter[1:] & letter[:-1]  # characters that belong to one word
    begins, finishes = filled.copy(), filled.copy()
    begins[1:] &= ~glued
    finishes[:-1] &= ~glued
    start, end = np.flatnonzero(begins), np.flatnonzero(finishes) + 1

    power, inverse = _powers()
    sums = np.zeros(len(points) + 1, U64)
    np.cumsum((points + np.uint32(1)) * power[: len(points)], out=sums[1:])
    hashes = mix((sums[end] - sums[start]) * inverse[start])
    last = np.searchsorted(start, stops)
    return hashes, np.diff(last, prepend=0)


def mix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits in place and one-to-one: each bit depends on all (SplitMix64, Steele et al. 2014)."""
    for shift, odd in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        h ^= h >> U64(shift)
        h *= U64(odd)
    h ^= h >> U64(31)
    return h


@cache
def _powers() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """P^i and P^-i for every position of a piece."""
    both = []
    for base in (BASE, pow(BASE, -1, 1 << 64)):
        power = np.full(PIECE + 2, base, U64)
        power[0] = 1
        both.append(np.multiply.accumulate(power))
    return both[0], both[1]


@cache
def kinds(folded: bool) -> NDArray[np.uint8]:
    """What each code point is to a word, as a table; 1.1 MB."""
    kind = np.full(0x110000, LETTER, np.uint8)
    if folded:
        for point in chain(range(0x20000), range(0xE0000, 0xE0200)):  # nothing beyond is punctuation or format
            if unicodedata.category(chr(point))[0] in "PS" or unicodedata.category(chr(point)) == "Cf":
                kind[point] = DROPPED
    for low, high in CJK_RANGES:
        kind[low:high] = np.where(kind[low:high] == DROPPED, DROPPED, CJK)
    kind[[point for point in range(0x3001) if chr(point).isspace()]] = SPACE
    return kind
