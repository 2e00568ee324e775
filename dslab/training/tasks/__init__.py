"""Small tasks to fine-tune on, generated from a seed and checkable by a program.

    rows = TASKS["json"].make(240, "train", seed=0)
    held_out = TASKS["json"].make(100, "test", seed=0)

Held-out items share neither a sentence template nor a slot value with training items, so that what is measured is the
skill and not the memory of a sentence. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dslab.training.tasks import calls, dates
from dslab.training.tasks.item import Item, Split

__all__ = ["TASKS", "Item", "Split", "Task"]


class Maker(Protocol):
    """Draws items: the same arguments give the same items, and no prompt comes twice."""

    def __call__(self, n: int, split: Split, seed: int = 0) -> list[Item]: ...


@dataclass(frozen=True)
class Task:
    """A task. score: whether an output counts as the answer; longest: new tokens a right answer may take in SmolLM2."""

    name: str
    make: Maker
    score: Callable[[str, str], bool]
    longest: int


TASKS: dict[str, Task] = {
    "json": Task("json", calls.make, calls.parsed_equal, longest=40),
    "dates": Task("dates", dates.make, dates.equal, longest=12),
}
