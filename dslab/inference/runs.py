"""Attention over memory in stretches: a sequence whose blocks are neighbours is read where it stands, without a copy.

A block table may name any blocks, but gathering them costs about as much as attending to them. The pool gives
neighbours where it can, so that most tables are one stretch, or two where a beginning is shared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MANY = 6  # more stretches than this are gathered first: each costs two products

Run = tuple[int, int]  # (first slot, tokens)


def runs_of(table: Sequence[int], block: int, tokens: int) -> list[Run]:
    """The stretches of memory in which a sequence's first `tokens` tokens stand, in order.

    >>> runs_of([4, 5, 2], block=16, tokens=40)
    [(64, 32), (32, 8)]
    """
    runs: list[Run] = []
    for start, id in zip(range(0, tokens, block), table, strict=False):
        here, n = id * block, min(block, tokens - start)
        if runs and sum(runs[-1]) == here:
            runs[-1] = runs[-1][0], runs[-1][1] + n
        else:
            runs.append((here, n))
    return runs


def scaled(q: Tensor, scale: float | None) -> Tensor:
    """q times scale, by default 1 / sqrt(D), in at least fp32: half precision is for storage, not for the sums."""
    return q.to(torch.promote_types(q.dtype, torch.float32)) * (q.shape[-1] ** -0.5 if scale is None else scale)


def attend_one(q: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """One token's attention, (Hkv, G, Dv). q (Hkv, G, Dk), scaled; per stretch keys (Hkv, Dk, n), values (Hkv, n, Dv).

    Two products and a softmax: for the few query rows of one token, half the time of `scaled_dot_product_attention`.
    """
    if len(keys) == 1:
        return torch.bmm(torch.bmm(q, keys[0]).softmax(-1), values[0])
    weights = torch.cat([torch.bmm(q, part) for part in keys], -1).softmax(-1)
    out, at = None, 0
    for part in values:
        share = weights.narrow(-1, at, part.shape[1])
        out = torch.bmm(share, part) if out is None else out.baddbmm_(share, part)
        at += part.shape[1]
    assert out is not None
    return out


class Cuts:
    """The stretches of many sequences, cut out of a layer's memory once each; for all layers of a step.

    Cutting is what a small step's time goes to: one `split` instead of a `narrow` for each, where none overlap.
    """

    def __init__(self, wanted: Sequence[Sequence[Run]], slots: int) -> None:
        self.runs = sorted({run for runs in wanted for run in runs})
        number = {run: i for i, run in enumerate(self.runs)}
        self.numbers = [[number[run] for run in runs] for runs in wanted]
        self.sizes: list[int] | None = []
        at = 0
        for start, n in self.runs:
            if start < at:
                self.sizes = None
                break
            self.sizes += [start - at, n]
            at = start + n
        else:
            self.sizes.append(slots - at)

    def __call__(self, x: Tensor, dim: int, dtype: torch.dtype) -> list[list[Tensor]]:
        """For each sequence its stretches of x along dim, in the dtype that sums are made in."""
        if self.sizes is None:
            pieces = [x.narrow(dim, start, n) for start, n in self.runs]
        else:
            pieces = list(x.split(self.sizes, dim)[1::2])
        if x.dtype != dtype:
            pieces = [piece.to(dtype) for piece in pieces]
        return [[pieces[i] for i in numbers] for numbers in self.numbers]
