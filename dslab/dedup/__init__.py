"""Duplicates and leaks in a corpus: near-duplicates by MinHash, verified exactly; repeated paragraphs; benchmark items
in training text; quality rules.

    found = minhash_duplicates(texts, threshold=0.8)
    keep = found.clusters == np.arange(len(texts))          # the first of each cluster

numpy only. Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslab.lazy import lazy

if TYPE_CHECKING:
    from dslab.dedup import quality as quality
    from dslab.dedup.bands import choose_bands as choose_bands
    from dslab.dedup.bands import s_curve as s_curve
    from dslab.dedup.clusters import union_find as union_find
    from dslab.dedup.clusters import verify as verify
    from dslab.dedup.contamination import Contamination as Contamination
    from dslab.dedup.contamination import NgramIndex as NgramIndex
    from dslab.dedup.contamination import contaminated as contaminated
    from dslab.dedup.exact import Units as Units
    from dslab.dedup.exact import exact_duplicates as exact_duplicates
    from dslab.dedup.minhash import candidate_pairs as candidate_pairs
    from dslab.dedup.minhash import estimate as estimate
    from dslab.dedup.minhash import signatures as signatures
    from dslab.dedup.near import Duplicates as Duplicates
    from dslab.dedup.near import minhash_duplicates as minhash_duplicates
    from dslab.dedup.shingles import Shingles as Shingles
    from dslab.dedup.shingles import shingle_hashes as shingle_hashes

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
