"""Sparse attention: masks that compose, a block plan, and attention that computes only what the plan names.

    mask = causal() & (local_window(256) | global_tokens([0, 1]))
    out = sparse_attention(q, k, v, mask)

Names are imported on first use, so that what needs transformers or matplotlib costs nothing until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslab.lazy import lazy

if TYPE_CHECKING:
    from dslab.attention.block_sparse import block_sparse_attention as block_sparse_attention
    from dslab.attention.flex import block_mask as block_mask
    from dslab.attention.indexer import LightningIndexer as LightningIndexer
    from dslab.attention.indexer import indexer_scores as indexer_scores
    from dslab.attention.indexer import indexer_topk as indexer_topk
    from dslab.attention.indexer import select_topk as select_topk
    from dslab.attention.indexer_loss import indexer_kl_loss as indexer_kl_loss
    from dslab.attention.masks import EMPTY as EMPTY
    from dslab.attention.masks import FULL as FULL
    from dslab.attention.masks import PARTIAL as PARTIAL
    from dslab.attention.masks import Mask as Mask
    from dslab.attention.patterns import causal as causal
    from dslab.attention.patterns import global_tokens as global_tokens
    from dslab.attention.patterns import local_window as local_window
    from dslab.attention.patterns import sinks as sinks
    from dslab.attention.patterns import strided as strided
    from dslab.attention.plan import Plan as Plan
    from dslab.attention.plan import make_plan as make_plan
    from dslab.attention.reference import reference_attention as reference_attention
    from dslab.attention.sparse import Choice as Choice
    from dslab.attention.sparse import choose_backend as choose_backend
    from dslab.attention.sparse import sparse_attention as sparse_attention
    from dslab.attention.tables import bigbird as bigbird
    from dslab.attention.tables import blocks as blocks
    from dslab.attention.tables import document as document
    from dslab.attention.tables import random_blocks as random_blocks
    from dslab.attention.topk import scatter_attention as scatter_attention
    from dslab.attention.topk import topk_attention as topk_attention
    from dslab.attention.transformers import register as register

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
