"""The algebra of masks: sets of pairs by their definition, and classes of rectangles that never lie."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dslab.attention import (
    bigbird,
    blocks,
    causal,
    document,
    global_tokens,
    local_window,
    random_blocks,
    sinks,
    strided,
)
from dslab.attention.masks import EMPTY, FULL, Mask


def brute(rule, Lq: int, Lk: int, offset: int = 0) -> list[list[bool]]:
    return [[bool(rule(i + offset, j)) for j in range(Lk)] for i in range(Lq)]


IDS = [5, 5, 9, 9, 9, 5, 2, 2, 2, 2, 9, 1]
TABLE = torch.tensor([[True, False, True], [False, False, True], [True, True, False]])
RULES = [
    (causal(), lambda q, k: k <= q),
    (local_window(1), lambda q, k: k == q),
    (local_window(3), lambda q, k: abs(q - k) < 3),
    (strided(3), lambda q, k: (q - k) % 3 == 0),
    (strided(1), lambda q, k: True),
    (global_tokens([0, 4]), lambda q, k: k in (0, 4)),
    (global_tokens([4, 0], rows=True), lambda q, k: k in (0, 4) or q in (0, 4)),
    (global_tokens([]), lambda q, k: False),
    (global_tokens(3), lambda q, k: k < 3),
    (sinks(2), lambda q, k: k < 2),
    (sinks(50), lambda q, k: True),
    (document(IDS), lambda q, k: IDS[q] == IDS[k]),
    (blocks(TABLE, 4), lambda q, k: TABLE[q // 4, k // 4]),
    (~local_window(3), lambda q, k: abs(q - k) >= 3),
    (causal() & (local_window(2) | global_tokens([1])), lambda q, k: k <= q and (q - k < 2 or k == 1)),
]


@pytest.mark.parametrize(("mask", "rule"), RULES, ids=[repr(m) for m, _ in RULES])
@pytest.mark.parametrize(("Lq", "Lk", "offset"), [(12, 12, 0), (1, 12, 11), (5, 9, 4), (7, 5, 0)])
def test_dense_is_the_definition(mask: Mask, rule, Lq: int, Lk: int, offset: int) -> None:
    assert mask.dense(Lq, Lk, offset).tolist() == brute(rule, Lq, Lk, offset)


def test_positions_may_have_any_broadcastable_shape() -> None:
    mask = causal() & (local_window(3) | sinks(1) | global_tokens([2], rows=True))
    start = torch.tensor([0, 2])  # left padding of each row: positions count from the first real token
    q_pos = (torch.arange(6) - start[:, None])[:, :, None]
    k_pos = (torch.arange(6) - start[:, None])[:, None, :]
    got = mask.allowed(q_pos, k_pos)
    assert got.shape == (2, 6, 6)
    assert torch.equal(got[0], mask.dense(6))
    assert torch.equal(got[1, 2:, 2:], mask.lenient().dense(4))
    assert not sinks(2).allowed(q_pos, k_pos)[1, :, :2].any()  # padding is no sink


def test_a_global_row_sees_everything_and_a_column_is_seen_by_all() -> None:
    assert global_tokens([3]).dense(6)[:, 3].all()
    assert int(global_tokens([3]).dense(6).sum()) == 6
    assert global_tokens([3], rows=True).dense(6)[3].all()


def test_many_scattered_global_tokens_are_searched_for() -> None:
    tokens = range(0, 300, 2)
    assert global_tokens(tokens).dense(1, 300)[0].nonzero()[:, 0].tolist() == list(tokens)


def test_random_blocks_do_not_depend_on_the_length() -> None:
    mask = random_blocks(2, seed=3)
    long = mask.dense(640)
    assert torch.equal(mask.dense(200), long[:200, :200])
    assert torch.equal(mask.dense(1, 640, 639), long[639:])
    far = mask.allowed(torch.tensor([[130], [5000]]), torch.arange(640))  # asked beside a far later query
    assert torch.equal(far[0], long[130])
    counts = long[::64, ::64].sum(1)
    assert counts.tolist() == [min(2, i + 1) for i in range(10)]
    assert not torch.equal(long, random_blocks(2, seed=4).dense(640))


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (
            causal() & (local_window(256) | global_tokens([0, 1])),
            "causal() & (local_window(256) | global_tokens([0, 1]))",
        ),
        (~(causal() | strided(2)), "~(causal() | strided(2))"),
        (causal() & local_window(4) & ~sinks(1), "causal() & local_window(4) & ~sinks(1)"),
        (causal() & local_window(4) | sinks(1), "(causal() & local_window(4)) | sinks(1)"),
        (global_tokens(range(64), rows=True), "global_tokens(range(64), rows=True)"),
        (global_tokens(range(2, 9)), "global_tokens(range(2, 9))"),
    ],
)
def test_repr_reads_as_code(mask: Mask, text: str) -> None:
    assert repr(mask) == text
    assert eval(text) == mask


def test_equal_structure_is_an_equal_mask() -> None:
    assert causal() & local_window(4) == causal() & local_window(4)
    assert hash(document([1, 1, 2])) == hash(document(torch.tensor([7, 7, 0])))  # the same partition
    assert document([1, 1, 2]) != document([1, 2, 2])
    assert blocks(TABLE, 4) != blocks(~TABLE, 4)
    assert blocks(TABLE, 4) != blocks(TABLE, 8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: local_window(0), "window must be >= 1; got 0"),
        (lambda: local_window(-3), "got -3"),
        (lambda: local_window(2.5), "integer"),
        (lambda: strided(0), "stride must be >= 1"),
        (lambda: sinks(-1), "number of sinks must be >= 0"),
        (lambda: global_tokens([0, -2]), "global token must be >= 0; got -2"),
        (lambda: blocks(torch.ones(2, 2)), "bool tensor"),
        (lambda: blocks(TABLE, 0), "block_size"),
        (lambda: document(torch.ones(2, 2, dtype=torch.int64)), "shape (L,)"),
        (lambda: document([]), "L >= 1"),
        (lambda: global_tokens([8]).dense(8), "there are only Lk=8 keys (0..7)"),
        (lambda: (causal() & ~global_tokens([8])).density(8), "Lk=8"),
        (lambda: document([1, 1]).dense(3), "knows 2 positions"),
        (lambda: blocks(TABLE, 2).dense(8), "covers 6 queries and 6 keys"),
        (lambda: causal().dense(-1), "lengths must be >= 0"),
    ],
)
def test_bad_input_is_refused_with_the_rule(make, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert words in str(caught.value)


def test_combining_with_something_else_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        causal() & True


def test_bias_is_minus_infinity_also_in_half_precision() -> None:
    bias = (causal() & ~local_window(2)).bias(4, dtype=torch.float16)
    assert bias.dtype == torch.float16
    assert set(bias.flatten().tolist()) == {0.0, float("-inf")}


@pytest.mark.parametrize("mask", [m for m, _ in RULES if not isinstance(m, type(blocks(TABLE)))], ids=repr)
@pytest.mark.parametrize("L", [1, 12])
def test_density_is_exact(mask: Mask, L: int) -> None:
    mask = mask.lenient()
    assert mask.density(L) == pytest.approx(mask.dense(L).float().mean().item())


def test_density_at_odd_lengths() -> None:
    mask = causal() & (local_window(50) | global_tokens([0, 99]) | strided(70))
    for Lq, Lk, offset in ((200, 200, 0), (130, 257, 127), (63, 101, 2)):
        want = mask.dense(Lq, Lk, offset).double().mean().item()
        assert mask.density(Lq, Lk, offset) == pytest.approx(want)
    assert causal().block_density(128) == pytest.approx(0.75)


def test_plot_fills_allowed_cells_and_outlines_the_diagonal() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = causal().plot(5, 9, q_offset=4)
    assert ax.images[0].get_array().tolist() == causal().dense(5, 9, 4).tolist()
    assert len(ax.patches) == 5


# -- properties ------------------------------------------------------------------------------------------------------

LENGTH = 48
PARTS = st.one_of(
    st.just(causal()),
    st.integers(1, 60).map(local_window),
    st.integers(1, 9).map(strided),
    st.integers(0, 60).map(sinks),
    st.builds(global_tokens, st.lists(st.integers(0, 15), max_size=4), st.booleans()),
    st.lists(st.integers(0, 3), min_size=LENGTH, max_size=LENGTH).map(document),
    st.integers(0, 2**16 - 1).map(
        lambda n: blocks(torch.tensor([n >> i & 1 for i in range(16)]).bool().view(4, 4), 12)
    ),
    st.builds(random_blocks, st.integers(0, 2), st.integers(0, 5)),
    st.just(bigbird(5, 1, 2)),
)
MASKS = st.recursive(
    PARTS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] & p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] | p[1]),
        inner.map(lambda m: ~m),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS)
def test_algebra_is_that_of_sets(a: Mask, b: Mask) -> None:
    A, B = a.dense(LENGTH), b.dense(LENGTH)
    assert torch.equal((a & b).dense(LENGTH), A & B)
    assert torch.equal((a | b).dense(LENGTH), A | B)
    assert torch.equal((~a).dense(LENGTH), ~A)
    assert torch.equal((~(a & b)).dense(LENGTH), (~a | ~b).dense(LENGTH))
    assert torch.equal((~(a | b)).dense(LENGTH), (~a & ~b).dense(LENGTH))


@settings(max_examples=60, deadline=None)
@given(MASKS, st.integers(1, 20), st.integers(0, LENGTH - 20), st.integers(1, 20), st.integers(0, LENGTH - 20))
def test_classes_never_lie(mask: Mask, rows: int, q_first: int, columns: int, k_first: int) -> None:
    edges = (q_first, q_first + rows - 1, k_first, k_first + columns - 1)
    state = int(mask.classify(*(torch.tensor(e) for e in edges)))
    truth = mask.dense(LENGTH)[edges[0] : edges[1] + 1, edges[2] : edges[3] + 1]
    assert state in (0, 1, 2)
    if state == EMPTY:
        assert not truth.any()
    if state == FULL:
        assert truth.all()


@pytest.mark.parametrize("mask", [causal(), local_window(7), strided(5), global_tokens([3, 9]), sinks(5)], ids=repr)
def test_basic_classes_are_exact(mask: Mask) -> None:
    """A conservative rule would be sound and useless: these must tell EMPTY and FULL wherever they hold."""
    dense = mask.dense(24)
    for q0 in range(0, 21, 3):
        for k0 in range(21):
            for size in (1, 3):
                truth = dense[q0 : q0 + size, k0 : k0 + size]
                want = 2 if truth.all() else int(truth.any())
                got = mask.classify(*(torch.tensor(e) for e in (q0, q0 + size - 1, k0, k0 + size - 1)))
                assert int(got) == want, (q0, k0, size)
