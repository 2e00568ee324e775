"""A made-up corpus with near-duplicates of known similarity, in two scripts: what finders of duplicates are tried on.

Replacing words of a document of S shingles so that d of them change leaves S - d in common of S + d in all:

    J = (S - d) / (S + d)      so      d = S (1 - J) / (1 + J)

The similarity asked for is met to within a shingle; the one stated is computed from the finished texts, by definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dslab.dedup.reference import jaccard

ONSETS = [*"bcdfghklmnprstvw", "st", "tr", "pl", "ch"]
VOWELS, CODAS = [*"aeiou", "ea", "ou"], ["", "n", "r"]
COMMON_CHINESE = 2500  # ideographs to draw from, from 一 on
WORDS = 140  # median words of a document, 1 kB of English


@dataclass(frozen=True)
class Planted:
    """texts; pairs: document numbers (i, j), i < j, to their exact Jaccard similarity over k-word shingles."""

    texts: list[str]
    pairs: dict[tuple[int, int], float]


def planted(n: int, seed: int, pairs: int | None = None, low: float = 0.3, high: float = 1.0, k: int = 5) -> Planted:
    """n documents of some hundred words, a third of them Chinese, `pairs` of them (by default n // 6) edited copies.

    Similarities spread evenly over low..high. A document has at most one copy, so no other pair is near.
    Raises ValueError where n has no room for the pairs, or for a range outside 0..1.

    >>> made = planted(60, seed=1)
    >>> len(made.texts), len(made.pairs), made == planted(60, seed=1)
    (60, 10, True)
    """
    copies = n // 6 if pairs is None else pairs
    if not 0 <= 2 * copies <= n or not 0 <= low <= high <= 1:
        raise ValueError(f"planted needs 2 * pairs <= n and 0 <= low <= high <= 1; got {n=}, {pairs=}, {low=}, {high=}")
    rng = np.random.default_rng(seed)
    english, chinese = _english(rng), [chr(0x4E00 + i) for i in range(COMMON_CHINESE)]
    documents: list[tuple[list[str], list[str]]] = []
    for number in range(n - copies):
        vocabulary, scale = (chinese, 1.6) if number % 3 == 2 else (english, 1.0)
        size = max(2 * k, int(WORDS * scale * rng.lognormal(0, 0.35)))
        documents.append((vocabulary, _draw(rng, vocabulary, size)))
    originals = rng.permutation(n - copies)[:copies]
    for original, target in zip(originals.tolist(), rng.uniform(low, high, copies).tolist(), strict=True):
        vocabulary, words = documents[original]
        documents.append((vocabulary, _edited(rng, vocabulary, words, target, k)))
    order = rng.permutation(n)
    texts = [("" if documents[i][0] is chinese else " ").join(documents[i][1]) for i in order.tolist()]
    place = np.argsort(order)
    both = np.sort(np.stack((place[originals], place[n - copies :]), axis=1), axis=1)
    return Planted(texts, {(i, j): jaccard(texts[i], texts[j], k) for i, j in sorted(map(tuple, both.tolist()))})


def _english(rng: np.random.Generator) -> list[str]:
    """Pronounceable words, the first ones being the commonest."""
    parts = [[part[i] for i in rng.integers(0, len(part), 400).tolist()] for part in (ONSETS, VOWELS, CODAS)]
    syllables = list(map("".join, zip(*parts, strict=True)))
    lengths, choice = rng.integers(1, 4, 8000).tolist(), rng.integers(0, 400, (8000, 3)).tolist()
    return ["".join(syllables[i] for i in chosen[:size]) for chosen, size in zip(choice, lengths, strict=True)]


def _draw(rng: np.random.Generator, vocabulary: list[str], size: int) -> list[str]:
    """Words by Zipf's law: the one of rank r about r times as rare as the first."""
    rank = np.exp(rng.uniform(0, np.log(len(vocabulary)), size)).astype(int) - 1
    return [vocabulary[r] for r in rank.tolist()]


def _edited(rng: np.random.Generator, vocabulary: list[str], words: list[str], target: float, k: int) -> list[str]:
    """The words with one to three blocks replaced, so that the similarity comes out near the target."""
    words = list(words)
    changed = round((len(words) - k + 1) * (1 - target) / (1 + target))
    while changed >= k:  # a block of b words, well inside, changes b + k - 1 shingles
        share = changed if changed < 6 * k else int(rng.integers(2 * k, changed + 1))
        block = min(share, len(words) // 2) - k + 1
        start = int(rng.integers(k - 1, max(k, len(words) - block - k + 2)))
        words[start : start + block] = _draw(rng, vocabulary, block)
        changed -= block + k - 1
    if changed:  # at the end, each word changes one
        words[-changed:] = _draw(rng, vocabulary, changed)
    return words
