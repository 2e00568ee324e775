"""From candidate pairs to clusters: exact verification, then union-find.

    J(A, B) = |A & B| / |A | B|          over the sets of shingle hashes of two documents

Candidates are a guess that favours recall. What a deletion rests on is this number, computed from the texts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

KEPT = 256  # documents whose sorted shingles are kept between pairs


def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """Jaccard similarity of two sorted arrays without repeats; 0 where both are empty.

    >>> jaccard(np.array([1, 2, 3], np.uint64), np.array([2, 3, 9], np.uint64))
    0.5
    """
    both = np.concatenate((a, b))
    both.sort()
    common = int(np.count_nonzero(both[1:] == both[:-1]))
    return common / (len(both) - common) if len(both) else 0.0


def verify(
    pairs: NDArray[np.int64], get_shingles: Callable[[int], NDArray[np.uint64]], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pairs (m, 2) whose exact Jaccard similarity is at least the threshold, and that similarity.

    get_shingles: document number -> its shingle hashes, in any order, repeated or not; it may compute them from the
    text again. A few hundred results are kept, so pairs sorted by their first document ask for it once.

    >>> sets = {0: np.array([1, 2, 3], np.uint64), 1: np.array([1, 2], np.uint64), 2: np.array([7], np.uint64)}
    >>> verify(np.array([[0, 1], [0, 2]]), sets.__getitem__, threshold=0.6)
    (array([[0, 1]]), array([0.66666667]))
    """
    kept: dict[int, NDArray[np.uint64]] = {}

    def distinct(document: int) -> NDArray[np.uint64]:
        if document not in kept:
            if len(kept) >= KEPT:
                kept.pop(next(iter(kept)))
            kept[document] = _distinct(get_shingles(document))
        return kept[document]

    similarity = np.zeros(len(pairs))
    for number, (i, j) in enumerate(pairs.tolist()):
        a, b = distinct(i), distinct(j)
        small, large = sorted((len(a), len(b)))
        if small >= threshold * large:  # J cannot exceed small / large
            similarity[number] = jaccard(a, b)
    enough = (similarity >= threshold) & (similarity > 0)
    return pairs[enough], similarity[enough]


def _distinct(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    ordered = np.sort(hashes)
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def union_find(n: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The connected components of n documents under the pairs: for each document, the smallest of its cluster.

    (n,) int64; a document without pairs is its own cluster. Raises ValueError for a pair outside 0..n-1.

    >>> union_find(5, np.array([[1, 3], [3, 4]])).tolist()
    [0, 1, 2, 1, 1]
    """
    if len(pairs) and not 0 <= int(pairs.min()) <= int(pairs.max()) < n:
        raise ValueError(f"pairs name documents 0..{n - 1}; got {int(pairs.min())}..{int(pairs.max())}")
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]  # halve the path: nearly constant time each
            i = parent[i]
        return i

    for i, j in pairs.tolist():
        i, j = root(i), root(j)
        parent[max(i, j)] = min(i, j)
    return np.fromiter(map(root, range(n)), np.int64, n)
