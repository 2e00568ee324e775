"""Near-duplicates: shingles -> signatures -> bands -> exact verification -> clusters.

A band that matches is not yet a duplicate: at 16 bands of 8 rows, four of five pairs with similarity .7 to .8 match.
Deleting on that alone deletes texts that are nobody's copy, so every candidate is verified here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dslab.dedup.bands import check_bands
from dslab.dedup.clusters import union_find, verify
from dslab.dedup.minhash import SEED, candidate_pairs, signatures
from dslab.dedup.shingles import shingle_hashes


@dataclass(frozen=True)
class Duplicates:
    """pairs: (m, 2) int64, i < j, sorted; similarity: (m,) exact Jaccard of each; clusters: (n,) int64, for each
    document the smallest number of its cluster."""

    pairs: NDArray[np.int64]
    similarity: NDArray[np.float64]
    clusters: NDArray[np.int64]

    @property
    def repeated(self) -> NDArray[np.int64]:
        """The documents to drop when the first of each cluster is kept, ascending."""
        return np.flatnonzero(self.clusters != np.arange(len(self.clusters)))


def minhash_duplicates(
    texts: Sequence[str], threshold: float = 0.8, bands: int = 32, rows: int = 4, k: int = 5, seed: int = SEED
) -> Duplicates:
    """Documents whose sets of k-word shingles have a Jaccard similarity of at least the threshold.

    What is reported is exact; what is missed is a matter of chance: a pair of similarity s goes unseen with probability
    1 - s_curve(s, bands, rows), 5e-8 at s = .8 with the defaults. Chinese and Japanese characters count as words.
    `pairs` holds every pair found; among more than 16 documents that share a band, not all pairs are tried, but
    `clusters` joins them. The result depends on the texts, their order and the seed, not on how the work is cut.
    Documents without words are never near-duplicates; `exact_duplicates` compares these.
    In memory: the texts, 4 * bands * rows bytes a document, 8 bytes a word.
    Raises ValueError for a threshold outside (0, 1], bands, rows or k < 1; TypeError for one string.

    >>> found = minhash_duplicates(["a b c d e f g h", "x y z", "a b c d e f g", "", ""], threshold=0.7)
    >>> found.pairs.tolist(), found.similarity.tolist(), found.clusters.tolist()
    ([[0, 2]], [0.75], [0, 1, 0, 3, 4])
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"a similarity threshold lies in (0, 1]; got {threshold=}")
    check_bands(bands, rows)
    shingles = shingle_hashes(texts, k)
    candidates = candidate_pairs(signatures(shingles, bands * rows, seed), bands, rows, threshold)
    pairs, similarity = verify(candidates, shingles.__getitem__, threshold)
    return Duplicates(pairs, similarity, union_find(len(texts), pairs))
