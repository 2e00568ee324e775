"""Examples that begin alike in one sequence: what they share is computed once.

The prompts of a task repeat their instruction. Padded side by side, a batch computes it for every row; packed, the rows
stand one behind the other, the shared beginning once in front of them, and a mask lets each token see the beginning and
its own row:

    [beginning] [rest of row 1] [rest of row 2] [rest of row 3]

Each row counts its positions on from the beginning, as if the others were not there, so loss and gradients are those of
the rows by themselves. After Krell et al. 2021, arXiv 2107.02027 (packing without contamination); a shared beginning is
what a prefix cache holds when a model is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from dslab.training.chat import IGNORED, Encoded


def pack(rows: Sequence[Encoded], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The rows as one sequence of T tokens, for `answer_loss` and models that take a 4-D mask and position_ids.

    dtype:   of the mask, which is added to the scores: that of the model.
    Returns  input_ids, labels, position_ids (1, T) int64; attention_mask (1, 1, T, T), 0 or the least number of dtype.
    Raises ValueError for no rows.
    """
    if not rows:
        raise ValueError("expected rows to pack, got none")
    shared = _shared(rows)
    ids, labels = list(rows[0].input_ids[:shared]), [IGNORED] * shared
    positions, owner = list(range(shared)), [0] * shared
    for number, row in enumerate(rows, 1):
        rest = len(row.input_ids) - shared
        ids += row.input_ids[shared:]
        labels += [IGNORED, *row.labels[shared + 1 :]]  # its first token stands behind another row: nobody predicts it
        positions += range(shared, shared + rest)
        owner += [number] * rest
    whose = torch.tensor(owner)
    sees = (whose[:, None] == whose) | (whose == 0)
    sees &= torch.ones(len(ids), len(ids)).tril().bool()
    mask = torch.zeros(sees.shape, dtype=dtype).masked_fill(~sees, torch.finfo(dtype).min)
    made = {"input_ids": ids, "labels": labels, "position_ids": positions}
    return {name: torch.tensor([values]) for name, values in made.items()} | {"attention_mask": mask[None, None]}


def _shared(rows: Sequence[Encoded]) -> int:
    """How many tokens all rows begin with, before the first that is learned; two at least are left to each row."""
    same = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*(row.input_ids for row in rows), strict=False))
    to_learn = (next((at for at, label in enumerate(row.labels) if label != IGNORED), len(row.labels)) for row in rows)
    # The token that predicts the first answer token must be the row's own.
    return max(0, min(sum(1 for _ in same), *(first - 1 for first in to_learn)))
