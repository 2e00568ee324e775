"""The tiny language model: its shapes, that it does not look ahead, its loss, its data, and that it learns."""

import math

import pytest
import torch
import torch.nn.functional as F

from dslab.models.tiny import TinyLM, batches, corpus


def model(**options):
    torch.manual_seed(0)
    return TinyLM(**{"width": 32, "layers": 2, "heads": 4, "context": 24, **options})


def tokens(rows=3, length=24, seed=0):
    return torch.randint(0, 256, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (3, 7), (2, 24)])
def test_a_logit_for_every_byte_at_every_place(rows, length):
    assert model()(tokens(rows, length)).shape == (rows, length, 256)


def test_width_layers_heads_and_context_are_what_they_say():
    small = model(width=12, layers=3, heads=3, context=9)
    shapes = {name: tuple(p.shape) for name, p in small.named_parameters()}
    assert shapes["embed.weight"] == shapes["head.weight"] == (256, 12)
    assert shapes["place.weight"] == (9, 12)
    assert sum(name.endswith("qkv.weight") and shape == (36, 12) for name, shape in shapes.items()) == 3
    assert all(block.heads == 3 for block in small.blocks)
    block = 12 * 12 * 12 + 13 * 12  # weights of qkv, out, up, down; biases and two norms
    assert sum(p.numel() for p in small.parameters()) == 2 * 256 * 12 + 9 * 12 + 3 * block + 2 * 12


def test_more_than_the_context_is_refused():
    with pytest.raises(RuntimeError, match="must match"):
        model()(tokens(1, 25))


@pytest.mark.parametrize("changed", [0, 5, 22, 23])
def test_a_later_byte_changes_no_earlier_logit_and_every_later_one(changed):
    lm, text = model().double(), tokens()
    other = text.clone()
    other[1, changed] = (other[1, changed] + 1) % 256
    before, after = lm(text), lm(other)
    torch.testing.assert_close(before[:, :changed], after[:, :changed], rtol=0, atol=1e-12)
    assert (before[1, changed:] != after[1, changed:]).any(-1).all()
    torch.testing.assert_close(before[[0, 2]], after[[0, 2]], rtol=0, atol=1e-12)


def test_the_order_of_bytes_matters():
    lm, text = model().double(), tokens(1)
    swapped = text.clone()
    swapped[0, [2, 3]] = text[0, [3, 2]]
    assert not torch.allclose(lm(text)[0, -1], lm(swapped)[0, -1], rtol=0, atol=1e-9)
    same = torch.full((1, 8), 65)
    logits = lm(same)[0]
    assert (logits[1:] - logits[:-1]).abs().amax(-1).min() > 1e-6, "the same byte at another place is told apart"


def test_it_is_the_pre_norm_transformer_written_out():
    lm, text = model(activation=F.gelu).double(), tokens(2, 10)
    x = lm.embed.weight[text] + lm.place.weight[:10]
    for block in lm.blocks:
        normed = F.layer_norm(x, (32,), block.attention_norm.weight, block.attention_norm.bias)
        heads = []
        for h in range(4):
            at = slice(8 * h, 8 * h + 8)
            q, k, v = (
                normed @ block.qkv.weight[32 * i : 32 * (i + 1)][at].T + block.qkv.bias[32 * i : 32 * (i + 1)][at]
                for i in range(3)
            )
            scores = (q @ k.transpose(1, 2) / math.sqrt(8)).masked_fill(torch.ones(10, 10).triu(1).bool(), -math.inf)
            heads.append(scores.softmax(-1) @ v)
        x = x + torch.cat(heads, -1) @ block.out.weight.T + block.out.bias
        normed = F.layer_norm(x, (32,), block.mlp_norm.weight, block.mlp_norm.bias)
        x = x + F.gelu(normed @ block.up.weight.T + block.up.bias) @ block.down.weight.T + block.down.bias
    expected = F.layer_norm(x, (32,), lm.norm.weight, lm.norm.bias) @ lm.head.weight.T
    torch.testing.assert_close(lm(text), expected, rtol=0, atol=1e-12)


