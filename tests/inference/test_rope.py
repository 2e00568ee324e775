"""Angles: transformers' own numbers, turns that add up, and places far away."""

import pytest
import torch
from llama_models import ROPES, tiny
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from dslab.inference.rope import Rope, turn


@pytest.mark.parametrize("kind", ["llama", *(f"llama rope {kind}" for kind in ROPES)])
def test_as_transformers_turns(kind):
    rotary = tiny(kind).model.rotary_emb
    rope = Rope(rotary.inv_freq, rotary.attention_scaling, places=300)
    q, places = torch.randn(1, 4, 7, 16), torch.tensor([0, 1, 2, 3, 50, 255, 299])
    theirs, _ = apply_rotary_pos_emb(q, q, *rotary(q, places[None]))
    cos, sin = rope.at(places)
    torch.testing.assert_close(turn(q, cos, sin), theirs)


def test_turns_add_up_and_distances_are_what_counts():
    rope = Rope(tiny().model.rotary_emb.inv_freq)
    x, y = torch.randn(2, 3, 5, 16)
    torch.testing.assert_close(rope.rotate(rope.rotate(x, 30), -30), x)
    torch.testing.assert_close(rope.rotate(rope.rotate(x, 30), 12), rope.rotate(x, 42))
    assert (rope.rotate(x, 1) - x).abs().max() > 0.1

    def score(a, b):
        return (rope.rotate(x, a) * rope.rotate(y, b)).sum(-1)

    torch.testing.assert_close(score(5, 9), score(105, 109), atol=1e-4, rtol=1e-4)
    assert (score(5, 9) - score(5, 10)).abs().max() > 0.1


def test_a_place_for_each_token():
    rope, x = Rope(tiny().model.rotary_emb.inv_freq), torch.randn(1, 2, 4, 16)
    by = torch.tensor([3, 0, -2, 7])
    apart = torch.stack([rope.rotate(x[:, :, i], int(n)) for i, n in enumerate(by)], 2)
    torch.testing.assert_close(rope.rotate(x, by), apart)


def test_half_numbers_are_turned_in_fp32():
    rope, x = Rope(tiny().model.rotary_emb.inv_freq), torch.randn(1, 2, 4, 16)
    turned = rope.rotate(x.bfloat16(), 200)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, rope.rotate(x.bfloat16().float(), 200).bfloat16())
