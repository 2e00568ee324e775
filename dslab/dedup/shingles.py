"""Documents as sets of k-word shingles, each a 64-bit hash (Broder 1997).

    x(w[1] ... w[k]) = mix( sum over j of h(w[j]) * P^(k-j)  mod 2^64 )

A document of fewer than k words has one shingle, its whole content: two such documents are equal or have nothing in
common. A document without words has none, and is similar to nothing (0/0 is no similarity).

Two of m different shingles share a hash with probability about m^2 / 2^65: 3 % for a billion of them, and 1e-13 for the
some 2000 of one pair, which is all that matters when a pair is verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dslab.dedup.words import BASE, U64, mix, word_hashes


@dataclass(frozen=True)
class Shingles:
    """The shingles of some documents, one after another, repeated where the text repeats.

    hashes: (shingles,) uint64. starts, ends: (documents,) int64; document i has hashes[starts[i]:ends[i]].
    `shingles[i]` is that slice; `len(shingles)` counts documents.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, document: int) -> NDArray[np.uint64]:
        return self.hashes[self.starts[document] : self.ends[document]]


def shingle_hashes(texts: Sequence[str], k: int = 5) -> Shingles:
    """Hash every run of k words of every text; words as in `dslab.dedup.words`, compared as they stand.

    Raises ValueError for k < 1, TypeError for one string in place of a list of them.

    >>> a, b = shingle_hashes(["one two three four", "zero one two three"], k=3)
    >>> len(a), a[1] == b[2 - 1], a[0] == b[1]
    (2, np.False_, np.True_)
    """
    check_texts(texts)
    if k < 1:
        raise ValueError(f"a shingle has k >= 1 words; got {k=}")
    words = word_hashes(texts)
    counts = words.ends - words.starts
    everywhere = ngrams(words.hashes, k)
    # The last k - 1 positions of a document run over into the next; a short document keeps its first.
    inside = np.ones(len(everywhere), bool)
    for j in range(1, k):
        inside[words.ends[counts >= j] - j] = False
    short = np.flatnonzero((counts > 0) & (counts < k))
    inside[words.starts[short]] = True
    everywhere[words.starts[short]] = _whole(words.hashes, words.starts[short], words.ends[short], k)
    sizes = np.where(counts > 0, np.maximum(counts - (k - 1), 1), 0)
    ends = np.cumsum(sizes)
    return Shingles(everywhere[inside], ends - sizes, ends)


def ngrams(words: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Hash of the n words from each position on, as many as the input: past its end come zeros."""
    h = np.zeros(len(words), U64)
    for j in range(n):
        h *= U64(BASE)
        if j < len(words):
            h[: len(words) - j] += words[j:]
    return mix(h)


def _whole(words: NDArray[np.uint64], starts: NDArray[np.int64], ends: NDArray[np.int64], k: int) -> NDArray[np.uint64]:
    """Hash of documents with fewer than k words, padded with zeros, so that no neighbour's words enter."""
    h = np.zeros(len(starts), U64)
    for j in range(k):
        at = starts + j
        h = h * U64(BASE) + np.where(at < ends, words[np.minimum(at, ends - 1)], U64(0))
    return mix(h)


def check_texts(texts: Sequence[str]) -> None:
    """A string is a sequence of strings too: refuse it before it is read letter by letter."""
    if isinstance(texts, str | bytes):
        raise TypeError(f"expected a list of texts; got one {type(texts).__name__}: pass [text]")
