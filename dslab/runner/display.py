"""One live picture of a run: a line a notebook, with its cells, the cell at work, its time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dslab.runner.execute import Outcome, Task

STATES = {
    "not run": ("waiting", "dim"),
    "running": ("running", "cyan"),
    "passed": ("passed", "green"),
    "failed": ("failed", "red"),
    "timeout": ("timed out", "red"),
    "died": ("kernel died", "red"),
    "interrupted": ("interrupted", "yellow"),
    "lost": ("lost", "red"),
}

WIDTH = max(len(word) for word, _ in STATES.values())


def state(status: str, width: int = 0) -> str:
    """A status in words and colour, for rich; padded to `width`."""
    word, colour = STATES[status]
    return f"[{colour}]{word:<{width}}[/]"


def memory(size: float) -> str:
    """Bytes as people say them.

    >>> memory(1_430_000_000), memory(87_000_000)
    ('1.43 GB', '87 MB')
    """
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(4.25), duration(75), duration(12_600)
    ('4.2 s', '1 min 15 s', '3 h 30 min')
    """
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


class Follow:
    """Draws the run on a terminal; elsewhere prints a line as each notebook starts and ends."""

    def __init__(self, tasks: Sequence[Task], console: Console) -> None:
        self.console, self.tasks, self.live = console, tasks, console.is_terminal
        self.width = max((len(task.notebook.stem) for task in tasks), default=0)
        self.started: dict[int, float] = {}
        self.progress = Progress(
            TextColumn(f"{{task.description:<{self.width}}}"),
            TextColumn("{task.fields[state]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:>3.0f}/{task.total:<3.0f}", style="dim"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[label]}"),
            console=console,
            disable=not self.live,
        )
        self.rows: list[TaskID] = [
            self.progress.add_task(task.notebook.stem, start=False, total=1, state=state("not run", WIDTH), label="")
            for task in tasks
        ]

    def __enter__(self) -> Follow:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def event(self, index: int, outcome: Outcome, event: dict[str, Any]) -> None:
        """Draw one event of one notebook."""
        row, kind = self.rows[index], event["event"]
        if kind == "start":
            self.started[index] = time.monotonic()
            self.progress.start_task(row)
            self.progress.update(row, total=outcome.cells, state=state("running", WIDTH), label="starting the kernel")
            if not self.live:
                self.console.print(
                    f"{outcome.task.notebook.stem:<{self.width}}  {outcome.cells} cells", highlight=False
                )
        elif kind == "cell":
            completed = event["number"] - 1 if event["number"] else outcome.cells
            self.progress.update(row, completed=completed, label=event["label"])
        elif kind == "end":
            done = outcome.cells if outcome.status == "passed" else max(0, outcome.cells_started - 1)
            at = outcome.error["id"] if outcome.error else ""
            self.progress.update(row, completed=done, state=state(outcome.status, WIDTH), label=at)
            self.progress.stop_task(row)
            if not self.live:
                self.console.print(
                    f"{outcome.task.notebook.stem:<{self.width}}  {state(outcome.status)} after {done}"
                    f"/{outcome.cells} cells, {duration(outcome.seconds)}, {memory(outcome.peak_bytes)} at peak",
                    highlight=False,
                )
