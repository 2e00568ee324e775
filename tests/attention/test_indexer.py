"""The lightning indexer: transformers' scores on the same weights, and a loss that makes it learn."""

import pytest
import torch
from torch.nn import functional as F

from dslab.attention.indexer import LightningIndexer, indexer_scores, indexer_topk, select_topk
from dslab.attention.indexer_loss import attention_target, indexer_kl_loss

MLA = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 64,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
    "q_lora_rank": 32,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "first_k_dense_replace": 1,
    "max_position_embeddings": 512,
    "index_topk": 16,
    "index_head_dim": 16,
    "index_n_heads": 4,
}


@pytest.fixture(scope="module")
def v32():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model("deepseek_v32", **MLA)
    config._attn_implementation = "eager"
    return transformers.AutoModelForCausalLM.from_config(config)


def rows(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain_scores(q, k, w):
    """The formula of the report with every head held at once."""
    heads, width = q.shape[2:]
    products = torch.einsum("bthd,bsd->bths", q, k).relu() * width**-0.5
    return torch.einsum("bths,bth->bts", products, w * heads**-0.5)


def test_scores_and_selection_equal_transformers(v32, monkeypatch):
    from transformers.models.deepseek_v32 import modeling_deepseek_v32 as theirs

    length, indexer = 200, v32.model.layers[1].self_attn.indexer
    hidden, q_compressed = rows(2, length, 64), rows(2, length, 32, seed=1)
    position_ids = torch.arange(length).expand(2, -1)
    rotary = theirs.DeepseekV32RotaryEmbedding(v32.config)(hidden, position_ids)
    causal = torch.full((length, length), float("-inf")).triu(1).expand(2, -1, -1)
    scores: list[torch.Tensor] = []
    topk = torch.Tensor.topk
    monkeypatch.setattr(torch.Tensor, "topk", lambda x, *a, **kw: (scores.append(x), topk(x, *a, **kw))[1])
    their_choice = indexer(hidden, q_compressed, rotary, causal, position_ids)
    monkeypatch.undo()

    ours = LightningIndexer(64, 32, n_heads=4, head_dim=16)
    ours.load_state_dict(indexer.state_dict())
    with torch.no_grad():
        our_scores = ours(hidden, q_compressed, rotary)
        our_choice = indexer_topk(*ours.project(hidden, q_compressed, rotary), 16, chunk=64)
    seen = scores[0] > float("-inf")
    assert torch.equal(seen, our_scores > float("-inf"))
    assert (our_scores - scores[0])[seen].abs().max() <= 1e-6
    untied = 0
    for b in range(2):
        for t in range(length):
            ordered = scores[0][b, t, : t + 1].sort(descending=True).values
            if t >= 16 and ordered[15] - ordered[16] < 1e-6:
                continue  # a tie at the border: either choice is right
            untied += 1
            expected = {int(s) for s in their_choice[b, t] if s <= t}
            assert {int(s) for s in our_choice[b, t] if s >= 0} == expected
    assert untied > 0.9 * 2 * length


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_offsets_and_gradients(chunk):
    q, k, w = rows(2, 19, 3, 5), rows(2, 26, 5, seed=1), rows(2, 19, 3, seed=2)
    future = torch.arange(26) > torch.arange(19)[:, None] + 7  # the last query stands on the last key
    expected = plain_scores(q, k, w).masked_fill(future, float("-inf"))
    torch.testing.assert_close(indexer_scores(q, k, w, chunk=chunk), expected, rtol=0, atol=1e-6)
    inputs = [x.requires_grad_() for x in (q, k, w)]
    ours, plain = (
        torch.autograd.grad(f().masked_fill(future, 0.0).square().sum(), inputs)
        for f in (lambda: indexer_scores(q, k, w, chunk=chunk), lambda: plain_scores(q, k, w))
    )
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_padding_and_few_keys_give_sentinels():
    q, k, w = rows(1, 6, 2, 4), rows(1, 6, 4, seed=1), rows(1, 6, 2, seed=2)
    real = torch.tensor([[False, False, True, True, True, True]])
    choice = indexer_topk(q, k, w, 3, key_padding=real)
    assert [sorted(row) for row in choice[0].tolist()][:4] == [[-1, -1, -1], [-1, -1, -1], [-1, -1, 2], [-1, 2, 3]]
    assert choice.max() <= 5
    assert (choice[0, 5] >= 2).all()
    assert indexer_topk(q, k, w, 50).shape == (1, 6, 50)
    whole = select_topk(indexer_scores(q, k, w, key_padding=real), 3)
    assert torch.equal(whole.sort(-1).values, choice.sort(-1).values)


def test_nothing_of_length_squared_times_heads_is_held():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.numel = max(self.numel, out.numel())
            return out

    length = 1024
    q, k, w = rows(1, length, 8, 4), rows(1, length, 4), rows(1, length, 8)
    with Largest() as scores:
        indexer_scores(q, k, w)
    with Largest() as chosen:
        indexer_topk(q, k, w, 16)
    assert scores.numel == length**2
    assert chosen.numel <= 256 * length


def test_bad_input_is_refused():
    q, k, w = rows(1, 6, 2, 4), rows(1, 6, 4), rows(1, 6, 2)
    with pytest.raises(ValueError, match=r"k \(1, 6, 3\)"):
        indexer_scores(q, k[..., :3], w)
    with pytest.raises(ValueError, match="Lq=6, Lk=5"):
        indexer_scores(q, k[:, :5], w)
    with pytest.raises(ValueError, match="True for a real token"):
        indexer_scores(q, k, w, key_padding=torch.ones(1, 6))
    with pytest.raises(ValueError, match=r"1\.\.6"):
        select_topk(torch.zeros(1, 2, 6), 7)
    with pytest.raises(ValueError, match="at least 1"):
        indexer_topk(q, k, w, 0)
    with pytest.raises(ValueError, match="Hkv dividing H"):
        indexer_kl_loss(q, k, w, rows(1, 3, 6, 4), rows(1, 2, 6, 4))


# --- the loss ---------------------------------------------------------------------------------------------------------


def plain_loss(index_q, index_k, index_w, q, k, allowed):
    """The report's equations with torch's own KL, query by query."""
    total, count = 0.0, 0
    scores, group = plain_scores(index_q, index_k, index_w), q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for t in range(q.shape[2]):
            keys = allowed[b, t].nonzero().flatten()
            if len(keys) == 0:
                continue
            heads = [k[b, h // group, keys] @ q[b, h, t] * q.shape[-1] ** -0.5 for h in range(q.shape[1])]
            target = torch.stack([h.softmax(0) for h in heads]).sum(0)
            target = target / target.abs().sum()
            total = total + F.kl_div(scores[b, t, keys].log_softmax(0), target, reduction="sum")
            count += 1
    return total / count


@pytest.mark.parametrize("kind", ["dense", "sparse", "padded", "offset"])
def test_loss_and_gradient_equal_the_report(kind):
    q_len, k_len = (11, 11) if kind != "offset" else (5, 11)
    double = torch.float64
    index = [rows(2, q_len, 3, 4, dtype=double), rows(2, k_len, 4, seed=1, dtype=double),
             rows(2, q_len, 3, seed=2, dtype=double)]  # fmt: skip
    q, k = 2 * rows(2, 4, q_len, 6, seed=3, dtype=double), rows(2, 2, k_len, 6, seed=4, dtype=double)
    allowed = (torch.arange(k_len) <= torch.arange(q_len)[:, None] + k_len - q_len).expand(2, -1, -1).clone()
    options: dict = {}
    if kind == "sparse":
        options["selected"] = select_topk(indexer_scores(*index), 4)
        chosen = torch.zeros(2, q_len, k_len + 1, dtype=torch.bool)
        allowed &= chosen.scatter(2, options["selected"] % (k_len + 1), True)[..., :k_len]
    if kind == "padded":
        real = torch.ones(2, k_len, dtype=torch.bool)
        real[0, :3] = False
        real[1, 9:] = False
        options["key_padding"] = real
        allowed &= real[:, None, :] & real[:, :, None]
    index = [x.requires_grad_() for x in index]
    main = [x.requires_grad_() for x in (q, k)]
    ours = indexer_kl_loss(*index, *main, chunk=4, **options)
    plain = plain_loss(*index, q.detach(), k.detach(), allowed)
    torch.testing.assert_close(ours.double(), plain, rtol=1e-6, atol=1e-7)
    grads = torch.autograd.grad(ours, [*index, *main], allow_unused=True)
    assert grads[3] is None
    assert grads[4] is None  # the main attention is the teacher
    for a, b in zip(grads, torch.autograd.grad(plain, index), strict=False):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def recall(scores, target, kept):
    """Share of the attention mass that lies on the keys the indexer selects."""
    chosen = select_topk(scores.detach(), kept)
    return float(target.gather(2, chosen.clamp(min=0)).masked_fill(chosen < 0, 0.0)[:, kept:].sum(-1).mean())


@pytest.mark.parametrize("stage", ["dense", "sparse"])
def test_a_few_steps_teach_the_indexer(stage):
    torch.manual_seed(0)
    length, kept, hidden = 96, 12, rows(2, 96, 32)
    to_q, to_k = rows(4, 32, 16, seed=7) / 4, rows(1, 32, 16, seed=8) / 4  # a teacher that can be learnt
    q, k = hidden[:, None] @ to_q, hidden[:, None] @ to_k
    indexer = LightningIndexer(32, 32, n_heads=4, head_dim=16)
    rotary = torch.ones(2, length, 8), torch.zeros(2, length, 8)  # no rotation
    visible = torch.ones(length, length, dtype=torch.bool).tril()[None]
    target = attention_target(q, k, visible, 16**-0.5)
    optimizer = torch.optim.SGD(indexer.parameters(), lr=1.0, momentum=0.9)
    before = recall(indexer(hidden, hidden, rotary), target, kept)
    losses = []
    for _ in range(60):
        projected = indexer.project(hidden, hidden, rotary)
        selected = indexer_topk(*projected, 48) if stage == "sparse" else None
        loss = indexer_kl_loss(*projected, q, k, selected=selected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    after = recall(indexer(hidden, hidden, rotary), target, kept)
    best = recall(target, target, kept)
    print(f"{stage}: KL {losses[0]:.3f} -> {losses[-1]:.3f}; recall {before:.2f} -> {after:.2f} (best {best:.2f})")
    assert losses[-1] < 0.7 * losses[0]
    assert after > before + 0.1


def test_transformers_gives_its_indexer_no_gradient(v32):
    tokens = torch.randint(0, 64, (1, 40), generator=torch.Generator().manual_seed(0))
    v32(tokens, labels=tokens).loss.backward()
    of_indexer = {name: p.grad for name, p in v32.named_parameters() if ".indexer." in name}
    others = [p.grad for name, p in v32.named_parameters() if ".self_attn." in name and ".indexer." not in name]
    v32.zero_grad()
    assert len(of_indexer) == 10  # five in each of the two layers
    assert all(grad is None for grad in of_indexer.values())
    assert all(grad is not None for grad in others)
