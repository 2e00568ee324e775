"""Examples of different lengths as one batch, and the order in which a run takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dslab.training.chat import IGNORED, Encoded


@dataclass(frozen=True)
class Collator:
    """Pads on the right. What is padding is known by its place, never by its token.

    Many tokenizers pad with the end of turn. Whoever then masks every such label, also masks the ends of the answers,
    and the tuned model never stops. pad_id may be any token: attention and loss leave it out.

    >>> batch = Collator(pad_id=2)([Encoded([5, 6, 2], [-100, 6, 2]), Encoded([7, 2], [-100, 2])])
    >>> batch["input_ids"].tolist(), batch["labels"].tolist(), batch["attention_mask"].tolist()
    ([[5, 6, 2], [7, 2, 2]], [[-100, 6, 2], [-100, 2, -100]], [[1, 1, 1], [1, 1, 0]])
    """

    pad_id: int = 0

    def __call__(self, rows: Sequence[Encoded]) -> dict[str, Tensor]:
        """input_ids, attention_mask, labels: (B, T) int64, T the longest row."""
        width = max(len(row.input_ids) for row in rows)
        made: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
        for row in rows:
            n, short = len(row.input_ids), width - len(row.input_ids)
            made["input_ids"].append(list(row.input_ids) + [self.pad_id] * short)
            made["attention_mask"].append([1] * n + [0] * short)
            made["labels"].append(list(row.labels) + [IGNORED] * short)
        return {name: torch.tensor(values) for name, values in made.items()}


def order(n: int, count: int, seed: int) -> list[int]:
    """`count` numbers below n: one random permutation after another, so that none comes again before all have come.

    >>> sorted(order(4, 4, seed=0)), len(order(4, 10, seed=0))
    ([0, 1, 2, 3], 10)
    """
    generator = torch.Generator().manual_seed(seed)
    rounds = -(-count // n)
    return torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])[:count].tolist()


def batches(encoded: Sequence[Encoded], steps: int, batch: int, seed: int = 0) -> Iterator[list[Encoded]]:
    """The examples of each of `steps` steps, `batch` at a time: what `fit` trains on with the same seed.

    Raises ValueError for no examples, and for steps or a batch below 1.
    """
    if not encoded or steps < 1 or batch < 1:
        raise ValueError(
            f"expected examples and steps and batch of 1 or more; got {len(encoded)} examples, {steps=}, {batch=}"
        )
    taken = order(len(encoded), steps * batch, seed)
    return ([encoded[i] for i in taken[at : at + batch]] for at in range(0, len(taken), batch))
