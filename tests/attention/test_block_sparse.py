"""`sparse_attention` against its definition: values and gradients, every shape and every edge."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dslab.attention import (
    bigbird,
    blocks,
    causal,
    choose_backend,
    document,
    global_tokens,
    kernels,
    local_window,
    random_blocks,
    reference_attention,
    sinks,
    sparse_attention,
    strided,
)
from dslab.attention.masks import Mask

LONGFORMER = causal() & (local_window(70) | global_tokens([0, 1]))


def make(
    B: int = 1, H: int = 2, Hkv: int = 2, Lq: int = 200, Lk: int = 200, D: int = 16, Dv: int = 16,
    dtype: torch.dtype = torch.float32, seed: int = 0,
) -> list[Tensor]:  # fmt: skip
    rng = torch.Generator().manual_seed(seed)
    shapes = ((B, H, Lq, D), (B, Hkv, Lk, D), (B, Hkv, Lk, Dv))
    return [torch.randn(s, generator=rng, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]


def run(function, q: Tensor, k: Tensor, v: Tensor, *args, **kwargs) -> list[Tensor]:
    """Output and the three gradients for a fixed random upstream gradient."""
    out = function(q, k, v, *args, **kwargs)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, (q, k, v), upstream)]


def assert_same(got: list[Tensor], want: list[Tensor], out: float = 1e-6, grad: float = 1e-5) -> None:
    for name, x, y, bound in zip(("out", "dq", "dk", "dv"), got, want, (out, grad, grad, grad), strict=True):
        assert x.shape == y.shape, name
        assert x.isfinite().all(), name
        assert (x.double() - y.double()).abs().max() <= bound, name


SHAPES = {
    "square": {},
    "one token": {"Lq": 1, "Lk": 1},
    "31 tokens": {"Lq": 31, "Lk": 31},
    "a block less one": {"Lq": 63, "Lk": 63},
    "a block": {"Lq": 64, "Lk": 64},
    "a block and one": {"Lq": 65, "Lk": 65},
    "many blocks": {"Lq": 700, "Lk": 700},
    "decoding one token": {"Lq": 1, "Lk": 333},
    "decoding a chunk": {"Lq": 150, "Lk": 333},
    "more queries than keys": {"Lq": 150, "Lk": 90},
    "batch": {"B": 3},
    "grouped heads": {"H": 6, "Hkv": 2},
    "one key head": {"B": 2, "H": 4, "Hkv": 1, "Lq": 300, "Lk": 400},
    "wide values": {"Dv": 24},
    "narrow values": {"Dv": 5},
    "width one": {"D": 1, "Dv": 1},
}


@pytest.mark.parametrize("backend", ["sparse", "dense"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape(shape: dict[str, int], backend: str) -> None:
    mask = causal() & (local_window(70) | sinks(2))
    q, k, v = make(**shape)
    assert_same(run(sparse_attention, q, k, v, mask, backend=backend), run(reference_attention, q, k, v, mask))


MASKS = [
    LONGFORMER,
    causal(),
    causal() & local_window(1),
    causal() & local_window(10_000),
    local_window(33),
    causal() & strided(16),
    causal() & (local_window(16) | strided(16)),
    bigbird(30, 1, 2),
    causal() & random_blocks(2, seed=1),
    causal() & document([0] * 90 + [1] * 120 + [0] * 90),
    blocks(torch.tensor([[True, False, True], [False, False, False], [True, True, False]]), 100),
    causal() & ~local_window(40),
    causal() & ~sinks(70),
    causal() & global_tokens([]),
    global_tokens([5, 250], rows=True),
]


@pytest.mark.parametrize("mask", MASKS, ids=repr)
def test_every_mask(mask: Mask) -> None:
    q, k, v = make(H=4, Hkv=2, Lq=300, Lk=300)
    assert_same(run(sparse_attention, q, k, v, mask, backend="sparse"), run(reference_attention, q, k, v, mask))


def test_equals_sdpa_with_the_dense_mask() -> None:
    mask = causal() & (local_window(256) | global_tokens(64))
    q, k, v = make(H=2, Lq=1500, Lk=1500, D=64, Dv=64)
    oracle = torch.nn.functional.scaled_dot_product_attention
    want = run(oracle, q, k, v, attn_mask=mask.dense(1500))
    assert_same(run(sparse_attention, q, k, v, mask, backend="sparse"), want)


@pytest.mark.parametrize(("dtype", "out", "grad"), [(torch.float64, 1e-14, 1e-13), (torch.bfloat16, 0.03, 0.08),
                                                    (torch.float16, 0.004, 0.01)])  # fmt: skip
@pytest.mark.parametrize("backend", ["sparse", "dense"])
def test_every_dtype_against_float64(dtype: torch.dtype, out: float, grad: float, backend: str) -> None:
    q, k, v = make(Lq=400, Lk=400, H=4, Hkv=2, D=32, Dv=32, dtype=dtype)
    got = run(sparse_attention, q, k, v, LONGFORMER, backend=backend)
    assert all(x.dtype == dtype for x in got)
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    assert_same(got, run(reference_attention, *exact, LONGFORMER), out, grad)


@pytest.mark.parametrize("is_private", [True, False], ids=["private operators", "fallback"])
def test_gradcheck(is_private: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_private:
        monkeypatch.setattr(kernels, "_FORWARD", None)
    mask = causal() & (local_window(3) | global_tokens([1])) & ~sinks(1)
    q, k, v = make(B=2, H=2, Hkv=1, Lq=7, Lk=9, D=3, Dv=2, dtype=torch.float64)
    padding = torch.ones(2, 9, dtype=torch.bool)
    padding[0, :4] = False

    def attention(*x: Tensor) -> Tensor:
        return sparse_attention(*x, mask, key_padding=padding, backend="sparse")

    assert torch.autograd.gradcheck(attention, (q, k, v))


@pytest.mark.parametrize("mask", [LONGFORMER, bigbird(30, 1, 2), causal() & ~sinks(90)], ids=repr)
def test_fallback_without_private_operators(mask: Mask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_FORWARD", None)
    assert not kernels.is_flash_available()
    q, k, v = make(H=4, Hkv=2, Lq=500, Lk=500)
    assert_same(run(sparse_attention, q, k, v, mask, backend="sparse"), run(reference_attention, q, k, v, mask))


def test_private_operators_are_there() -> None:
    """Not needed, but 25 % faster: the day PyTorch drops them, this says so."""
    assert kernels.is_flash_available()


@pytest.mark.parametrize("backend", ["sparse", "dense", "reference"])
@pytest.mark.parametrize("mask", [causal() & ~local_window(100), causal() & ~causal()], ids=repr)
def test_rows_that_see_nothing_are_zero_with_zero_gradients(mask: Mask, backend: str) -> None:
    q, k, v = make(Lq=300, Lk=300)
    out, dq, dk, dv = run(sparse_attention, q, k, v, mask, backend=backend)
    empty = ~mask.dense(300).any(1)
    assert empty.any()
    assert (out[:, :, empty] == 0).all()
    assert (dq[:, :, empty] == 0).all()
    assert all(x.isfinite().all() for x in (out, dq, dk, dv))


@pytest.mark.parametrize("backend", ["sparse", "dense"])
@pytest.mark.parametrize("mask", [LONGFORMER, local_window(33)], ids=repr)
def test_key_padding(mask: Mask, backend: str) -> None:
    q, k, v = make(B=3, H=4, Hkv=2, Lq=700, Lk=760, dtype=torch.float64)
    padding = torch.ones(3, 760, dtype=torch.bool)
    padding[0, :500] = False  # left: many rows see nothing, in the window or among the global columns
    padding[1, 330:] = False  # right
    assert_same(
        run(sparse_attention, q, k, v, mask, key_padding=padding, backend=backend),
        run(reference_attention, q, k, v, mask, key_padding=padding),
    )


@pytest.mark.parametrize("backend", ["sparse", "dense"])
def test_a_row_of_nothing_but_padding(backend: str) -> None:
    q, k, v = make(B=2)
    padding = torch.ones(2, 200, dtype=torch.bool)
    padding[1] = False
    for x in (y[1] for y in run(sparse_attention, q, k, v, LONGFORMER, key_padding=padding, backend=backend)):
        assert (x == 0).all()


POISON = [float("nan"), float("inf"), float("-inf")]


@pytest.mark.parametrize("backend", ["sparse", "dense"])
@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("where", ["k", "v"])
def test_what_is_masked_is_not_felt(where: str, poison: float, backend: str) -> None:
    """Keys 80..89 are padding and hold NaN or inf: as if they held zeros, forward and backward."""
    q, k, v = make(B=2, H=4, Hkv=2)
    padding = torch.ones(2, 200, dtype=torch.bool)
    padding[:, 80:90] = False
    want = run(sparse_attention, q, k, v, LONGFORMER, key_padding=padding, backend=backend)
    spoiled = (k if where == "k" else v).detach().clone()
    spoiled[:, :, 80:90] = poison
    spoiled.requires_grad_()
    k, v = (spoiled, v) if where == "k" else (k, spoiled)
    assert_same(run(sparse_attention, q, k, v, LONGFORMER, key_padding=padding, backend=backend), want)


@pytest.mark.parametrize("backend", ["sparse", "dense"])
def test_a_bad_key_is_felt_only_where_it_is_seen(backend: str) -> None:
    q, k, v = make(H=4, Hkv=2, Lq=150, Lk=200)
    want = run(sparse_attention, q, k, v, LONGFORMER, backend=backend)[0]
    spoiled = v.detach().clone()
    spoiled[0, 1, 120, 3] = float("nan")  # the key head of query heads 2 and 3
    out = sparse_attention(q, k, spoiled, LONGFORMER, backend=backend)
    seen = LONGFORMER.dense(150, 200, 50)[:, 120]
    assert out[0, 2:, seen].isnan().all()
    assert torch.equal(out[0, :2], want[0, :2])
    assert torch.allclose(out[0, 2:, ~seen], want[0, 2:, ~seen], atol=1e-6)


@pytest.mark.parametrize("poison", POISON)
def test_the_future_cannot_reach_the_past(poison: float) -> None:
    """A NaN in the last token, hidden from all others, leaves their gradients alone."""
    q, k, v = make()
    clean = sparse_attention(q, k, v, LONGFORMER, backend="sparse")[:, :, :-1]
    want = torch.autograd.grad(clean.sum(), (q, k, v))
    k2, v2 = k.detach().clone(), v.detach().clone()
    k2[:, :, -1] = poison
    v2[:, :, -1] = poison
    k2.requires_grad_()
    v2.requires_grad_()
    out = sparse_attention(q, k2, v2, LONGFORMER, backend="sparse")[:, :, :-1]
    assert torch.equal(out, clean)
    for got, expected in zip(torch.autograd.grad(out.sum(), (q, k2, v2)), want, strict=True):
        assert torch.allclose(got, expected, atol=1e-6)


def test_large_finite_keys_are_not_taken_for_bad_ones() -> None:
    q, k, v = make()
    huge = v.detach() * 1e37
    out = sparse_attention(q, k, huge, LONGFORMER, backend="sparse")
    assert torch.allclose(out / 1e37, sparse_attention(q, k, v, LONGFORMER, backend="sparse"), atol=1e-5)


def test_inputs_need_not_be_contiguous() -> None:
    q, k, v = (x.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for x in make(H=4, B=2))
    k = k.detach()[..., ::2].requires_grad_()
    q = q.detach()[..., ::2].requires_grad_()
    assert not any(x.is_contiguous() for x in (q, k, v))
    got = run(sparse_attention, q, k, v, LONGFORMER, backend="sparse")
    assert_same(got, run(reference_attention, q, k, v, LONGFORMER))


@pytest.mark.parametrize("threads", [1, 16])
def test_threads_do_not_change_the_result(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer heads than threads the shared columns are not folded into one batch."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    q, k, v = make(H=4, Hkv=2, Lq=600, Lk=600)
    padding = torch.ones(1, 600, dtype=torch.bool)
    padding[:, 1:7] = False
    for mask in (LONGFORMER, causal() & (local_window(70) | global_tokens(64))):
        for given in (None, padding):
            got = run(sparse_attention, q, k, v, mask, key_padding=given, backend="sparse")
            assert_same(got, run(reference_attention, q, k, v, mask, key_padding=given))


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = make(B=2, H=4, Hkv=2, Lq=1000, Lk=1000)
    mask = LONGFORMER | random_blocks(1)
    want = run(sparse_attention, q, k, v, mask, backend="sparse")
    for name in ("FORWARD_BYTES", "BACKWARD_BYTES"):
        monkeypatch.setattr(f"dslab.attention.block_sparse.{name}", 1)  # one query block at a time
    assert_same(run(sparse_attention, q, k, v, mask, backend="sparse"), want)


def test_scale() -> None:
    q, k, v = make(D=16, Dv=8, dtype=torch.float64)
    got = run(sparse_attention, q, k, v, LONGFORMER, scale=0.7, backend="sparse")
    assert_same(got, run(reference_attention, q, k, v, LONGFORMER, scale=0.7))


def test_decoding_token_by_token_is_the_whole() -> None:
    q, k, v = (x.detach() for x in make(Lq=140, Lk=140))
    mask = causal() & (local_window(20) | sinks(3) | random_blocks(1))
    whole = sparse_attention(q, k, v, mask, backend="sparse")
    for t in (0, 1, 2, 63, 64, 127, 139):
        step = sparse_attention(q[:, :, t : t + 1], k[:, :, : t + 1], v[:, :, : t + 1], mask)
        assert torch.allclose(step[:, :, 0], whole[:, :, t], atol=1e-6)


def test_same_inputs_same_bits() -> None:
    q, k, v = make(Lq=600, Lk=600)
    first, second = (run(sparse_attention, q, k, v, LONGFORMER, backend="sparse") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("Lq", "Lk", "mask", "backend", "words"),
    [
        (512, 512, LONGFORMER, "dense", "512 keys are fewer than 1024"),
        (8192, 8192, LONGFORMER, "sparse", "of the blocks hold allowed pairs"),
        (8192, 8192, causal(), "dense", "more than 50%"),
        (1, 8192, LONGFORMER, "dense", "1 queries fill less than one block"),
    ],
)
def test_the_choice_is_told(Lq: int, Lk: int, mask: Mask, backend: str, words: str) -> None:
    choice = choose_backend(torch.empty(1, 1, Lq, 4), torch.empty(1, 1, Lk, 4), mask)
    assert choice.backend == backend
    assert words in choice.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"q": torch.zeros(2, 10, 4)}, "q, k and v must be (B, H, L, D); got q (2, 10, 4)"),
        ({"q": torch.zeros(1, 2, 10, 4, dtype=torch.float64)}, "one dtype"),
        ({"k": torch.zeros(2, 2, 10, 4)}, "batch sizes"),
        ({"k": torch.zeros(1, 2, 9, 4)}, "same heads and length"),
        ({"q": torch.zeros(1, 2, 10, 5)}, "same width"),
        ({"q": torch.zeros(1, 3, 10, 4)}, "multiple of key heads; got 3 and 2"),
        ({"q": torch.zeros(1, 2, 0, 4)}, "at least 1"),
        ({"key_padding": torch.ones(1, 9, dtype=torch.bool)}, "(B, Lk) = (1, 10)"),
        ({"key_padding": torch.ones(1, 10)}, "bool"),
        ({"mask": torch.ones(10, 10, dtype=torch.bool)}, "mask must be a dslab.attention Mask"),
        ({"mask": global_tokens([10])}, "there are only Lk=10 keys"),
        ({"backend": "magic"}, "backend must be one of auto, sparse, dense, flex, reference; got 'magic'"),
        ({"backend": "flex", "v": torch.zeros(1, 2, 10, 4, requires_grad=True)}, "no backward pass on CPU"),
    ],
)
def test_bad_input_is_refused_with_shapes_and_rule(change: dict, words: str) -> None:
    given = {name: torch.zeros(1, 2, 10, 4) for name in "qkv"} | {"mask": causal()} | change
    with pytest.raises(ValueError, match=r".") as caught:
        sparse_attention(**given)
    assert words in str(caught.value)
