"""MinHash signatures, and the pairs of documents that agree in a band of them.

    sig[d, p] = min over shingles x of document d of  a[p] * x  mod 2^32,   a[p] odd

Multiplying by an odd number permutes the 32-bit numbers, and the x are well mixed hashes, so the smallest product is
equally likely to come from any shingle of A or B together. Two documents therefore agree in a row with probability
|A & B| / |A | B|, their Jaccard similarity (Broder 1997): the share of equal rows estimates it with a standard
deviation of sqrt(J (1 - J) / n).

Multiply and minimum are one pass each over 32-bit integers, in chunks that stay in the cache.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dslab.dedup.bands import check_bands
from dslab.dedup.shingles import Shingles
from dslab.dedup.words import BASE, U64

SEED = 1
CHUNK = 1 << 15  # shingles at a time
NONE = np.uint32(0xFFFFFFFF)  # a row of these: a document without words
MANY = 1 << 20
WHOLE_BUCKET = 16  # a bucket up to this size gives all its pairs


def signatures(shingles: Shingles, n: int = 128, seed: int = SEED) -> NDArray[np.uint32]:
    """MinHash signatures, (documents, n) uint32: 4 n bytes a document. Documents without words get the largest value.

    A document's row depends on its own shingles and the seed alone. Raises ValueError for n < 1.

    >>> from dslab.dedup import shingle_hashes
    >>> same = signatures(shingle_hashes(["a b c", "a  b\\nc"], k=2), n=4)
    >>> bool((same[0] == same[1]).all())
    True
    """
    if n < 1:
        raise ValueError(f"a signature has n >= 1 values; got {n=}")
    multipliers = np.random.default_rng(seed).integers(0, 1 << 31, n, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    out = np.full((n, len(shingles)), NONE)
    filled = np.flatnonzero(shingles.ends > shingles.starts)
    ends = shingles.ends[filled]
    first = 0
    while first < len(filled):
        begin = int(shingles.starts[filled[first]])
        last = max(first + 1, int(np.searchsorted(ends, begin + CHUNK, side="right")))
        end = int(ends[last - 1])
        documents = filled[first:last]
        for part in range(begin, end, CHUNK):  # more than one for a long document only, which is then alone
            x = (shingles.hashes[part : min(part + CHUNK, end)] >> U64(32)).astype(np.uint32)
            cuts = shingles.starts[documents] - begin if part == begin else np.zeros(1, np.int64)
            product = np.empty_like(x)
            for row, multiplier in zip(out, multipliers, strict=True):
                np.multiply(x, multiplier, out=product)
                row[documents] = np.minimum(row[documents], np.minimum.reduceat(product, cuts))
        first = last
    return np.ascontiguousarray(out.T)


def estimate(signatures: NDArray[np.uint32], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of each pair (m, 2): the share of rows in which the two signatures agree."""
    out = np.empty(len(pairs))
    for start in range(0, len(pairs), 1 << 14):  # 8 MB of signatures at a time
        i, j = pairs[start : start + (1 << 14)].T
        out[start : start + (1 << 14)] = (signatures[i] == signatures[j]).mean(axis=1)
    return out


def candidate_pairs(
    signatures: NDArray[np.uint32], bands: int, rows: int, threshold: float | None = None
) -> NDArray[np.int64]:
    """Pairs of documents that agree in at least one band, each once, as (m, 2) int64 with i < j, sorted.

    signatures: (documents, at least bands * rows).
    threshold:  drop what the whole signature says is far below: candidates whose estimate lies six standard deviations
                under it. That loses one true pair in ten million, and saves reading the others' texts.
    A bucket of up to 16 documents gives all its pairs; in a larger one, each document is paired with its predecessor
    and with the first, so that m grows with the number of documents and one dissimilar neighbour splits no chain.
    Raises ValueError for bands or rows < 1 or a signature too short.
    """
    check_bands(bands, rows)
    if signatures.ndim != 2 or signatures.shape[1] < bands * rows:
        raise ValueError(f"{bands=} of {rows=} need (documents, {bands * rows}) or more; got {signatures.shape}")
    documents = np.flatnonzero((signatures != NONE).any(axis=1))
    found = np.empty(0, np.int64)
    fresh: list[NDArray[np.int64]] = []
    for band in range(bands):
        key = _band_keys(signatures[:, band * rows : (band + 1) * rows])[documents]
        order = np.argsort(key, kind="stable")
        fresh.append(_bucket_pairs(key[order], documents[order], len(signatures)))
        if band == bands - 1 or sum(map(len, fresh)) > len(found) + MANY:  # bands repeat each other: do not pile up
            found, fresh = np.unique(np.concatenate([found, *fresh])), []
    pairs = np.stack(np.divmod(found, max(1, len(signatures))), axis=1)
    if threshold is None:
        return pairs
    margin = 6 * math.sqrt(max(0.0, threshold * (1 - threshold)) / signatures.shape[1])
    return pairs[estimate(signatures, pairs) >= threshold - margin]


def _band_keys(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """One number for each row of a band; a collision adds a candidate, and verification removes it."""
    key = np.zeros(len(band), U64)
    for column in band.T:
        key = key * U64(BASE) + column
    return key


def _bucket_pairs(key: NDArray[np.uint64], documents: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Pairs i * n + j within runs of equal keys; documents ascend within a run, since the sort was stable."""
    new = np.ones(len(key), bool)
    np.not_equal(key[1:], key[:-1], out=new[1:])
    begins = np.flatnonzero(new)
    sizes = np.diff(begins, append=len(key))
    begins, sizes = begins[sizes > 1], sizes[sizes > 1]
    out = []
    small = sizes <= WHOLE_BUCKET
    for gap in range(1, int(sizes[small].max(initial=1))):
        wide = small & (sizes > gap)
        left = ranges(begins[wide], sizes[wide] - gap)
        out.append(documents[left] * n + documents[left + gap])
    later = ranges(begins[~small] + 1, sizes[~small] - 1)
    out.append(documents[later - 1] * n + documents[later])
    out.append(np.repeat(documents[begins[~small]], sizes[~small] - 1) * n + documents[later])
    return np.concatenate(out)


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from each start on, `lengths` of them, one run after another."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
