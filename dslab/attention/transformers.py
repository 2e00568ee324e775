"""Our masks as an attention implementation of transformers: any decoder, with padding, cache, `generate` and training.

    register(causal() & (local_window(256) | sinks(4)))
    model.set_attn_implementation("dslab_sparse")

transformers calls two functions: one when a forward pass starts, to make "the attention mask", one in every layer. Ours
makes no mask. It makes a *layout*: the position of every key slot and of every query, counted from the row's first
real token, -1 for padding and for slots not yet filled. It travels as an integer tensor (B, 1, 1, Lk + Lq + 1), four
dimensions since `generate` hands such masks on untouched; the last number is the model's own sliding window (0: none).
A query sees what our mask allows AND what the model allows: its past, and its own window if it has one.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dslab.attention.masks import Mask
from dslab.attention.patterns import causal, local_window
from dslab.attention.sparse import sparse_attention


def register(mask: Mask, name: str = "dslab_sparse") -> str:
    """Make `model.set_attn_implementation(name)` attend by this mask; returns the name.

    Registering a name again replaces its mask. Positions count from each row's first real token, so a left-padded
    prompt gives the logits of the unpadded one; sinks and global tokens take those keys that exist yet. Pass padding as
    the usual 2-D `attention_mask`. Refused with a ValueError in the forward pass: attention dropout, learned sink
    logits, soft-capped scores, attention weights as output, packed sequences, chunked and bidirectional attention, and
    a 4-D mask of the caller's. Not for `torch.compile`: grouping rows by their padding depends on the data.
    """
    if not isinstance(mask, Mask):
        raise ValueError(f"register takes a dslab.attention Mask such as causal(); got {type(mask).__name__}")
    if not name or any(taken in name for taken in ("sdpa", "flex_attention", "flash", "eager", "|", "/")):
        raise ValueError(f"transformers gives names like {name!r} a meaning of its own; choose one like 'dslab_window'")
    from transformers import AttentionInterface, AttentionMaskInterface

    @cache
    def within(window: int) -> Mask:
        return mask.lenient() & causal() & local_window(window) if window else mask.lenient() & causal()

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
        scaling: float | None = None, dropout: float = 0.0, **options: Any,
    ) -> tuple[Tensor, None]:  # fmt: skip
        _refuse_options(name, module, dropout, options)
        layout = _check_layout(name, attention_mask, query.shape[2], key.shape[2])
        out = _by_layout(query, key, value, layout, within(int(layout[0, -1])), scaling)
        return out.transpose(1, 2).contiguous(), None  # (B, L, H, D), and no weights

    AttentionInterface.register(name, attention)
    # Without a mask function of that name transformers would pass None and drop the padding without a word.
    AttentionMaskInterface.register(name, layout_of)
    return name


def layout_of(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Tensor] | None = None,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    config: Any = None,
    **_: Any,
) -> Tensor:
    """The mask function, called by transformers with these names: a layout (B, 1, 1, kv_length + q_length + 1) int64.

    kv_offset: slot 0 of the keys holds token kv_offset (a sliding cache has dropped those before); slots past the
    newest token are empty (a static cache). attention_mask: (B, tokens so far) bool, True = real, or None.
    """
    q_offset = int(q_offset)
    _refuse_model(mask_function, batch_size, q_length, q_offset, use_vmap, local_size, config, device)
    seen = q_offset + q_length
    if attention_mask is None:
        attention_mask = torch.ones(batch_size, seen, dtype=torch.bool, device=device)
    if attention_mask.shape[1] < seen:
        raise ValueError(
            f"attention_mask must cover the {seen} tokens so far (cached ones too); got {tuple(attention_mask.shape)}"
        )
    real = attention_mask[:, :seen].bool()
    position = torch.arange(seen, device=device) - real.int().argmax(1, keepdim=True)  # argmax: the first real token
    position = position.masked_fill(~real, -1)
    keys = F.pad(position, (0, max(0, kv_offset + kv_length - seen)), value=-1)[:, kv_offset : kv_offset + kv_length]
    window = position.new_full((batch_size, 1), local_size or 0)
    return torch.cat([keys, position[:, q_offset:], window], dim=1)[:, None, None]


def _by_layout(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, mask: Mask, scale: float | None) -> Tensor:
    """Rows with the same padding together: query (B, H, Lq, D), layout (B, Lk + Lq + 1) -> (B, H, Lq, Dv)."""
    if bool((layout == layout[:1]).all()):
        return _one_layout(query, key, value, layout[0], mask, scale)
    kinds, kind_of_row = torch.unique(layout, dim=0, return_inverse=True)
    out = query.new_zeros(*query.shape[:3], value.shape[-1])
    for kind, row_layout in enumerate(kinds):
        rows = (kind_of_row == kind).nonzero().flatten()
        out = out.index_copy(0, rows, _one_layout(query[rows], key[rows], value[rows], row_layout, mask, scale))
    return out


def _one_layout(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, mask: Mask, scale: float | None) -> Tensor:
    """Rows of one layout (Lk + Lq + 1,): attention of the real part, zeros for padded queries."""
    k_position, q_position, _ = layout.split([key.shape[2], query.shape[2], 1])
    real_queries, real_keys = (q_position >= 0).nonzero().flatten(), (k_position >= 0).nonzero().flatten()
    if len(real_queries) == 0:
        return query.new_zeros(*query.shape[:3], value.shape[-1])
    first_q, last_q, first_k = int(real_queries[0]), int(real_queries[-1]), int(real_keys[0])
    oldest, newest = int(k_position[first_k]), int(q_position[last_q])
    # Slots follow each other, so the newest query's own key is this one; beyond it are padding and empty slots.
    past_k = first_k + newest - oldest + 1
    k_real = k_position[first_k:past_k] >= 0
    k, v = key[:, :, first_k:past_k], value[:, :, first_k:past_k]
    q = query[:, :, first_q : last_q + 1]
    q_at = torch.arange(newest + 1 - q.shape[2], newest + 1, device=layout.device)
    mask.check(q.shape[2], newest + 1, newest + 1 - q.shape[2])
    if q.shape[2] == 1 or oldest > 0:  # decoding, or a sliding cache whose first key is not token 0
        k_at = torch.arange(oldest, newest + 1, device=layout.device)
        out = _over_columns(q, k, v, mask.allowed(q_at[:, None], k_at[None, :]) & k_real, scale)
    else:
        padding = None if bool(k_real.all()) else k_real.expand(len(k), -1)
        out = sparse_attention(q, k, v, mask, scale=scale, key_padding=padding)
    if len(real_queries) < query.shape[2]:
        out = F.pad(out, (0, 0, first_q, query.shape[2] - last_q - 1))
        out = out.masked_fill((q_position < 0)[:, None], 0.0)
    return out


def _over_columns(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor, scale: float | None) -> Tensor:
    """Few queries: dense attention over the keys that any of them may see; allowed (Lq, Lk) bool."""
    columns = allowed.any(0).nonzero().flatten()
    if len(columns) == 0:
        return q.new_zeros(*q.shape[:3], v.shape[-1])
    if len(columns) < k.shape[2]:
        k, v, allowed = k.index_select(2, columns), v.index_select(2, columns), allowed[:, columns]
    grouped = q.shape[1] != k.shape[1]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=scale, enable_gqa=grouped)
    return out.masked_fill(~allowed.any(1)[:, None], 0.0)


def _check_layout(name: str, layout: Tensor | None, q_len: int, k_len: int) -> Tensor:
    if layout is None or layout.ndim != 4 or layout.dtype != torch.int64:
        got = "none" if layout is None else f"{layout.dtype} {tuple(layout.shape)}"
        raise ValueError(
            f"{name!r} brings its own mask and needs padding as a 2-D attention_mask (B, L), 1 for a real token; "
            f"the attention layer received {got} (a 4-D mask of the caller's, or a model that builds its own)"
        )
    if layout.shape[-1] != k_len + q_len + 1:
        raise ValueError(
            f"{name!r} laid out {layout.shape[-1] - 1} keys and queries, but the layer has Lk={k_len} and Lq={q_len}: "
            "this model cuts or extends its mask, or attends across two sequences, which is not supported"
        )
    return layout[:, 0, 0]


def _refuse_options(name: str, module: nn.Module, dropout: float, options: dict[str, Any]) -> None:
    """Say no to what would otherwise be ignored without a word."""
    unsupported = {
        "s_aux": "learned sink logits (s_aux)",
        "softcap": "soft-capped scores (softcap)",
        "position_bias": "a position bias",
        "indices": "key indices of the model's own indexer",
        "cache": "a paged cache",
    }
    for option, words in unsupported.items():
        if options.get(option) is not None:
            raise ValueError(f"{name!r} does not support {words}, which {type(module).__name__} uses; use 'eager'")
    if options.get("output_attentions"):
        raise ValueError(f"{name!r} never forms attention weights; use 'eager' for output_attentions=True")
    if dropout:
        raise ValueError(f"{name!r} has no dropout; got {dropout}: set the model's attention_dropout to 0")


def _refuse_model(
    mask_function: Callable[..., Tensor] | None, batch: int, q_length: int, q_offset: int, use_vmap: bool,
    window: int | None, config: Any, device: torch.device | str,
) -> None:  # fmt: skip
    """Refuse a model whose own mask is more than "the past, perhaps in a window": ours could not honour it."""
    if getattr(config, "index_topk", None) is not None:
        raise ValueError(f"{type(config).__name__} chooses its own keys (index_topk); use 'eager' or 'sdpa'")
    if use_vmap or getattr(config, "attention_chunk_size", None) is not None:
        raise ValueError(f"{type(config).__name__} adds patterns to its causal mask that dslab masks cannot honour")
    if mask_function is None or q_length < 2:
        return
    # Two diagonals of the model's mask tell: the next token must be hidden, the one before visible.
    row = torch.arange(batch, device=device)[:, None]
    earlier = torch.arange(q_offset, q_offset + q_length - 1, device=device)[None]
    if bool(mask_function(row, torch.zeros_like(row), earlier, earlier + 1).any()):
        raise ValueError("the model lets tokens see later ones (bidirectional); dslab masks plug into decoders only")
    if window != 1 and not bool(mask_function(row, torch.zeros_like(row), earlier + 1, earlier).all()):
        raise ValueError(
            "position_ids restart within a row: packed sequences. Pass an attention_mask and one sequence per row, or "
            "call sparse_attention with causal() & document(ids)"
        )
