"""DeepSeek-V3.2's lightning indexer: a cheap score that says which keys a query should attend to.

    I[t, s] = sum over h of  w[t, h] * relu(q[t, h] . k[s])      (DeepSeek-V3.2-Exp report, eq. 1)
    S[t]    = the k keys s with the largest I[t, s]              (eq. 2)

It is still quadratic in the length, but with few heads, one shared key head and no values. Names and layout of the
parameters are those of transformers' `DeepseekV32Indexer`, so a state dict loads as it is. Two things differ: the
score is computed in chunks of queries, head by head, so nothing of size L x L x heads ever exists; and gradients flow
(train it with `indexer_kl_loss`), whereas transformers runs its indexer under `no_grad`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK = 256  # queries at a time: 256 x 8192 fp32 scores are 8 MB, about what a core's caches hold


def visible_keys(
    start: int, stop: int, q_len: int, k_len: int, causal: bool, key_padding: Tensor | None, device: torch.device
) -> Tensor:
    """Which keys queries start..stop may see: bool (1 or B, stop - start, n), n = keys not entirely in the future.

    The last query stands on the last key, so query i is at position i + k_len - q_len.
    key_padding: (B, k_len) bool, True = a real token.
    """
    n = min(k_len, stop + k_len - q_len) if causal else k_len
    key = torch.arange(n, device=device)
    query = torch.arange(start, stop, device=device)[:, None] + (k_len - q_len)
    visible = (key <= query) if causal else torch.ones(stop - start, n, dtype=torch.bool, device=device)
    return visible[None] if key_padding is None else visible[None] & key_padding[:, None, :n]


def score_block(q: Tensor, k: Tensor, w: Tensor, visible: Tensor) -> Tensor:
    """Scores of one chunk: q (B, c, H, D), k (B, n, D), w (B, c, H), visible (1 or B, c, n) -> (B, c, n)."""
    wide = torch.promote_types(q.dtype, torch.float32)
    q, k, w = q.to(wide), k.to(wide), w.to(wide)
    w = w * (q.shape[2] ** -0.5 * q.shape[3] ** -0.5)  # relu(c x) = c relu(x) for c > 0: both scales act on w alone
    keys = k.transpose(1, 2)
    scores = q.new_zeros(q.shape[0], q.shape[1], k.shape[1])
    for head in range(q.shape[2]):  # head by head: a chunk's scratch is c x n, whatever the number of heads
        scores.addcmul_(torch.relu_(q[:, :, head] @ keys), w[:, :, head, None])
    return scores.masked_fill_(~visible, float("-inf"))


def check_indexer(q: Tensor, k: Tensor, w: Tensor, causal: bool, key_padding: Tensor | None) -> None:
    """Raise ValueError if the arguments of the indexer do not fit each other."""
    fits = q.ndim == 4 and k.ndim == 3 and w.shape == q.shape[:3] and k.shape[::2] == q.shape[::3]
    if not fits:
        raise ValueError(
            "the indexer takes q (B, Lq, H, D), k (B, Lk, D) and w (B, Lq, H); "
            f"got q {tuple(q.shape)}, k {tuple(k.shape)}, w {tuple(w.shape)}"
        )
    if causal and q.shape[1] > k.shape[1]:
        raise ValueError(f"a causal indexer needs Lq <= Lk; got Lq={q.shape[1]}, Lk={k.shape[1]}")
    if key_padding is not None and (key_padding.shape != k.shape[:2] or key_padding.dtype != torch.bool):
        raise ValueError(
            f"key_padding must be bool {tuple(k.shape[:2])}, True for a real token; "
            f"got {key_padding.dtype} {tuple(key_padding.shape)}"
        )


def score_chunks(
    q: Tensor, k: Tensor, w: Tensor, *, causal: bool = True, key_padding: Tensor | None = None, chunk: int = CHUNK
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield (start, stop, scores of queries start..stop over the first n keys), as `indexer_scores` defines them."""
    check_indexer(q, k, w, causal, key_padding)
    trains = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, w))
    for start in range(0, q.shape[1], chunk):
        stop = min(start + chunk, q.shape[1])
        visible = visible_keys(start, stop, q.shape[1], k.shape[1], causal, key_padding, q.device)
        parts = (q[:, start:stop], k[:, : visible.shape[-1]], w[:, start:stop], visible)
        # Autograd would keep every head's relu for the backward pass; recomputing a chunk costs less than holding it.
        yield start, stop, checkpoint(score_block, *parts, use_reentrant=False) if trains else score_block(*parts)


