"""What a run prints at its end: where every row went, what was masked, which shards failed; that the books balance."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dslab.clean.counts import ShardCounts

if TYPE_CHECKING:
    from rich.table import Table

    from dslab.clean.run import Plan, Result

FAILED_SHOWN = 20


def print_summary(result: Result) -> None:
    """Tables to the output stream; what went wrong, a line each, to the error stream."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    total = result.total
    if result.done:
        console.print(_table("rows", row_lines(total), total.rows_in))
        if total.spans:
            console.print(_table("masked", by_count(total.spans)))
        for note, times in total.notes.items():
            console.print(f"{note}: {times:,}", soft_wrap=True)
    for line in short_items(result.plan):
        console.print(line, soft_wrap=True)
    console.print(verdict(result), soft_wrap=True)
    console.print(books(result), soft_wrap=True)
    for line in failures(result):
        print(line, file=sys.stderr)
    if total.rows_in and not total.rows_out:
        column = result.plan.job.text_column
        print(f"no row went out; is {column!r} the right --text-column?", file=sys.stderr)


def row_lines(total: ShardCounts) -> list[tuple[str, int]]:
    """Where the rows of some shards went, a line for each reason, most frequent first."""
    lines = [("in", total.rows_in), ("out", total.rows_out)]
    for fate, reasons in (("quarantined", total.quarantined), ("dropped", total.dropped)):
        lines += [(f"{fate}: {reason}", n) for reason, n in by_count(reasons)]
    return lines


def short_items(plan: Plan) -> list[str]:
    """How many test items were not looked for, if any; never which."""
    if not plan.short_items:
        return []
    return [f"test items of fewer than {plan.job.decontaminate_min_words} words, not looked for: {plan.short_items:,}"]


def by_count(tally: dict[str, int]) -> list[tuple[str, int]]:
    """The entries of a tally, the most frequent first.

    >>> by_count({"EMAIL": 2, "IP": 9, "CARD": 2})
    [('IP', 9), ('CARD', 2), ('EMAIL', 2)]
    """
    return sorted(tally.items(), key=lambda item: (-item[1], item[0]))


def verdict(result: Result) -> str:
    """The run in one sentence."""
    shards = len(result.plan.shards)
    words = f"{len(result.done):,} of {shards:,} shard{'s' * (shards != 1)} cleaned"
    if result.reused:
        words += f", {result.reused:,} of them by an earlier run and verified"
    if result.redone:
        words += (
            f"; {result.redone:,} did not stand as recorded and {'was' if result.redone == 1 else 'were'} done again"
        )
    if result.failed:
        words += f"; {len(result.failed):,} failed"
    untouched = shards - len(result.done) - len(result.failed)
    if untouched:
        words += f"; the run ended early and left {untouched:,} untouched"
    return f"{words}; {result.seconds:,.1f} s"


def books(result: Result) -> str:
    """The invariant with its numbers. They were checked where each shard was cleaned, and are here for their sum."""
    total = result.total.check()
    quarantined, dropped = sum(total.quarantined.values()), sum(total.dropped.values())
    return (
        f"checked: {total.rows_in:,} rows in = "
        f"{total.rows_out:,} out + {quarantined:,} quarantined + {dropped:,} dropped"
    )


def failures(result: Result) -> Iterator[str]:
    """A line for each failed shard, the first few of them."""
    for name, reason in list(result.failed.items())[:FAILED_SHOWN]:
        yield f"failed: {name}: {reason}"
    if len(result.failed) > FAILED_SHOWN:
        yield f"and {len(result.failed) - FAILED_SHOWN:,} more failed"


def _table(title: str, lines: list[tuple[str, int]], whole: int = 0) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(title)
    table.add_column("count", justify="right")
    if whole:
        table.add_column("share", justify="right")
    for name, n in lines:
        table.add_row(name, f"{n:,}", *([f"{n / whole:.2%}"] if whole else []))
    return table
