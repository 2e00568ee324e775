"""Duplicates and leaks in a corpus: near-duplicates by MinHash, verified exactly; repeated paragraphs; benchmark items
in training text; quality rules.

    found = minhash_duplicates(texts, threshold=0.8)
    keep = found.clusters == np.arange(len(texts))          # the first of each cluster

numpy only. Names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "shingle_hashes": "shingles",
    "Shingles": "shingles",
    "signatures": "minhash",
    "estimate": "minhash",
    "candidate_pairs": "minhash",
    "s_curve": "bands",
    "choose_bands": "bands",
    "verify": "clusters",
    "union_find": "clusters",
    "Duplicates": "near",
    "minhash_duplicates": "near",
    "exact_duplicates": "exact",
    "Units": "exact",
    "contaminated": "contamination",
    "Contamination": "contamination",
    "NgramIndex": "contamination",
}
__all__ = sorted([*_HOME, "quality"])

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


def __getattr__(name: str) -> Any:
    if name == "quality":
        return import_module(f"{__name__}.quality")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
