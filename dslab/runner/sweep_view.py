"""What a sweep says: its grid and predicted time before, a line and a bar while it runs, what went wrong at the end."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dslab.runner import sections
from dslab.runner.display import duration, memory, state
from dslab.runner.study import Point, Study
from dslab.runner.sweep_plan import Plan

SHOWN_POINTS = 40
SHOWN_FAILURES = 5


def values(study: Study, point: Point) -> str:
    """The values that tell a point from the others: `rank=4 lr=0.001 seed=0`."""
    return " ".join(f"{name}={point.values[name]}" for name in study.swept) or "the only point"


def seconds_each(plan: Plan) -> tuple[float | None, str]:
    """Predicted seconds of a point, and whence: of finished points when resuming, else the notebook's saved run."""
    known = [row["seconds"] for row in plan.done if row["seconds"]]
    if known:
        return sum(known) / len(known), f"the mean of {len(known)} finished"
    if plan.footer.get("seconds"):
        whence = "its saved run, at its defaults"
        parts = [plan.study.fixed.get(sections.NAME, sections.ALL), *plan.study.grid.get(sections.NAME, [])]
        if any(part != sections.ALL for part in parts):
            whence += "; that is the whole notebook, and a section of it takes less: an upper bound"
        return float(plan.footer["seconds"]), whence
    return None, "this notebook has no saved run"


def prediction(plan: Plan, slots: int) -> str:
    """The predicted time in one sentence.

    >>> from dslab.runner.sweep_folder import Folder
    >>> from pathlib import Path
    >>> study = Study("toy", {"rank": [1, 2, 4]}, {})
    >>> prediction(Plan(study, study.points(), b"", Folder(Path("s")), {"seconds": 30}, [], study.points()), 2)
    'about 1 min 0 s for 3 points, 2 at a time (30.0 s each: its saved run, at its defaults)'
    """
    each, whence = seconds_each(plan)
    count = len(plan.todo)
    if not count:
        return "nothing is left to run"
    points = f"{count} point{'' if count == 1 else 's'}, {slots} at a time"
    if each is None:
        return f"unknown time for {points}: {whence}"
    return f"about {duration(each * -(-count // slots))} for {points} ({duration(each)} each: {whence})"


def describe(plan: Plan, console: Console) -> None:
    """The grid: what varies, what is fixed, how it is combined."""
    study = plan.study
    how = {"product": "every combination", "zip": "side by side", "random": f"{study.random} draws"}[study.how]
    each = f", each with {len(study.seeds)} seeds" if len(study.seeds) > 1 else ""
    count = f"{len(plan.points)} point{'' if len(plan.points) == 1 else 's'}"
    _say(console, f"{study.notebook}: {count} ({how}{each})")
    rows = {name: ", ".join(map(str, given)) for name, given in study.grid.items()}
    rows |= {name: str(span) for name, span in study.spans.items()}
    rows |= {"seed": ", ".join(map(str, study.seeds))} if study.seeds else {}
    rows |= {name: f"{value} (fixed)" for name, value in study.fixed.items()}
    width = max(map(len, rows), default=0)
    for name, text in rows.items():
        _say(console, f"  {name:<{width}}  {text}")
    for note in study.notes:
        _say(console, f"note: {note}")


def dry_run(plan: Plan, slots: int, console: Console) -> None:
    """The grid, its points and the predicted time."""
    describe(plan, console)
    todo = {point.id for point in plan.todo}
    for point in plan.points[:SHOWN_POINTS]:
        done = "" if point.id in todo else "  (done)"
        _say(console, f"{point.index:>4}  {values(plan.study, point)}{done}")
    if len(plan.points) > SHOWN_POINTS:
        _say(console, f"   …  and {len(plan.points) - SHOWN_POINTS} more")
    if plan.done:
        _say(console, f"{len(plan.done)} of {len(plan.points)} are done in {plan.folder.shown}")
    if plan.footer.get("peak_bytes"):
        _say(console, f"memory: about {memory(plan.footer['peak_bytes'] * slots)} at peak, going by its saved run")
    _say(console, f"time: {prediction(plan, slots)}")
    _say(console, "nothing was run")


class Follow:
    """Draws a bar with the time left on a terminal; elsewhere the line of each point holds it."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self.plan, self.console = plan, console
        self.total, self.came = len(plan.points), len(plan.points) - len(plan.todo)
        self.seconds: list[float] = []
        self.failed = sum(row["status"] != "passed" for row in plan.done)
        columns = (BarColumn(bar_width=40), TextColumn("{task.completed:.0f}/{task.total:.0f}"), TimeElapsedColumn())
        self.progress = Progress(
            *columns, TextColumn("{task.fields[left]}"), console=console, disable=not console.is_terminal
        )
        self.bar = self.progress.add_task("points", total=self.total, completed=self.came, left="")

    def __enter__(self) -> Follow:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def point(self, point: Point, row: dict[str, Any], slots: int) -> None:
        """One point came in."""
        self.came += 1
        self.failed += row["status"] != "passed"
        self.seconds.append(row["seconds"] or 0.0)
        left = self.left(slots)
        width = len(str(self.total))
        took = duration(row["seconds"]) if row["seconds"] is not None else "–"
        line = f"{self.came:>{width}}/{self.total}  {state(row['status'])}  {escape(values(self.plan.study, point))}"
        line += f"  {took}" + (f", {memory(row['peak_bytes'])}" if row["peak_bytes"] else "")
        line += f"  [red]{escape(row['error'])}[/]" if row["error"] else ""
        self.console.print(line + ("" if self.console.is_terminal else f"  {left}"), highlight=False, soft_wrap=True)
        failed = f", {self.failed} failed" if self.failed else ""
        self.progress.update(self.bar, completed=self.came, left=left + failed)

    def left(self, slots: int) -> str:
        """The time left, from the points of this session."""
        rest = self.total - self.came
        if not rest:
            return "done"
        return f"about {duration(sum(self.seconds) / len(self.seconds) * -(-rest // slots))} left"


def last_words(plan: Plan, rows: list[dict[str, Any]], console: Console) -> None:
    """How many points are there and passed, where the table is, and what failed with its notebook."""
    folder, points = plan.folder, {point.id: point for point in plan.points}
    rows = [row for row in rows if row["point"] in points]
    failed = [row for row in rows if row["status"] != "passed"]
    passed = len(rows) - len(failed)
    told = f"{passed} of {len(points)} points passed" + (f", {len(failed)} did not" if failed else "")
    if len(rows) < len(points):
        told += f", {len(points) - len(rows)} still to run"
    _say(console, told, "green" if passed == len(points) else "red")
    for row in failed[:SHOWN_FAILURES]:
        point = points[row["point"]]
        notebook = folder.path / "points" / point.folder / f"{plan.study.notebook}.ipynb"
        cell = f" at {row['error_cell']}" if row["error_cell"] else ""
        _say(console, f"{values(plan.study, point)}: {row['status']}{cell}: {row['error']}")
        if notebook.is_file():
            _say(console, f"  {folder.shown}/points/{point.folder}/{notebook.name}")
    if len(failed) > SHOWN_FAILURES:
        _say(console, f"… and {len(failed) - SHOWN_FAILURES} more; the table has them all")
    if failed and len(rows) == len(points):
        _say(console, f"run them again: {plan.resume_command} --retry-failed")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(escape(text), style=style or None, soft_wrap=True, highlight=False)
