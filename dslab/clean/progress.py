"""How far a run is: a bar on a terminal, a line now and then in a log, nothing where nobody looks.

Everything goes to the error stream; the output stream holds the summary alone. Only numbers and names of files appear.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dslab.clean.sources import Shard

LINE_SECONDS = 30.0  # between lines in a log
BAR_SECONDS = 0.1


class Progress:
    """What shows a run's phases. quiet: show nothing. Default: a bar if the error stream is a terminal, else lines."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.is_terminal = not quiet and sys.stderr.isatty()

    @contextmanager
    def phase(self, title: str, shards: Sequence[Shard]) -> Iterator[Phase]:
        """A phase over shards; report to what it yields."""
        phase = Phase(title, len(shards), sum(shard.size for shard in shards))
        if self.quiet or not shards:
            yield phase
        elif self.is_terminal:
            with _bar(title, phase.bytes) as update:
                phase.show = lambda: update(phase.bytes_done, phase.words())
                phase.every = BAR_SECONDS
                yield phase
                phase.show()
        else:
            _say(f"{title}: {len(shards):,} shard{'s' * (len(shards) != 1)}, {phase.bytes / 1e6:,.1f} MB")
            phase.show = lambda: _say(f"{title}: {phase.words()}")
            phase.every = LINE_SECONDS
            yield phase
            phase.show()

    @contextmanager
    def steps(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """A phase of equal steps; call what it yields with (done, all)."""
        if not self.is_terminal:
            if not self.quiet:
                _say(title)
            yield lambda done, total: None
            return
        with _bar(title, 1) as update:
            yield lambda done, total: update(done / total, f"{done} of {total} bands")


@dataclass
class Phase:
    """The numbers of a phase. bytes: of its files on disk."""

    title: str
    shards: int
    bytes: int
    rows: int = 0
    bytes_done: int = 0
    shards_done: int = 0
    show: Callable[[], None] = lambda: None
    every: float = LINE_SECONDS
    started: float = field(default_factory=time.monotonic)
    _shown: float = field(default_factory=time.monotonic)

    def tick(self, rows: int, size: int) -> None:
        """Rows and bytes read so far, over all shards; may be called as often as you like."""
        self.rows, self.bytes_done = rows, size
        now = time.monotonic()
        if now - self._shown >= self.every:
            self._shown = now
            self.show()

    def advance(self, shard: Shard) -> None:
        """A shard has ended, well or badly."""
        self.shards_done += 1

    def words(self) -> str:
        """The state in one line.

        >>> phase = Phase("cleaning", shards=3, bytes=4_000_000, rows=500, bytes_done=2_000_000, shards_done=1)
        >>> phase.started -= 2
        >>> phase.words()
        '1 of 3 shards, 500 rows, 250 rows/s, 1.0 MB/s'
        """
        seconds = max(time.monotonic() - self.started, 1e-3)
        if not self.rows:
            return f"{self.shards_done:,} of {self.shards:,} shards"
        return (
            f"{self.shards_done:,} of {self.shards:,} shards, {self.rows:,} rows, "
            f"{self.rows / seconds:,.0f} rows/s, {self.bytes_done / seconds / 1e6:,.1f} MB/s"
        )


@contextmanager
def _bar(title: str, total: float) -> Iterator[Callable[[float, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns: list[Any] = [
        TextColumn("{task.description}", style="bold"), BarColumn(bar_width=30), TaskProgressColumn(),
        TextColumn("{task.fields[words]}"), TimeRemainingColumn(),
    ]  # fmt: skip
    with Bar(*columns, console=Console(stderr=True, highlight=False, markup=False)) as bar:
        task = bar.add_task(title, total=max(total, 1), words="")
        yield lambda done, words: bar.update(task, completed=done, words=words)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
