"""`dslab grade`: the exercise checkers over a folder of submitted notebooks."""

from __future__ import annotations

from pathlib import Path


def grade(folder: Path, *, out: str | None, timeout: float, memory: float, workers: int | None) -> int:
    """Grade every submission under `folder`. Returns 0 whenever grading itself worked."""
    raise NotImplementedError