def indexer_scores(
    q: Tensor, k: Tensor, w: Tensor, *, causal: bool = True, key_padding: Tensor | None = None, chunk: int = CHUNK
) -> Tensor:
    """Index scores of every query over every key; -inf where the key may not be seen.

    q: (B, Lq, H, D) index queries; k: (B, Lk, D) one key head shared by all; w: (B, Lq, H) weights of the heads,
    unscaled (D ** -0.5 and H ** -0.5 are applied here). key_padding: (B, Lk) bool, True = a real token.
    Returns (B, Lq, Lk), at least fp32. Differentiable. For selection alone use `indexer_topk`, which holds no Lq x Lk.

    >>> q = torch.tensor([[[[1.0]], [[1.0]]]])                 # B = 1, two queries, one head of width 1
    >>> indexer_scores(q, torch.tensor([[[-1.0], [2.0]]]), torch.ones(1, 2, 1)).tolist()
    [[[0.0, -inf], [0.0, 2.0]]]
    """
    hidden = float("-inf")
    blocks = [
        nn.functional.pad(scores, (0, k.shape[1] - scores.shape[-1]), value=hidden)
        for _, _, scores in score_chunks(q, k, w, causal=causal, key_padding=key_padding, chunk=chunk)
    ]
    return torch.cat(blocks, dim=1)


def select_topk(scores: Tensor, k: int, *, ordered: bool = True) -> Tensor:
    """Keep the k best-scored keys of each query.

    scores: (B, Lq, Lk) float; keys that may not be seen must be -inf. k: keys kept per query, 1 <= k <= Lk.
    Returns (B, Lq, k) int64 key indices, best first (any order if not `ordered`, which is faster); -1 where a query
    sees fewer than k keys. The order among equal scores, and which of them are kept, is not defined: ReLU makes many.

    >>> select_topk(torch.tensor([[[1.0, 3.0, 2.0], [1.0, -torch.inf, -torch.inf]]]), 2).tolist()
    [[[1, 2], [0, -1]]]
    """
    if not 1 <= k <= scores.shape[-1]:
        raise ValueError(f"k must lie in 1..{scores.shape[-1]} (the keys of scores {tuple(scores.shape)}); got {k}")
    best, index = scores.topk(k, dim=-1, sorted=ordered)
    return index.masked_fill_(best == float("-inf"), -1)


@torch.no_grad()
def indexer_topk(
    q: Tensor, k: Tensor, w: Tensor, topk: int, *, causal: bool = True, key_padding: Tensor | None = None,
    chunk: int = CHUNK,
) -> Tensor:  # fmt: skip
    """Score and select chunk by chunk: (B, Lq, topk) int64, in no particular order, -1 where fewer keys are seen.

    Arguments as `indexer_scores`; topk may exceed the number of keys. Peak scratch is B x chunk x Lk, not B x Lq x Lk.
    """
    if topk < 1:
        raise ValueError(f"topk must be at least 1; got {topk}")
    chosen = torch.full((q.shape[0], q.shape[1], topk), -1, device=q.device)
    for start, stop, scores in score_chunks(q, k, w, causal=causal, key_padding=key_padding, chunk=chunk):
        here = min(topk, scores.shape[-1])
        chosen[:, start:stop, :here] = select_topk(scores, here, ordered=False)
    return chosen


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of the first cos.shape[-1] channels, pairs (i, i + half); the other channels pass."""
    width = cos.shape[-1]
    first, second = x[..., :width].chunk(2, dim=-1)
    turned = x[..., :width] * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([turned, x[..., width:]], dim=-1)


class LightningIndexer(nn.Module):
    """The indexer with its projections: queries from the compressed query, keys and weights from the hidden state.

    The half-split rotary embedding is the indexer's own; DeepSeek's main attention interleaves its pairs.
    Left out, as in transformers: the Hadamard rotation (it changes no dot product) and FP8.
    """

    def __init__(self, hidden_size: int, q_lora_rank: int, n_heads: int = 64, head_dim: int = 128) -> None:
        super().__init__()
        self.n_heads, self.head_dim = n_heads, head_dim
        self.wq_b = nn.Linear(q_lora_rank, n_heads * head_dim, bias=False)
        self.wk = nn.Linear(hidden_size, head_dim, bias=False)
        self.k_norm = nn.LayerNorm(head_dim, eps=1e-6)
        self.weights_proj = nn.Linear(hidden_size, n_heads, bias=False)

    def project(
        self, hidden: Tensor, q_compressed: Tensor, position_embeddings: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """hidden (B, L, hidden_size), q_compressed (B, L, q_lora_rank), (cos, sin) each (B, L, rope width)
        -> q (B, L, H, D), k (B, L, D), w (B, L, H), ready for `indexer_scores`. Cache k to decode."""
        cos, sin = position_embeddings
        q = self.wq_b(q_compressed).unflatten(-1, (self.n_heads, self.head_dim))
        q = _rotate(q, cos.unsqueeze(2), sin.unsqueeze(2))
        return q, _rotate(self.k_norm(self.wk(hidden)), cos, sin), self.weights_proj(hidden)

    def forward(
        self, hidden: Tensor, q_compressed: Tensor, position_embeddings: tuple[Tensor, Tensor],
        key_padding: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Causal index scores (B, L, L) of one sequence over itself; see `project` for the arguments."""
        return indexer_scores(*self.project(hidden, q_compressed, position_embeddings), key_padding=key_padding)
