"""What an exercise is. Each notebook has a folder here, each exercise a file in it that defines `exercise`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """A task, three staged hints, one solution, and a checker that names the mistake.

    check: takes the object the learner has in the kernel; returns None when it is right, else one sentence that says
    what is wrong with a case the learner can try. It must not raise for a plausible answer; if it does, the learner is
    shown the exception and its line.
    """

    name: str
    notebook: str
    task: str
    hints: tuple[str, str, str]
    solution: str
    check: Callable[[Any], str | None]

    def __post_init__(self) -> None:
        if len(self.hints) != 3 or not all(hint.strip() for hint in self.hints):
            raise ValueError(f"exercise {self.name!r} needs three hints, each nearer to the answer; got {self.hints!r}")
        if not self.task.strip() or not self.solution.strip():
            raise ValueError(f"exercise {self.name!r} needs a task and a solution")
