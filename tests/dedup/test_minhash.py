"""Signatures estimate Jaccard similarity without bias; bands find what the S-curve says; parameters as datasketch's."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslab.dedup import candidate_pairs, choose_bands, estimate, minhash, s_curve, shingle_hashes, signatures
from dslab.dedup.planted import planted
from dslab.dedup.shingles import Shingles


def sets_of(similarity: float, size: int, n: int, seed: int) -> tuple[Shingles, float]:
    """2n documents of random shingles; 2i and 2i + 1 have the same exact Jaccard similarity, which is returned."""
    common = round(2 * size * similarity / (1 + similarity))
    rng = np.random.default_rng(seed)
    shared = rng.integers(0, 1 << 63, (n, 1, common), dtype=np.uint64)
    own = rng.integers(0, 1 << 63, (n, 2, size - common), dtype=np.uint64)
    hashes = np.concatenate((np.broadcast_to(shared, (n, 2, common)), own), axis=2).reshape(-1)
    ends = np.arange(1, 2 * n + 1) * size
    return Shingles(hashes, ends - size, ends), common / (2 * size - common)


@pytest.mark.parametrize("size", [5, 150])
@pytest.mark.parametrize("similarity", [0.0, 0.1, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_the_estimate_is_unbiased_and_as_sharp_as_independent_rows(similarity: float, size: int) -> None:
    """1000 pairs of 128 rows are 128,000 draws with probability J: mean within 4.5 deviations; spread as binomial."""
    n, rows = 1000, 128
    shingles, exact = sets_of(similarity, size, n, seed=7)
    pairs = np.arange(2 * n).reshape(n, 2)
    found = estimate(signatures(shingles, rows), pairs)
    deviation = math.sqrt(exact * (1 - exact) / rows)
    assert abs(found.mean() - exact) <= 4.5 * deviation / math.sqrt(n)
    if deviation:  # of a sum of n squares: 1 +- 4.5 sqrt(2 / n)
        assert abs(found.var() / deviation**2 - 1) <= 4.5 * math.sqrt(2 / n)


def test_the_estimate_on_text_against_the_exact_similarity() -> None:
    made = planted(300, seed=5, pairs=150)
    sig = signatures(shingle_hashes(made.texts), 256)
    exact = np.array(list(made.pairs.values()))
    error = estimate(sig, np.array(list(made.pairs))) - exact
    deviation = np.sqrt(np.maximum(exact * (1 - exact), 1e-9) / 256)
    assert abs((error / deviation).sum()) <= 4.5 * math.sqrt(len(exact))
    assert (abs(error) <= 5 * deviation).all()


@given(
    lengths=st.lists(st.integers(0, 30), max_size=12), chunk=st.integers(1, 40), seed=st.integers(0, 3),
    order=st.randoms(use_true_random=False),
)  # fmt: skip
@settings(max_examples=60)
def test_a_signature_depends_on_its_own_document_alone(lengths: list[int], chunk: int, seed: int, order) -> None:
    rng = np.random.default_rng(seed)
    documents = [rng.integers(0, 1 << 63, length, dtype=np.uint64) for length in lengths]
    multipliers = np.random.default_rng(seed).integers(0, 1 << 31, 6, dtype=np.uint32).astype(np.uint64) * 2 + 1
    expected = [
        [min((int(a) * (int(x) >> 32) % 2**32 for x in document), default=2**32 - 1) for a in multipliers]
        for document in documents
    ]
    positions = list(range(len(documents)))
    order.shuffle(positions)
    shuffled = [documents[i] for i in positions]
    ends = np.cumsum([len(d) for d in shuffled], dtype=np.int64)
    starts = ends - np.array([len(d) for d in shuffled], np.int64)
    shingles = Shingles(np.concatenate([np.empty(0, np.uint64), *shuffled]), starts, ends)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minhash, "CHUNK", chunk)
        found = signatures(shingles, 6, seed)
    assert found.dtype == np.uint32
    assert found.tolist() == [expected[i] for i in positions]


def test_another_seed_is_another_draw() -> None:
    shingles = shingle_hashes(["a b c d e f g h"])
    assert signatures(shingles, 8, seed=1).tolist() == signatures(shingles, 8, seed=1).tolist()
    assert not (signatures(shingles, 8, seed=1) == signatures(shingles, 8, seed=2)).any()


SIGNATURES = st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), max_size=16)


@given(values=SIGNATURES, bands=st.integers(1, 3), rows=st.integers(1, 2))
def test_candidates_are_the_pairs_that_share_a_band(values: list[list[int]], bands: int, rows: int) -> None:
    """In buckets of up to 16 documents: every pair, once, sorted."""
    expected = {
        (i, j)
        for i, j in combinations(range(len(values)), 2)
        for b in range(bands)
        if values[i][b * rows : (b + 1) * rows] == values[j][b * rows : (b + 1) * rows]
    }
    found = candidate_pairs(np.array(values, np.uint32).reshape(-1, 6), bands, rows)
    assert (found.dtype, found.shape) == (np.int64, (len(expected), 2))
    assert list(map(tuple, found.tolist())) == sorted(expected)


def test_a_large_bucket_is_a_chain_and_a_star() -> None:
    """100 documents in one bucket: 99 links to the predecessor, 98 more to the first, not 4950."""
    sig = np.zeros((100, 4), np.uint32)
    sig[:, 2:] = np.arange(100)[:, None]
    found = set(map(tuple, candidate_pairs(sig, 2, 2).tolist()))
    assert found == {(i, i + 1) for i in range(99)} | {(0, i) for i in range(1, 100)}


def test_merging_pairs_early_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sig = np.random.default_rng(0).integers(0, 3, (200, 24), dtype=np.uint32)
    once = candidate_pairs(sig, 12, 2)
    monkeypatch.setattr(minhash, "MANY", 0)
    assert candidate_pairs(sig, 12, 2).tolist() == once.tolist()


def test_documents_without_words_meet_nobody() -> None:
    sig = signatures(shingle_hashes(["", "a b", " ", "a b"]), 8)
    assert candidate_pairs(sig, 2, 4).tolist() == [[1, 3]]


def test_the_estimate_spares_reading_and_loses_nothing() -> None:
    made = planted(1000, seed=11, pairs=500)
    sig = signatures(shingle_hashes(made.texts), 128)
    every, likely = (set(map(tuple, candidate_pairs(sig, 32, 4, t).tolist())) for t in (None, 0.8))
    near = {pair for pair, similarity in made.pairs.items() if similarity >= 0.8}
    assert near <= likely < every
    assert len(every - likely) >= 0.2 * len(every)


@pytest.mark.parametrize(("bands", "rows"), [(16, 8), (32, 4), (9, 13)])
def test_bands_meet_as_often_as_the_curve_says(bands: int, rows: int) -> None:
    """Share of 2000 pairs that meet at each similarity, within 4.5 binomial deviations of 1 - (1 - s^r)^b."""
    for similarity in (0.3, 0.5, 0.7, 0.8):
        shingles, exact = sets_of(similarity, 100, 1000, seed=3)
        met = set(map(tuple, candidate_pairs(signatures(shingles, bands * rows), bands, rows).tolist()))
        share = sum((2 * i, 2 * i + 1) in met for i in range(1000)) / 1000
        p = float(s_curve(exact, bands, rows))
        assert abs(share - p) <= 4.5 * math.sqrt(p * (1 - p) / 1000) + 1e-9


def test_the_curve() -> None:
    s = np.linspace(0, 1, 101)
    p = s_curve(s, 20, 5)
    assert p.shape == s.shape
    assert (np.diff(p) >= 0).all()
    assert (p[0], p[-1]) == (0, 1)
    assert s_curve(0.6, 1, 1) == pytest.approx(0.6)
    assert s_curve(1 / 20 ** (1 / 5), 20, 5) == pytest.approx(1 - (1 - 1 / 20) ** 20)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1), (0.1, 0.9)])
@pytest.mark.parametrize("permutations", [16, 64, 128])
def test_bands_are_chosen_as_datasketch_chooses(permutations: int, weights: tuple[float, float]) -> None:
    from datasketch.lsh import _optimal_param

    for threshold in (0.1, 0.5, 0.8, 0.95) if permutations < 128 else (0.8,):
        assert choose_bands(threshold, permutations, *weights) == _optimal_param(threshold, permutations, *weights)


def test_refusals() -> None:
    shingles = shingle_hashes(["a"])
    with pytest.raises(ValueError, match="n >= 1"):
        signatures(shingles, 0)
    with pytest.raises(ValueError, match="8"):
        candidate_pairs(signatures(shingles, 7), 2, 4)
    with pytest.raises(ValueError, match="rows"):
        s_curve(0.5, 4, 0)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        s_curve([0.5, 1.2], 4, 4)
    with pytest.raises(ValueError, match="threshold"):
        choose_bands(1.5)


def test_no_bucket_is_forgotten_by_the_ranges() -> None:
    """Buckets of every size at once, against a dictionary."""
    sizes = [1, 2, 3, 15, 16, 17, 40, 1, 5]
    label = np.random.default_rng(2).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.uint32)
    members = defaultdict(list)
    for document, name in enumerate(label.tolist()):
        members[name].append(document)
    expected = set()
    for bucket in members.values():
        if len(bucket) <= minhash.WHOLE_BUCKET:
            expected |= set(combinations(bucket, 2))
        else:
            expected |= set(pairwise(bucket)) | {(bucket[0], other) for other in bucket[1:]}
    assert set(map(tuple, candidate_pairs(label[:, None], 1, 1).tolist())) == expected
