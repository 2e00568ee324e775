"""What trains the lightning indexer: it learns to predict where the main attention looks.

    p[t]  = sum over heads of softmax(q[t, h] . k * scale), divided by its sum        (the target, no gradient)
    loss  = mean over t of  KL( p[t] || softmax(I[t]) )                               (DeepSeek-V3.2-Exp report, eq. 3)

In the dense warm-up both run over every key that the query may see. In the sparse stage both run over the selected
keys S[t] alone (eq. 4), since the main attention then sees no others. The report sums over queries; the mean here
keeps the learning rate independent of the length. Choosing the top k has no gradient, so without this loss the
indexer never moves: transformers computes it under `no_grad` and ships no loss for it.
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dslab.attention.indexer import check_indexer, score_block, visible_keys

CHUNK = 128  # queries at a time; the scratch of a chunk is heads x chunk x keys


def attention_target(q: Tensor, k: Tensor, visible: Tensor, scale: float) -> Tensor:
    """Main attention summed over heads, L1-normalised: q (B, H, c, D), k (B, Hkv, n, D), visible (1 or B, c, n)
    -> (B, c, n), at least fp32; zero on hidden keys and on rows that see none. No gradient."""
    wide = torch.promote_types(q.dtype, torch.float32)
    grouped = q.detach().to(wide).unflatten(1, (k.shape[1], -1))  # (B, Hkv, G, c, D)
    scores = grouped @ k.detach().to(wide)[:, :, None].transpose(-1, -2) * scale
    weights = scores.masked_fill_(~visible[:, None, None], torch.finfo(wide).min).softmax(-1)
    return (weights.sum((1, 2)) / q.shape[1]).masked_fill(~visible, 0.0)


def _block_loss(
    index_q: Tensor, index_k: Tensor, index_w: Tensor, q: Tensor, k: Tensor, visible: Tensor, scale: float
) -> Tensor:
    """KL of each query of a chunk: (B, c)."""
    target = attention_target(q, k, visible, scale)
    scores = score_block(index_q, index_k, index_w, visible)
    model = scores.log_softmax(-1).masked_fill(~visible, 0.0)  # zero, not -inf: 0 * -inf would be nan
    return (torch.xlogy(target, target) - target * model).sum(-1)


def indexer_kl_loss(
    index_q: Tensor,
    index_k: Tensor,
    index_w: Tensor,
    q: Tensor,
    k: Tensor,
    *,
    scale: float | None = None,
    selected: Tensor | None = None,
    key_padding: Tensor | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Mean KL divergence (nats per query) from the main attention to the indexer's distribution; a scalar to minimise.

    index_q, index_k, index_w: as `indexer_scores` takes them; they get the gradient. q: (B, H, Lq, D) and k:
    (B, Hkv, Lk, D) of the main attention; they get none (detach the indexer's input too, as the report does).
    scale: of the main attention, D ** -0.5 by default. selected: (B, Lq, n) from `select_topk`, -1 allowed, restricts
    both distributions to these keys (the sparse stage); None is the dense warm-up. key_padding: (B, Lk) bool, True = a
    real token; queries at padded places do not count. Causal; chunked, so that nothing of size Lq x Lk is held.
    Raises ValueError naming the shapes received.
    """
    check_indexer(index_q, index_k, index_w, True, key_padding)
    batch, q_len, k_len = *index_q.shape[:2], index_k.shape[1]
    fits = q.ndim == k.ndim == 4 and q.shape[::2] == (batch, q_len) and k.shape[::2] == (batch, k_len)
    if not (fits and q.shape[3] == k.shape[3] and q.shape[1] % k.shape[1] == 0):
        raise ValueError(
            f"the main attention's q must be (B={batch}, H, Lq={q_len}, D) and k (B={batch}, Hkv, Lk={k_len}, D), "
            f"Hkv dividing H; got q {tuple(q.shape)}, k {tuple(k.shape)}"
        )
    if selected is not None and selected.shape[:-1] != (batch, q_len):
        raise ValueError(f"selected must be integers (B={batch}, Lq={q_len}, n); got {tuple(selected.shape)}")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    total, count = index_q.new_zeros((), dtype=torch.float32), 0
    for start in range(0, q_len, chunk):
        part = slice(start, min(start + chunk, q_len))
        visible = visible_keys(start, part.stop, q_len, k_len, True, key_padding, q.device).expand(batch, -1, -1)
        n = visible.shape[-1]
        if selected is not None:
            visible = visible & _members(selected[:, part], n)
        loss = checkpoint(  # the backward pass computes a chunk again instead of holding Lq x Lk of two distributions
            _block_loss, index_q[:, part], index_k[:, :n], index_w[:, part], q[:, :, part], k[:, :, :n], visible, scale,
            use_reentrant=False,
        )  # fmt: skip
        counts = visible.any(-1)
        if key_padding is not None:  # a query is real where the key at its own place is
            counts = counts & key_padding[:, k_len - q_len + start : k_len - q_len + part.stop]
        total = total + torch.where(counts, loss, 0.0).sum()
        count += int(counts.sum())
    return total / max(count, 1)


def _members(selected: Tensor, n: int) -> Tensor:
    """(B, c, m) indices, -1 or beyond n meaning none -> bool (B, c, n)."""
    index = selected.long().masked_fill((selected < 0) | (selected >= n), n)
    empty = torch.zeros(*index.shape[:2], n + 1, dtype=torch.bool, device=index.device)
    return empty.scatter_(-1, index, True)[..., :n]
