"""One example of a task, and how a list of them is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

Split = Literal["train", "test"]
PATIENCE = 300  # draws in a row that were there already: then the task is all but used up


@dataclass(frozen=True)
class Item:
    """What the user says, and the answer the model should give."""

    prompt: str
    answer: str


def draw(one: Callable[[random.Random, Split], Item], n: int, split: Split, seed: int) -> list[Item]:
    """`n` items with different prompts. The two splits draw from different streams of random numbers.

    Raises ValueError for an unknown split, n < 1, or more items than the task has.
    """
    if split not in get_args(Split):
        raise ValueError(f"split must be one of {', '.join(get_args(Split))}; got {split!r}")
    if n < 1:
        raise ValueError(f"expected n >= 1; got {n}")
    numbers = random.Random(f"{split} {seed}")
    found: dict[str, Item] = {}
    misses = 0
    while len(found) < n:
        item = one(numbers, split)
        misses = misses + 1 if item.prompt in found else 0
        found.setdefault(item.prompt, item)
        if misses > PATIENCE:
            raise ValueError(f"only about {len(found)} different {split} items exist; {n} were asked for")
    return list(found.values())