def test_the_activation_is_a_choice():
    assert torch.equal(model()(tokens()), model(activation=F.relu)(tokens()))
    assert not torch.equal(model()(tokens()), model(activation=F.gelu)(tokens()))


def test_the_loss_is_the_mean_surprise_at_each_next_byte():
    lm, text = model(), tokens(3, 25)
    by_hand = [
        -lm(text[row : row + 1, :-1])[0, place].double().log_softmax(-1)[text[row, place + 1]]
        for row in range(3)
        for place in range(24)
    ]
    assert lm.loss(text).item() == pytest.approx(sum(by_hand).item() / 72, rel=1e-6)
    logits = lm(text[:, :-1]).reshape(-1, 256)
    torch.testing.assert_close(lm.loss(text), F.cross_entropy(logits, text[:, 1:].reshape(-1)), rtol=0, atol=0)
    assert lm.loss(text).item() == pytest.approx(math.log(256), abs=0.1), "untrained, it knows nothing"


def test_the_loss_is_fp32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert model().loss(tokens(2, 9)).dtype == torch.float32


def test_every_parameter_gets_a_gradient():
    lm = model()
    lm.loss(tokens(3, 25)).backward()
    assert all(p.grad is not None and p.grad.any() for p in lm.parameters())


def test_the_corpus_is_a_long_text():
    text = corpus()
    assert text.dtype == torch.int64
    assert len(text) > 300_000
    assert 0 <= int(text.min()) < int(text.max()) < 256
    assert text.unique().numel() > 60
    letters = bytes(text.tolist()).decode()
    for word in (" the ", "\n", "exception", "def "):
        assert word in letters
    counts = text.bincount(minlength=256).double() / len(text)
    entropy = -(counts * counts.clamp(min=1e-12).log()).sum().item()
    assert 2.5 < entropy < 4.0, "neither constant nor noise (which has 5.5 nats)"
    assert torch.equal(text, corpus())


def test_batches_are_pieces_of_the_text_and_the_same_for_the_same_seed():
    text = torch.arange(1000)
    pieces = batches(text, steps=40, rows=5, length=16, seed=3)
    assert len(pieces) == 40
    assert all(piece.shape == (5, 17) and piece.dtype == torch.int64 for piece in pieces)
    assert all((piece.diff(dim=1) == 1).all() for piece in pieces)
    again, other = (batches(text, 40, 5, 16, seed=seed) for seed in (3, 4))
    assert all(map(torch.equal, pieces, again))
    assert not any(map(torch.equal, pieces, other))
    starts = torch.cat([piece[:, 0] for piece in pieces])
    assert starts.unique().numel() > 150, "steps and rows differ"


def test_batches_reach_both_ends_of_the_text_and_leave_the_global_seed_alone():
    state = torch.get_rng_state()
    pieces = torch.cat(batches(torch.arange(12), 50, 4, 8, seed=0))
    assert set(pieces[:, 0].tolist()) == {0, 1, 2, 3}
    assert int(pieces.max()) == 11
    assert torch.equal(torch.get_rng_state(), state)


def test_it_learns():
    """From ln 256 = 5.55 nats to below what the frequencies of single bytes alone would give, 3.3."""
    lm = model(width=48, layers=1, heads=2, context=64)
    optimizer = torch.optim.AdamW(lm.parameters(), lr=1e-2)
    losses = []
    for batch in batches(corpus(), 30, rows=8, length=64, seed=0):
        loss = lm.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(256), abs=0.1)
    assert sum(losses[-5:]) / 5 < 3.3


def test_the_same_seed_makes_the_same_model():
    assert torch.equal(model()(tokens()), model()(tokens()))
    assert model().head.weight.std().item() == pytest.approx(0.02, rel=0.05)
