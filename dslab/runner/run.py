"""`dslab run`: choose, check, execute, write the results and the page, and say last what went wrong."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dslab.runner import execute, report, results, selection
from dslab.runner.display import Follow, duration, memory, state

DEFAULT_TIMEOUT = 600.0


def run(
    names: Sequence[str] = (), options: Sequence[str] = (), *, profile: str | None = None, out: str | None = None,
    jobs: int = 1, strict: bool = False, timeout: float = DEFAULT_TIMEOUT, command: str = "dslab run",
) -> int:  # fmt: skip
    """Run notebooks and write a report. Returns the exit code: 0 good, 1 something failed, 130 interrupted.

    Raises selection.Refused or parameters.ParameterError before any kernel starts.
    """
    if jobs < 1 or timeout <= 0:
        raise selection.Refused(f"--jobs must be at least 1 and --timeout above 0; got {jobs} and {timeout:g}")
    notebooks = selection.find(names)
    texts = selection.given_values(options, profile)
    values = selection.check_values(notebooks, texts)
    try:
        folder = results.new_folder(out)
    except OSError as error:
        raise selection.Refused(f"--out: {error}") from None
    tasks = [
        execute.Task(notebook, folder / notebook.name, given, folder / f"{notebook.stem}.html", timeout)
        for notebook, given in zip(notebooks, values, strict=True)
    ]
    console = Console(highlight=False)
    started, clock = datetime.datetime.now().astimezone(), time.perf_counter()
    with Follow(tasks, console) as follow:
        outcomes, interrupted = execute.run_all(tasks, jobs, follow)
    record = results.of_run(
        outcomes, started=started, seconds=time.perf_counter() - clock, strict=strict, jobs=jobs, given=texts,
        interrupted=interrupted, command=command,
    )  # fmt: skip
    results.write(record, folder)
    page = report.write(record, folder)
    console.print(_table(record))
    console.print(f"report: {page}", soft_wrap=True)
    failures = report.last_words(record, folder)
    style = "green" if record["exit_code"] == 0 else "red"
    console.print(f"[{style}]{escape(report.verdict(record))}[/]", soft_wrap=True)
    for line in failures:
        console.print(escape(line), soft_wrap=True)
    return int(record["exit_code"])


def _table(record: dict) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("notebook", "state", "claims held", "time", "peak memory"):
        table.add_column(title, justify="left" if title in ("notebook", "state") else "right")
    for row in record["notebooks"]:
        held = sum(claim.get("holds") is True for claim in row["claims"])
        claims = f"{held} of {len(row['claims'])}" if row["claims"] else "–"
        failed = row["status"] == "passed" and results.failed_claims(row, record["strict"])
        cells = [escape(row["notebook"]), "[red]claim failed[/]" if failed else state(row["status"]), claims]
        table.add_row(*cells, duration(row["seconds"]), memory(row["peak_bytes"]))
    return table
