"""Contamination equals what sets of word tuples give, to the last number."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslab.dedup import Contamination, NgramIndex, contaminated, contamination, reference
from dslab.dedup.planted import planted

# Few words, so that runs repeat: in cases, with punctuation, in two scripts, and what vanishes when folded.
WORDS = [
    "the",
    "The",
    "cat",
    "cat,",
    "c-a-t",
    "(sat)",
    "中",
    "中文",
    "，",
    "--",
    "ＣＡＴ",
    "\u200b",
    "a\u200bb",
    "ab",
    "\ud800",
]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), max_size=5)


def equal(found: Contamination, truth: dict[str, list]) -> None:
    """Counts, pairs and fractions: not close, equal."""
    assert found.hits.tolist() == truth["hits"]
    assert found.pairs.tolist() == [list(pair) for pair in truth["pairs"]]
    assert found.overlap.tolist() == truth["overlap"]
    assert found.test_overlap.tolist() == truth["test_overlap"]


@given(train=TEXTS, test=TEXTS, n=st.integers(1, 6), shortest=st.integers(1, 8))
@settings(max_examples=300)
def test_equal_to_sets_of_tuples(train: list[str], test: list[str], n: int, shortest: int) -> None:
    equal(contaminated(train, test, n, shortest), reference.contamination(train, test, n, shortest))


@given(train=TEXTS, test=TEXTS, n=st.integers(1, 4), batch=st.integers(1, 30), part=st.integers(1, 9))
def test_the_cut_of_the_work_changes_nothing(train, test, n: int, batch: int, part: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contamination, "BATCH", batch)
        patch.setattr(contamination, "PART", part)
        equal(contaminated(train, test, n), reference.contamination(train, test, n))


@pytest.fixture(scope="module")
def leaked() -> tuple[list[str], list[str], set[tuple[int, int]]]:
    """300 documents and 60 items in two scripts; every other item stands in some document, punctuated differently."""
    made, rng = planted(360, seed=9, pairs=0).texts, np.random.default_rng(1)
    train, test = made[:300], [text[:200] for text in made[300:]]
    pairs = set()
    for item, document in zip(range(0, 60, 2), rng.permutation(300).tolist(), strict=False):
        middle = len(train[document]) // 2
        quoted = test[item].upper().replace(" ", ",  ", 3)
        train[document] = f"{train[document][:middle]} “{quoted}” {train[document][middle:]}"
        pairs.add((document, item))
    return train, test, pairs


def test_planted_items_are_found_and_no_other(leaked) -> None:
    train, test, pairs = leaked
    found = contaminated(train, test)
    assert set(map(tuple, found.pairs.tolist())) == pairs
    assert found.contaminated.tolist() == sorted({document for document, _ in pairs})
    assert (found.test_overlap[::2] == 1).all()
    assert (found.test_overlap[1::2] == 0).all()
    document, item = min(pairs)
    assert item in found.items(document).tolist()
    equal(found, reference.contamination(train, test))


def test_a_stream_in_batches_and_a_pickled_index_say_the_same(leaked) -> None:
    train, test, _ = leaked
    index = pickle.loads(pickle.dumps(NgramIndex(test)))
    parts = [index.overlap(train[i : i + 37]) for i in range(0, 300, 37)]
    whole = index.overlap(train)
    assert np.concatenate([part.hits for part in parts]).tolist() == whole.hits.tolist()
    assert np.concatenate([part.overlap for part in parts]).tolist() == whole.overlap.tolist()
    found = np.logical_or.reduce([part.found for part in parts])
    assert index.test_overlap(found).tolist() == whole.test_overlap.tolist()
    assert copy.deepcopy(index).overlap(train[:5]).hits.tolist() == whole.hits[:5].tolist()


def test_thirteen_words_and_not_twelve() -> None:
    words = [f"w{i}" for i in range(20)]
    item = " ".join(words)
    for n, hits in ((12, 0), (13, 1), (15, 3)):
        found = contaminated(["x " + " ".join(words[3 : 3 + n]) + " y"], [item])
        assert found.hits.tolist() == [hits]
        assert found.overlap.tolist() == [n / (n + 2) if hits else 0]
        assert found.test_overlap.tolist() == [n / 20 if hits else 0]


@pytest.mark.parametrize(
    ("item", "hit", "missed"),
    [
        ("Who wrote Hamlet?", "... who wrote 'Hamlet', and when", "who wrote Hamlets"),  # whole words only
        ("中国的首都是哪里", "问：中国的首都是哪里？答：北京", "中国的首都在哪里"),
        ("GPT-4 技术报告", "见《gpt4技术报告》", "gpt 4 技术报告"),  # punctuation vanishes, spaces count
        ("Ｆｕｌｌ width", "full Width", "full-width"),
        ("don't stop", "Don’t, stop!", "do not stop"),
    ],
)
def test_a_short_item_is_found_whole(item: str, hit: str, missed: str) -> None:
    assert contaminated([hit, missed], [item]).hits.tolist() == [1, 0]


def test_items_too_short_are_ignored_and_named() -> None:
    test = ["yes", "", "a longer answer", "，。"]
    train = ["Yes, a longer answer is better than yes."]
    assert contaminated(train, test).pairs.tolist() == [[0, 0], [0, 2]]
    index = NgramIndex(test, shortest=2)
    assert index.ignored.tolist() == [0, 1, 3]
    assert index.overlap(train).pairs.tolist() == [[0, 2]]


def test_grams_do_not_cross_documents_or_items() -> None:
    assert contaminated(["one two", "three four"], ["one two three four"], n=3).hits.tolist() == [0, 0]
    assert contaminated(["one two three four"], ["zero one two", "three four five"], n=3).hits.tolist() == [0]


def test_nothing_in_nothing() -> None:
    for train, test in (([], []), (["a"], []), ([], ["a"]), (["", " "], ["", "b"])):
        found = contaminated(train, test)
        assert (len(found.hits), len(found.overlap), len(found.test_overlap)) == (len(train), len(train), len(test))
        assert found.pairs.shape == (0, 2)
        assert not found.hits.any()


def test_a_large_index_passes_its_flags() -> None:
    """More grams than a small table of flags can tell apart: the sorted array decides."""
    words = [f"w{i}" for i in np.random.default_rng(0).integers(0, 50, 6000)]
    train, test = [" ".join(words[3000:])], [" ".join(words[:3000])]
    index = NgramIndex(test, n=2)
    for table in index._tables:
        table.flags[:] = True
    equal(index.overlap(train), reference.contamination(train, test, n=2))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="n >= 1"):
        NgramIndex(["a"], n=0)
    with pytest.raises(ValueError, match="shortest"):
        NgramIndex(["a"], shortest=0)
    for train, test in (("a", ["a"]), (["a"], "a")):
        with pytest.raises(TypeError, match=r"pass \[text\]"):
            contaminated(train, test)  # type: ignore[arg-type]
