"""A question of a self-test: several options, one right, and what to read for those who choose another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """`right` is the index of the right option; `because` explains it; `advice` is what to read where it was missed."""

    ask: str
    options: tuple[str, ...]
    right: int
    because: str
    advice: str

    def __post_init__(self) -> None:
        if not 0 <= self.right < len(self.options):
            raise ValueError(f"question {self.ask!r} has {len(self.options)} options; right is {self.right}")
