"""`dslab grade`: the exercise checkers over a folder of submitted notebooks.

It guards a class against accidents (an answer that hangs, crashes, eats memory), and the teacher's machine against
clumsiness. It does not guard against a student who attacks the checker in the process that both share.
"""

from __future__ import annotations

import collections
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from dslab.runner import execute, grade_report, grade_submissions, results, selection
from dslab.runner.display import duration
from dslab.runner.grade_pool import Graded, GradingFailed, Limits, grade_all

FAILED = 1


def grade(folder: Path, *, out: str | None, timeout: float, memory: float, workers: int | None) -> int:
    """Grade every submission under `folder`. Returns 0 whenever grading itself worked, whatever the grades.

    timeout: seconds an exercise may take; memory: GB (10^9 bytes) it may use.
    Raises selection.Refused for a folder that holds no submission, and for an `out` that holds something.
    """
    folder = folder.expanduser().resolve()
    found = grade_submissions.find(folder)
    exercises = grade_submissions.exercises()
    readable = [submission for submission in found if submission.notebook and not submission.unreadable]
    try:
        target = results.new_folder(out)
    except OSError as error:
        raise selection.Refused(f"--out: {error}") from None
    limits = Limits(timeout, int(memory * 1e9))
    console = Console(highlight=False)
    started, clock = datetime.datetime.now().astimezone(), time.perf_counter()
    slots = max(1, min(workers or execute.cores(), len(readable)))
    total = sum(len(exercises[submission.notebook or ""]) for submission in readable)
    told: list[Graded] = []
    failure = ""
    try:
        with _progress(console) as progress:
            bar = progress.add_task("starting the checkers", total=total)

            def tell(one: Graded) -> None:
                told.append(one)
                progress.update(bar, advance=1, description=f"{one.submission.student}: {one.exercise}"[:40])

            graded = grade_all(readable, exercises, limits, slots, tell) if readable else []
    except GradingFailed as error:  # what is graded stays; the others are said not to be
        failure = str(error)
        done = {(one.submission.file, one.exercise) for one in told}
        graded = told + [
            Graded(submission, name, "ungraded", f"Grading ended before this: {failure}", 0.0, "")
            for submission in readable for name in exercises[submission.notebook or ""]
            if (submission.file, name) not in done
        ]  # fmt: skip
    table = grade_report.rows(found, graded, exercises)
    networks = {one.network for one in graded} - {""}
    page = grade_report.write(target, table, found, networks, limits, started, time.perf_counter() - clock)
    _show(console, table)
    for submission in found:
        if submission.unreadable:
            console.print(escape(submission.unreadable), soft_wrap=True)
        elif not submission.notebook:
            console.print(f"passed over: {escape(submission.file)} is no notebook of this collection", soft_wrap=True)
    for student, number, files in grade_report.handed_in_twice(found):
        line = f"{student} handed {number} in {len(files)} times; for each exercise the best counts"
        console.print(escape(line), soft_wrap=True)
    took = duration(time.perf_counter() - clock)
    console.print(f"table: {escape(str(target / 'grades.csv'))}\npage: {escape(str(page))}", soft_wrap=True)
    console.print(f"{len(readable)} notebooks, {len(graded)} answers, {took}", soft_wrap=True)
    if failure:
        print(f"{failure}; mend that and grade again into a new folder", file=sys.stderr)
        return FAILED
    return 0


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _show(console: Console, rows: Sequence[grade_report.Row]) -> None:
    """A line a student: how many of each state."""
    shown = [state for state in grade_report.STATES if any(row.state == state for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("student")
    for state in shown:
        table.add_column(state, justify="right")
    for student in dict.fromkeys(row.student for row in rows):
        counts = collections.Counter(row.state for row in rows if row.student == student)
        table.add_row(escape(student), *(str(counts[state] or "") for state in shown))
    console.print(table)
