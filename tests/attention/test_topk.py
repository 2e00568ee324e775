"""Attention over chosen keys: equal to a dense mask, and nothing but the chosen keys is touched."""

import pytest
import torch
from torch.nn import functional as F

from dslab.attention.topk import count_once, scatter_attention, topk_attention


def make(batch=2, heads=4, kv_heads=1, q_len=37, k_len=41, width=8, value_width=6, chosen=9, dtype=torch.float64):
    g = torch.Generator().manual_seed(3)
    q = torch.randn(batch, heads, q_len, width, generator=g, dtype=dtype)
    k = torch.randn(batch, kv_heads, k_len, width, generator=g, dtype=dtype)
    v = torch.randn(batch, kv_heads, k_len, value_width, generator=g, dtype=dtype)
    indices = torch.randint(-1, k_len, (batch, q_len, chosen), generator=g)  # sentinels and duplicates as they fall
    return q, k, v, indices


def dense(q, k, v, indices, scale=None):
    """The definition, row by row in plain Python sets."""
    out = q.new_zeros(*q.shape[:3], v.shape[-1])
    group, scale = q.shape[1] // k.shape[1], q.shape[-1] ** -0.5 if scale is None else scale
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            choice = indices[b] if indices.ndim == 3 else indices[b, h // group]
            for t in range(q.shape[2]):
                keys = sorted({int(i) for i in choice[t] if i >= 0})
                if keys:
                    weights = (k[b, h // group, keys] @ q[b, h, t] * scale).softmax(0)
                    out[b, h, t] = weights @ v[b, h // group, keys]
    return out


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_equals_the_definition(kv_heads, scale):
    q, k, v, indices = make(kv_heads=kv_heads, q_len=13)
    expected = dense(q, k, v, indices, scale)
    torch.testing.assert_close(topk_attention(q, k, v, indices, scale=scale), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(scatter_attention(q, k, v, indices, scale=scale), expected, rtol=0, atol=1e-14)


def test_a_choice_per_key_head():
    q, k, v, _ = make(kv_heads=2, q_len=7)
    indices = torch.randint(-1, 41, (2, 2, 7, 5), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(topk_attention(q, k, v, indices), dense(q, k, v, indices), rtol=0, atol=1e-14)
    torch.testing.assert_close(scatter_attention(q, k, v, indices), dense(q, k, v, indices), rtol=0, atol=1e-14)


def test_duplicates_count_once():
    q, k, v, _ = make(q_len=1)
    once, thrice = torch.tensor([[[5, 9, -1, -1]]] * 2), torch.tensor([[[5, 9, 5, 5]]] * 2)
    assert torch.equal(topk_attention(q, k, v, once), topk_attention(q, k, v, thrice))
    assert count_once(thrice, 41).sum(-1).tolist() == [[2], [2]]


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_gradients_equal_dense_and_finite_differences(kv_heads, monkeypatch):
    monkeypatch.setattr("dslab.attention.topk.GATHER", 200)  # several chunks
    inputs = make(batch=1, kv_heads=kv_heads, heads=2, q_len=5, k_len=7, width=3, value_width=2, chosen=4)
    indices = inputs[3]
    indices[0, 2] = -1  # a query without any key
    qkv = [x.requires_grad_() for x in inputs[:3]]
    assert torch.autograd.gradcheck(lambda *x: topk_attention(*x, indices), qkv)
    ours = torch.autograd.grad(topk_attention(*qkv, indices).square().sum(), qkv)
    theirs = torch.autograd.grad(dense(*qkv, indices).square().sum(), qkv)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_a_query_without_keys_gives_zero_and_unchosen_keys_do_not_leak():
    q, k, v, indices = make(kv_heads=2)
    indices[0, 3] = -1
    indices = indices.masked_fill(indices == 0, 1)  # nobody chooses key 0 …
    q[0, :, 3] = torch.nan
    with torch.no_grad():
        k[:, :, 0], v[:, :, 0] = torch.nan, torch.inf  # … so what it holds must not matter
    qkv = [x.requires_grad_() for x in (q, k, v)]
    out = topk_attention(*qkv, indices)
    assert out.isfinite().all()
    assert (out[0, :, 3] == 0).all()
    grads = torch.autograd.grad(out.sum(), qkv)
    assert all(g.isfinite().all() for g in grads)
    assert (grads[0][0, :, 3] == 0).all()
    assert (grads[1][:, :, 0] == 0).all()


def test_all_keys_chosen_is_full_attention_and_chunks_do_not_matter(monkeypatch):
    q, k, v, _ = make(dtype=torch.float32)
    indices = torch.stack([torch.randperm(41) for _ in range(37)]).expand(2, -1, -1)
    full = F.scaled_dot_product_attention(q, k.expand(-1, 4, -1, -1), v.expand(-1, 4, -1, -1))
    whole = topk_attention(q, k, v, indices)
    torch.testing.assert_close(whole, full, rtol=0, atol=1e-6)
    monkeypatch.setattr("dslab.attention.topk.GATHER", 1)
    torch.testing.assert_close(topk_attention(q, k, v, indices), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_half_precision_and_strided_inputs(dtype, bound):
    q, k, v, indices = make(kv_heads=2)
    exact = dense(q, k, v, indices)
    q, k, v = (x.to(dtype).transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    out = topk_attention(q, k, v, indices.int())
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() < bound


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda q, k, v, i: (q, k[..., :4], v, i), "B, Hkv, Lk, D"),
        (lambda q, k, v, i: (q, k, v.float(), i), "one dtype"),
        (lambda q, k, v, i: (q, k, v, i[:, :3]), "indices must be integers"),
        (lambda q, k, v, i: (q, k, v, i.float()), "indices must be integers"),
        (lambda q, k, v, i: (q, k, v, i + 40), "0..40"),
        (lambda q, k, v, i: (q, k, v, i - 5), "-1 for 'no key'"),
    ],
)
def test_bad_input_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        topk_attention(*change(*make()))


def test_one_query_chunk_is_all_that_is_gathered():
    """The extra memory of a long call is one chunk, not Lq x k x D: seen through the largest tensor allocated."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.numel = max(self.numel, out.numel())
            return out

    q, k, v, indices = make(batch=1, q_len=4096, k_len=4096, width=64, value_width=64, chosen=128, dtype=torch.float32)
    with Largest() as seen, torch.no_grad():
        topk_attention(q, k, v, indices)
    assert seen.numel <= 2**22 < 4096**2 < 4096 * 128 * 64
