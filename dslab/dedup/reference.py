"""The definitions, slow and obvious: sets of tuples of words. What the tests compare the fast paths with."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from dslab.dedup.words import CJK_CHARACTER, fold


def words(text: str, folded: bool = False) -> list[str]:
    """The words of a text; see `dslab.dedup.words.word_hashes`.

    >>> words("it's 3.5元, 好!"), words("It's 3.5元, 好!", folded=True)
    (["it's", '3.5', '元', ',', '好', '!'], ['its', '35', '元', '好'])
    """
    if folded:
        text = "".join(
            c for c in fold(text) if unicodedata.category(c)[0] not in "PS" and unicodedata.category(c) != "Cf"
        )
    return CJK_CHARACTER.sub(r" \g<0> ", text).split()


def shingles(text: str, k: int = 5) -> set[tuple[str, ...]]:
    """The runs of k words; of a text with fewer, its whole content."""
    w = words(text)
    return {tuple(w[i : i + k]) for i in range(max(1, len(w) - k + 1))} if w else set()


def jaccard(a: str, b: str, k: int = 5) -> float:
    """|A & B| / |A | B| of two texts' shingles; 0 where both are empty."""
    x, y = shingles(a, k), shingles(b, k)
    return len(x & y) / len(x | y) if x | y else 0.0


def near_pairs(texts: Sequence[str], threshold: float, k: int = 5) -> dict[tuple[int, int], float]:
    """All pairs of texts with at least this similarity, by comparing each with each."""
    sets = [shingles(text, k) for text in texts]
    found = {}
    for j, b in enumerate(sets):
        for i, a in enumerate(sets[:j]):
            if a and b and (similarity := len(a & b) / len(a | b)) >= threshold:
                found[i, j] = similarity
    return found


def contamination(train: Sequence[str], test: Sequence[str], n: int = 13, shortest: int = 1) -> dict[str, list]:
    """hits, overlap, pairs and test_overlap as `dslab.dedup.contamination.Contamination` has them."""
    items = [words(text, folded=True) for text in test]
    grams: dict[tuple[str, ...], set[int]] = {}
    for number, item in enumerate(items):
        size = min(n, len(item))
        for i in range(len(item) - size + 1 if len(item) >= shortest else 0):  # shortest >= 1: no empty gram
            grams.setdefault(tuple(item[i : i + size]), set()).add(number)
    hits, overlap, pairs, found = [], [], set(), set()
    for document, text in enumerate(train):
        w, count, covered = words(text, folded=True), 0, set()
        for size in {len(gram) for gram in grams}:
            for i in range(len(w) - size + 1):
                gram = tuple(w[i : i + size])
                if gram in grams:
                    count += 1
                    covered |= set(range(i, i + size))
                    pairs |= {(document, item) for item in grams[gram]}
                    found.add(gram)
        hits.append(count)
        overlap.append(len(covered) / max(1, len(w)))
    shares = []
    for item in items:
        size = min(n, len(item))
        places = [
            i for i in range(len(item) - size + 1) if tuple(item[i : i + size]) in found and len(item) >= shortest
        ]
        shares.append(len({i + j for i in places for j in range(size)}) / max(1, len(item)))
    return {"hits": hits, "overlap": overlap, "pairs": sorted(pairs), "test_overlap": shares}
