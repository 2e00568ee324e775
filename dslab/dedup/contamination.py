"""Which training documents hold text of a test set, by runs of n words (13 in GPT-3).

A training document is hit where n words in a row also stand in a test item, in the same order. Words are lower-cased
and lose punctuation (Brown et al. 2020, appendix C: "a lowercase, whitespace delimited word with no punctuation"; so
does lm-evaluation-harness); beyond the literature, full-width and other compatibility forms are unified (NFKC) and
Chinese and Japanese characters are words of their own. A test item of fewer than n words is hit where it stands whole.

Grams are compared as 64-bit hashes: with N grams in training and T in the test set, a chance hit anywhere has
probability N * T / 2^64 (1e12 and 1e6: one such corpus in twenty has one). Otherwise this equals what sets of word
tuples give (`dslab.dedup.reference`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dslab.dedup.minhash import ranges
from dslab.dedup.shingles import check_texts, ngrams
from dslab.dedup.words import Words, word_hashes

BATCH = 1 << 21  # characters of training text at a time
PART = 1 << 18  # word positions looked up at a time


@dataclass(frozen=True)
class Contamination:
    """What training texts (documents) share with a test set (items).

    hits:         (documents,) int64, word positions at which a gram of the test set begins.
    overlap:      (documents,) share of the document's words that lie in such a gram, 0..1.
    pairs:        (m, 2) int64, (document, item) for every item that a document holds a gram of; sorted.
    test_overlap: (items,) share of the item's words that lie in a gram found in these documents.
    found:        (grams,) bool, which grams of the index were found; of several batches, `or` them and ask
                  `NgramIndex.test_overlap`.
    """

    hits: NDArray[np.int64]
    overlap: NDArray[np.float64]
    pairs: NDArray[np.int64]
    test_overlap: NDArray[np.float64]
    found: NDArray[np.bool_]

    @property
    def contaminated(self) -> NDArray[np.int64]:
        """The documents with at least one hit, ascending."""
        return np.flatnonzero(self.hits)

    def items(self, document: int) -> NDArray[np.int64]:
        """The test items that a document holds a gram of."""
        low, high = np.searchsorted(self.pairs[:, 0], [document, document + 1])
        return self.pairs[low:high, 1]


def contaminated(train: Sequence[str], test: Sequence[str], n: int = 13, shortest: int = 1) -> Contamination:
    """Which of the training texts hold n words in a row of a test item, or a shorter item whole.

    Arguments, errors and what is compared: see `NgramIndex`, which does the same for a stream of texts.

    >>> train = ["We ask: what is the capital of France? Paris.", "The capital of Spain.", "法国的首都是哪里？巴黎"]
    >>> found = contaminated(train, ["What is the capital of France", "法国的首都是哪里"], n=4)
    >>> found.hits.tolist(), found.pairs.tolist(), found.overlap.round(2).tolist()
    ([3, 0, 5], [[0, 0], [2, 1]], [0.67, 0.0, 0.8])
    """
    return NgramIndex(test, n, shortest).overlap(train)


class NgramIndex:
    """The grams of a test set, built once; any number of training texts can then be asked. Picklable.

    test:     the items. An item of fewer than n words is one gram, the whole item.
    n:        words in a row; 13 as in GPT-3. For Chinese that is 13 characters, about 8 words.
    shortest: items of fewer words are never looked for (`ignored` lists them). One-word answers such as "yes" hit
              nearly every text: put the question with the answer, or raise this.
    Raises ValueError for n or shortest < 1, TypeError for one string.
    Memory: about 40 bytes a test word.
    """

    def __init__(self, test: Sequence[str], n: int = 13, shortest: int = 1) -> None:
        check_texts(test)
        if n < 1 or shortest < 1:
            raise ValueError(f"expected n >= 1 and shortest >= 1; got {n=}, {shortest=}")
        self.n, self.shortest = n, shortest
        words = word_hashes(test, folded=True)
        self._counts = words.ends - words.starts
        self.ignored = np.flatnonzero(self._counts < shortest)
        size = np.where(self._counts < shortest, 0, np.minimum(self._counts, n))  # words in the grams of an item
        self._tables: list[_Table] = []
        places, grams = [], []
        for length in np.unique(size[size > 0]).tolist():
            at = ranges(words.starts[size == length], self._counts[size == length] - length + 1)
            table = _Table(length, sum(len(t.keys) for t in self._tables), ngrams(words.hashes, length)[at])
            self._tables.append(table)
            places.append(at)
            grams.append(table.first + table.positions)
        # Each gram of each item: where it begins, and its number.
        self._places = np.concatenate([np.empty(0, np.int64), *places])
        self._grams = np.concatenate([np.empty(0, np.int64), *grams])
        self._item_starts = words.starts
        owner = np.repeat(np.arange(len(test)), self._counts)[self._places]
        # The items of each gram, without repeats, one gram after another.
        gram, self._items = np.divmod(np.unique(self._grams * max(1, len(test)) + owner), max(1, len(test)))
        self._item_ranges = np.searchsorted(gram, np.arange(self.grams + 1))

    @property
    def grams(self) -> int:
        """Number of different grams."""
        return sum(len(table.keys) for table in self._tables)

    def overlap(self, texts: Sequence[str]) -> Contamination:
        """What these training texts share with the test set; read in batches, so memory stays flat."""
        check_texts(texts)
        found = np.zeros(self.grams, bool)
        hits, shares, pairs = [np.empty(0, np.int64)], [np.empty(0)], [np.empty((0, 2), np.int64)]
        for first, batch in _batches(texts):
            words = word_hashes(batch, folded=True)
            document, place, gram = self._search(words)
            lengths = self._lengths()[gram]
            hits.append(np.bincount(document, minlength=len(batch)))
            shares.append(_covered(words, place, lengths))
            pairs.append(self._which_items(document + first, gram))
            found[gram] = True
        return Contamination(
            np.concatenate(hits), np.concatenate(shares), np.concatenate(pairs), self.test_overlap(found), found
        )

    def test_overlap(self, found: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(items,) share of each item's words that lie in a gram marked in `found`."""
        here = found[self._grams]
        words = Words(np.empty(0, np.uint64), self._item_starts, self._item_starts + self._counts)
        return _covered(words, self._places[here], self._lengths()[self._grams[here]])

    def _lengths(self) -> NDArray[np.int64]:
        """Words in each gram."""
        return np.repeat([t.length for t in self._tables], [len(t.keys) for t in self._tables]).astype(np.int64)

    def _search(self, words: Words) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Document, word position and gram number of every hit."""
        places, grams = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for table in self._tables:
            for start in range(0, len(words.hashes), PART):
                here = words.hashes[start : start + PART + table.length - 1]  # the last ones begin no whole gram
                place, gram = table.lookup(ngrams(here, table.length))
                places.append(place + start)
                grams.append(gram + table.first)
        place, gram = np.concatenate(places), np.concatenate(grams)
        document = np.searchsorted(words.ends, place, side="right")
        inside = place + self._lengths()[gram] <= words.ends[document]  # not over into the next document
        return document[inside], place[inside], gram[inside]

    def _which_items(self, document: NDArray[np.int64], gram: NDArray[np.int64]) -> NDArray[np.int64]:
        """The (document, item) pairs behind hits, each once, sorted."""
        items = max(1, len(self._counts))
        document, gram = np.divmod(np.unique(document * max(1, self.grams) + gram), max(1, self.grams))
        sizes = self._item_ranges[gram + 1] - self._item_ranges[gram]
        item = self._items[ranges(self._item_ranges[gram], sizes)]
        return np.stack(np.divmod(np.unique(np.repeat(document, sizes) * items + item), items), axis=1)


class _Table:
    """The different grams of one length as a sorted array, behind a table of flags that answers most of the misses."""

    def __init__(self, length: int, first: int, hashes: NDArray[np.uint64]) -> None:
        self.length, self.first = length, first  # `first`: number of its first gram in the index
        self.keys, self.positions = np.unique(hashes, return_inverse=True)
        bits = min(22, max(10, int(16 * len(self.keys)).bit_length()))
        self.shift = np.uint64(64 - bits)
        self.flags = np.zeros(1 << bits, bool)
        self.flags[self.keys >> self.shift] = True

    def lookup(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The places of the hashes that are keys, and which."""
        place = np.flatnonzero(self.flags[hashes >> self.shift])
        wanted = hashes[place]
        position = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        hit = self.keys[position] == wanted
        return place[hit], position[hit]


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    first = size = 0
    for number, text in enumerate(texts):
        if size and size + len(text) > BATCH:
            yield first, texts[first:number]
            first, size = number, 0
        size += len(text)
    if first < len(texts):
        yield first, texts[first:]


def _covered(words: Words, places: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each document's words that lie in at least one run of `lengths` words from `places` on."""
    order = np.argsort(places, kind="stable")
    start = places[order]
    reach = np.maximum.accumulate(start + lengths[order])  # how far the words up to here are covered
    fresh = reach - np.maximum(start, np.r_[0, reach[:-1]])
    document = np.searchsorted(words.ends, start, side="right")
    covered = np.bincount(document, np.maximum(fresh, 0), minlength=len(words.ends))
    return covered / np.maximum(words.ends - words.starts, 1)
