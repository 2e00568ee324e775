"""The plan: every allowed pair once, no forbidden pair ever, never an L×L square, and a cache with a complete key."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_masks import MASKS

from dslab.attention import (
    bigbird,
    blocks,
    causal,
    document,
    global_tokens,
    local_window,
    make_plan,
    random_blocks,
    sinks,
    strided,
)
from dslab.attention.masks import FULL, Mask
from dslab.attention.plan import Gather, Plan, Strip, block_states


def covered(plan: Plan) -> torch.Tensor:
    """(Lq, Lk) how often the plan computes each pair, its masks applied."""
    b = plan.block
    nq, nk = plan.states.shape
    seen = torch.zeros(nq * b, nk * b, dtype=torch.int64)
    for part in plan.parts:
        if isinstance(part, Strip):
            i = torch.arange(part.count)
            q_blocks, k_blocks = part.q_first + i, part.k_first + part.step * i[:, None] + torch.arange(part.width)
        else:
            q_blocks, k_blocks = part.q_blocks, part.k_blocks
        for row, (q, keys) in enumerate(zip(q_blocks.tolist(), k_blocks.tolist(), strict=True)):
            allowed = torch.ones(b, len(keys) * b, dtype=torch.bool)
            if part.allowed is not None:
                allowed = part.allowed[0 if part.allowed.shape[0] == 1 else row].expand(b, -1)
            for column, key in enumerate(keys):
                seen[q * b : (q + 1) * b, key * b : (key + 1) * b] += allowed[:, column * b : (column + 1) * b]
    assert not seen[:, plan.Lk :].any(), "keys beyond the end are computed"
    return seen[: plan.Lq, : plan.Lk]


MANY = [
    causal(),
    causal() & local_window(20),
    causal() & (local_window(20) | global_tokens(8)),
    local_window(9) | global_tokens([3, 70], rows=True),
    bigbird(20, 1, 2),
    causal() & random_blocks(1),
    causal() & strided(48),
    causal() & document([i // 50 for i in range(512)]),
    causal() & ~local_window(40) & ~sinks(16),
    blocks(torch.eye(8, dtype=torch.bool), 64),
    causal() & ~causal(),
]


@pytest.mark.parametrize("mask", MANY, ids=repr)
@pytest.mark.parametrize(("Lq", "Lk"), [(256, 256), (255, 255), (17, 257), (1, 130), (100, 37 + 64)])
def test_every_allowed_pair_is_computed_once(mask: Mask, Lq: int, Lk: int) -> None:
    offset = Lk - Lq
    plan = make_plan(mask, Lq, Lk, offset, block=16)
    assert torch.equal(covered(plan), mask.dense(Lq, Lk, offset).long())


@settings(max_examples=40, deadline=None)
@given(MASKS, st.integers(1, 48), st.integers(1, 48), st.sampled_from([1, 3, 8]))
def test_every_allowed_pair_of_any_mask_is_computed_once(mask: Mask, Lq: int, Lk: int, block: int) -> None:
    mask, offset = mask.lenient(), max(0, Lk - Lq)
    plan = make_plan(mask, Lq, Lk, offset, block=block)
    assert torch.equal(covered(plan), mask.dense(Lq, Lk, offset).long())


def test_a_window_and_its_columns_become_two_views() -> None:
    plan = make_plan(causal() & (local_window(256) | global_tokens(64)), 4096, 4096)
    strips = [part for part in plan.parts if isinstance(part, Strip)]
    assert {(s.width, s.step) for s in strips} == {(5, 1), (1, 0)}
    window, columns = sorted(strips, key=lambda s: -s.width)
    assert columns.allowed is None  # whole blocks: no mask to add
    assert window.allowed is not None
    assert window.allowed.shape == (1, 64, 320)  # one mask for all query blocks
    gathered = sum(part.k_blocks.numel() for part in plan.parts if isinstance(part, Gather))
    assert gathered <= 21  # the first rows, where the window is still growing
    assert plan.block_density == pytest.approx((58 * 6 + 21) / 64**2)


def test_planning_never_makes_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    mask, L = causal() & (local_window(100) | global_tokens([0, 5])), 8192
    largest = 0
    inner = type(causal()).allowed

    def watched(self, q_pos, k_pos):
        nonlocal largest
        out = inner(self, q_pos, k_pos)
        largest = max(largest, out.numel())
        return out

    monkeypatch.setattr(type(causal()), "allowed", watched)
    make_plan(mask, L, L, block=32)
    assert 0 < largest <= L * L / 32


def test_states_stay_exact_at_ragged_ends() -> None:
    assert block_states(causal(), 5, 5, 0, (4, 4)).tolist() == [[1, 0], [2, 2]]
    assert block_states(causal(), 1, 5, 4, (4, 4)).tolist() == [[2, 2]]
    assert block_states(local_window(99), 5, 7, 0, (4, 4)).tolist() == [[FULL] * 2] * 2


def test_the_cache_key_is_complete() -> None:
    mask = causal() & local_window(24)
    base = make_plan(mask, 64, 128, 64, block=16)
    assert make_plan(causal() & local_window(24), 64, 128, 64, block=16) is base  # equal structure, one plan
    others = [
        make_plan(mask, 64, 128, 0, block=16),
        make_plan(mask, 48, 128, 64, block=16),
        make_plan(mask, 64, 112, 64, block=16),
        make_plan(mask, 64, 128, 64, block=32),
        make_plan(causal() & local_window(25), 64, 128, 64, block=16),
    ]
    assert all(other is not base for other in others)
    assert torch.equal(covered(others[0]), mask.dense(64, 128, 0).long())


@pytest.mark.parametrize(("Lq", "Lk", "block"), [(0, 4, 16), (4, 0, 16), (4, 4, 0)])
def test_empty_shapes_are_refused(Lq: int, Lk: int, block: int) -> None:
    with pytest.raises(ValueError, match=f"Lq={Lq}, Lk={Lk}"):
        make_plan(causal(), Lq, Lk, block=block)


def test_flex_block_mask_holds_the_same_blocks() -> None:
    mask, Lq, Lk = causal() & (local_window(100) | global_tokens([0])), 200, 300
    got = mask.block_mask(Lq, Lk, q_offset=100, block=64)
    states = block_states(mask, Lq, Lk, 100, (64, 64))
    assert torch.equal(got.to_dense()[0, 0].bool(), states > 0)
    assert got.BLOCK_SIZE == (64, 64)
    q_pos, k_pos = torch.arange(Lq)[:, None], torch.arange(Lk)[None]
    assert torch.equal(got.mask_mod(0, 0, q_pos, k_pos), mask.dense(Lq, Lk, 100))
    # A block cut by the end is looked into even where the mask allows all of it.
    full = got.full_kv_indices[0, 0, -1, : int(got.full_kv_num_blocks[0, 0, -1])]
    assert full.numel() == 0


def test_flex_eager_gives_the_same_output() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    torch.manual_seed(0)
    mask = causal() & (local_window(40) | global_tokens([0]))
    q, k, v = torch.randn(1, 2, 100, 16), torch.randn(1, 2, 150, 16), torch.randn(1, 2, 150, 16)
    want = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask.dense(100, 150, 50))
    with torch.no_grad():
        got = flex_attention(q, k, v, block_mask=mask.block_mask(100, 150, q_offset=50, block=32))
    assert torch.allclose(got, want, atol=2e-6)
