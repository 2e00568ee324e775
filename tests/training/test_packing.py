"""Packed rows have the loss and the gradients of the rows by themselves, and what they share is there once."""

import pytest
import torch
from small import examples, llama
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from dslab.training import Collator, Encoded, answer_loss, pack

INSTRUCTION = [7, 3, 9, 9, 4, 11, 5]


def rows(n=5, seed=0):
    """Rows of different lengths that begin alike; two of them go on alike for a while."""
    made = [
        Encoded([*INSTRUCTION, *row.input_ids], [-100] * len(INSTRUCTION) + row.labels) for row in examples(n, seed)
    ]
    return [*made, made[0]]


def deepseek():
    torch.manual_seed(0)
    config = DeepseekV3Config(
        vocab_size=44, hidden_size=32, intermediate_size=48, moe_intermediate_size=16, num_hidden_layers=2,
        first_k_dense_replace=1, num_attention_heads=2, num_key_value_heads=2, q_lora_rank=16, kv_lora_rank=8,
        qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8, n_routed_experts=4, num_experts_per_tok=2, n_group=1,
        topk_group=1, max_position_embeddings=512, initializer_range=0.3,
    )  # fmt: skip
    return DeepseekV3ForCausalLM(config).eval()


def difference(model, packed, apart):
    """Of the loss, and of the gradients over the largest of them."""
    grads = []
    losses = []
    for batch in (packed, apart):
        model.zero_grad()
        loss = answer_loss(model, batch)
        loss.backward()
        losses.append(loss.item())
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    largest = max(g.abs().max().item() for g in grads[1])
    far = max((a - b).abs().max().item() for a, b in zip(*grads, strict=True))
    return abs(losses[0] - losses[1]) / losses[1], far / largest


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("build", [llama, deepseek])
def test_loss_and_gradients_are_those_of_the_rows_by_themselves(build, attention):
    model = build()
    model.set_attn_implementation(attention)
    loss, gradient = difference(model, pack(rows()), Collator()(rows()))
    assert loss < 1e-6
    assert gradient < 2e-6


def test_the_beginning_is_there_once_and_positions_start_again_behind_it():
    taken = rows(3)
    packed = pack(taken)
    n = len(INSTRUCTION)
    assert packed["input_ids"].shape == (1, n + sum(len(row.input_ids) - n for row in taken))
    starts = (packed["position_ids"][0] == n).nonzero()[:, 0].tolist()
    assert starts == [n + sum(len(row.input_ids) - n for row in taken[:k]) for k in range(len(taken))]
    learned = packed["labels"][0][packed["labels"][0] != -100].tolist()
    assert learned == [label for row in taken for label in row.labels if label != -100]


@pytest.mark.parametrize("fault", ["positions", "neighbours", "beginning"])
def test_the_comparison_sees_a_fault(fault):
    model, packed = llama(), pack(rows())
    if fault == "positions":
        packed["position_ids"] = torch.arange(packed["input_ids"].shape[1])[None]
    size = packed["input_ids"].shape[1]
    causal = torch.ones(size, size).tril().bool()
    if fault == "neighbours":
        packed["attention_mask"] = torch.zeros(size, size).masked_fill(~causal, -1e30)[None, None]
    if fault == "beginning":
        packed["attention_mask"][..., len(INSTRUCTION) :, 0] = -1e30
    loss, _ = difference(model, packed, Collator()(rows()))
    assert loss > 1e-4


@torch.no_grad()
@pytest.mark.parametrize(
    "taken",
    [
        [Encoded([5, 6, 7], [5, 6, 7])],  # nothing but an answer
        [Encoded([5, 6, 7], [-100, 6, 7]), Encoded([5, 6, 8], [-100, 6, 8])],  # alike beyond the first answer token
        [Encoded([5, 6, 7], [-100, -100, 7]), Encoded([9, 6], [-100, 6])],  # nothing shared
        [Encoded([5, 6, 7], [-100, -100, 7])] * 2,
        [Encoded([5, 6], [-100, -100]), Encoded([5, 6, 7, 8], [-100, -100, -100, 8])],  # one without an answer
    ],
)
def test_odd_rows(taken):
    model = llama()
    assert answer_loss(model, pack(taken)).item() == pytest.approx(
        answer_loss(model, Collator()(taken)).item(), rel=1e-5
    )


def test_nothing_to_pack_is_refused():
    with pytest.raises(ValueError, match="rows to pack"):
        pack([])
