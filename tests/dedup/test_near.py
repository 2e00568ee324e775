"""Near-duplicates against comparing each with each, against datasketch, and on planted pairs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dslab.dedup import minhash_duplicates, reference, shingle_hashes, union_find, verify
from dslab.dedup import words as words_module
from dslab.dedup.planted import Planted, planted


@pytest.fixture(scope="module")
def made() -> Planted:
    return planted(1200, seed=21, pairs=550)


def as_dict(found) -> dict[tuple[int, int], float]:
    return {(i, j): s for (i, j), s in zip(found.pairs.tolist(), found.similarity.tolist(), strict=True)}


def test_planted_pairs_are_found_and_nothing_else(made: Planted) -> None:
    """All of J >= .8 and none below: precision and recall 1, and the similarity is the exact one."""
    expected = {pair: similarity for pair, similarity in made.pairs.items() if similarity >= 0.8}
    assert len(expected) > 120
    assert as_dict(minhash_duplicates(made.texts)) == pytest.approx(expected, abs=1e-12)
    assert as_dict(minhash_duplicates(made.texts)).keys() == expected.keys()


@pytest.mark.parametrize("threshold", [0.5, 0.7, 1.0])
def test_equal_to_comparing_each_with_each(made: Planted, threshold: float) -> None:
    texts = [*made.texts[:240], *made.texts[3:9]]
    truth = reference.near_pairs(texts, threshold)
    found = as_dict(minhash_duplicates(texts, threshold, bands=64, rows=2))
    assert truth
    assert found.keys() == truth.keys()
    assert found == pytest.approx(truth, abs=1e-12)


def test_datasketch_with_verification_finds_the_same(made: Planted) -> None:
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(num_perm=128, params=(32, 4)), set()
    sets = [{" ".join(s).encode() for s in reference.shingles(text)} for text in made.texts[:600]]
    for number, signature in enumerate(MinHash.generator(sets, num_perm=128)):
        near = index.query(signature)
        found |= {
            (i, number) for i in near if len(sets[i] & sets[number]) >= 0.8 * len(sets[i] | sets[number])
        }  # fmt: skip
        index.insert(number, signature)
    assert len(found) > 20
    assert set(as_dict(minhash_duplicates(made.texts[:600]))) == found


def test_deterministic_and_independent_of_the_cut_of_the_work(made: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = made.texts[:400]
    first, again = minhash_duplicates(texts), minhash_duplicates(texts)
    monkeypatch.setattr(words_module, "PIECE", 700)
    monkeypatch.setattr("dslab.dedup.minhash.CHUNK", 333)
    cut = minhash_duplicates(texts)
    for other in (again, cut):
        assert as_dict(other) == as_dict(first)
        assert other.clusters.tolist() == first.clusters.tolist()


def test_the_seed_draws_other_permutations(made: Planted) -> None:
    """With a single row as the only band, what is found is chance: another draw finds other pairs, all of them true."""
    texts = made.texts[:400]
    draws = [set(as_dict(minhash_duplicates(texts, 0.3, bands=1, rows=1, seed=seed))) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] | draws[2] <= reference.near_pairs(texts, 0.3).keys()


def test_the_order_of_the_texts_only_renames_them(made: Planted) -> None:
    texts, order = made.texts[:400], np.random.default_rng(0).permutation(400)
    found = as_dict(minhash_duplicates([texts[i] for i in order]))
    renamed = {tuple(sorted((int(order[i]), int(order[j])))): s for (i, j), s in found.items()}
    assert renamed == as_dict(minhash_duplicates(texts))


def test_a_chain_becomes_one_cluster_named_by_its_first() -> None:
    """Each is a near copy of the next, first and last are not: single linkage, and the smallest number names it."""
    words = [f"w{i}" for i in range(140)]
    chain = [" ".join(words[8 * i : 8 * i + 100]) for i in range(5)]
    texts = ["something else entirely, far from it", *chain, "and another one that is like no other"]
    found = minhash_duplicates(texts, 0.8)
    assert found.pairs.tolist() == [[1, 2], [2, 3], [3, 4], [4, 5]]
    assert found.clusters.tolist() == [0, 1, 1, 1, 1, 1, 6]
    assert found.repeated.tolist() == [2, 3, 4, 5]


def test_many_copies_give_one_cluster_in_few_comparisons() -> None:
    """300 copies with one word changed, and strangers between them that share half of it: one cluster of 300."""
    words = [f"w{i}" for i in range(150)]
    texts = []
    for i in range(300):
        copy = list(words)
        copy[(7 * i) % 150] = f"changed{i}"
        texts += [" ".join(copy), " ".join(words[:75] + [f"s{i}x{j}" for j in range(75)])]
    found = minhash_duplicates(texts, 0.8)
    assert found.clusters[::2].tolist() == [0] * 300
    assert found.clusters[1::2].tolist() == list(range(1, 600, 2))
    assert len(found.pairs) < 300 * 299 / 4


def test_short_and_empty_documents() -> None:
    found = minhash_duplicates(["hi there", "", "hi  there", "hi", "", " ", "hi there you"])
    assert found.pairs.tolist() == [[0, 2]]
    assert found.clusters.tolist() == [0, 1, 0, 3, 4, 5, 6]
    for texts in ([], [""], ["a"]):
        assert minhash_duplicates(texts).clusters.tolist() == list(range(len(texts)))
    assert minhash_duplicates([]).pairs.shape == (0, 2)


def test_chinese_near_copies() -> None:
    text = "".join(chr(0x4E00 + 37 * i % 2500) for i in range(400))
    copy = text[:200] + "改动" + text[202:]
    found = minhash_duplicates([text, copy, text[::-1]])
    assert as_dict(found) == pytest.approx({(0, 1): reference.jaccard(text, copy)}, abs=1e-12)
    assert 0.9 < found.similarity[0] < 1


SETS = st.lists(st.lists(st.integers(0, 8), max_size=8), min_size=1, max_size=8)


@given(documents=SETS, threshold=st.sampled_from([0.2, 0.5, 0.8, 1.0]), shuffle=st.randoms(use_true_random=False))
def test_verification_is_jaccard(documents: list[list[int]], threshold: float, shuffle) -> None:
    """Any order of pairs, repeats in a document, empty documents."""
    pairs = [(i, j) for j in range(len(documents)) for i in range(j)]
    shuffle.shuffle(pairs)
    arrays = [np.array(document, np.uint64) for document in documents]
    found, similarity = verify(np.array(pairs, np.int64).reshape(-1, 2), arrays.__getitem__, threshold)
    truth = {}
    for i, j in pairs:
        a, b = set(documents[i]), set(documents[j])
        if a & b and len(a & b) / len(a | b) >= threshold:
            truth[i, j] = len(a & b) / len(a | b)
    assert dict(zip(map(tuple, found.tolist()), similarity.tolist(), strict=True)) == truth


def test_verification_asks_for_a_document_once() -> None:
    asked: list[int] = []

    def get(document: int) -> np.ndarray:
        asked.append(document)
        return np.array([1, 2, 3], np.uint64)

    verify(np.array([[0, 1], [0, 2], [0, 3], [1, 2]]), get, 0.5)
    assert sorted(asked) == [0, 1, 2, 3]


@given(n=st.integers(1, 12), data=st.data())
def test_union_find_is_connected_components(n: int, data) -> None:
    pairs = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=15))
    array = np.array(pairs, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(array)), (array[:, 0], array[:, 1])), (n, n))
    labels = connected_components(graph, directed=False)[1]
    assert union_find(n, array).tolist() == [int(np.flatnonzero(labels == label)[0]) for label in labels]


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        minhash_duplicates(["a"], threshold=0)
    with pytest.raises(ValueError, match="bands"):
        minhash_duplicates(["a"], bands=0)
    with pytest.raises(TypeError, match=r"pass \[text\]"):
        minhash_duplicates("abc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"0\.\.2"):
        union_find(3, np.array([[0, 3]]))


@pytest.mark.parametrize("documents", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_memory_is_a_few_kilobytes_a_document(documents: int) -> None:
    """1 kB of English each: 512 bytes of signature, 8 a word, and passing copies; under 100 MB for 20,000."""
    rng = np.random.default_rng(0)
    vocabulary = np.array(["".join(row) for row in rng.choice(list("abcdefghijklmnop"), (5000, 6))])
    texts = [" ".join(row) for row in vocabulary[rng.integers(0, 5000, (documents, 145))]]
    shingle_hashes(texts[:10])
    tracemalloc.start()
    try:
        minhash_duplicates(texts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 16e6 + 5000 * documents
