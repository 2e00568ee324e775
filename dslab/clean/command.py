"""`dslab clean IN... -o OUT`. Exit codes: 0 good; 1 a shard failed; 2 refused before any work; 130 interrupted.

Imports what it needs when it runs, so that help answers at once. The error stream gets progress and one line for each
thing that went wrong; the output stream gets the summary. Neither ever holds a row's content or a key, and no traceback
is printed: its last line would quote what the exception does.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dslab.clean.run import Plan, Result

GOOD, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
MOST_WORKERS = 8  # unless asked for: each takes some 150 MB
SHOWN = 10

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


Inputs = Annotated[
    list[str],
    typer.Argument(metavar="IN...", help="Files, folders, globs: .jsonl or .ndjson (plain, .gz, .zst), .parquet."),
]
Out = Annotated[
    str,
    typer.Option("-o", "--out", metavar="OUT", help="A new or empty folder; for one file, also a file of its suffix."),
]
Column = Annotated[str, typer.Option(help="The key or column to clean; others pass through.")]
Mask = Annotated[str, typer.Option(help="tag, partial, surrogate, hmac or off.")]
KeyFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Key of surrogate and hmac, >= 32 bytes. Default: the variable DSLAB_KEY."),
]
Types = Annotated[str | None, typer.Option(metavar="A,B", help="What to find, such as EMAIL,CN_ID. Default: all.")]
Policy = Annotated[str, typer.Option(help="recall, or precision: weak evidence needs context.")]
Dedup = Annotated[
    float | None,
    typer.Option(metavar="J", help="Drop rows whose Jaccard similarity with an earlier row is J or more, such as 0.8."),
]
Decontaminate = Annotated[
    list[str] | None,
    typer.Option(metavar="TEST.jsonl", help="Drop rows that hold 13 words in a row of a test item. May be repeated."),
]
MinWords = Annotated[int, typer.Option(min=1, help="Test items of fewer words are not looked for, but counted.")]
Quality = Annotated[bool, typer.Option("--quality", help="Drop rows that fail a Gopher or C4 rule.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a core, at most 8.")]
OnError = Annotated[str, typer.Option(help="A row that cannot be read: quarantine, fail (end the run) or skip.")]
Audit = Annotated[bool, typer.Option("--audit", help="Record type, offsets and rule of all that is masked.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT; what is finished is verified.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")]
Report = Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page with all counts.")]


@app.command()
def clean(
    inputs: Inputs, out: Out, text_column: Column = "text", mask: Mask = "tag", key_file: KeyFile = None,
    types: Types = None, policy: Policy = "recall", dedup: Dedup = None, decontaminate: Decontaminate = None,
    decontaminate_min_words: MinWords = 8, quality: Quality = False, workers: Workers = None,
    on_error: OnError = "quarantine", audit: Audit = False, resume: Resume = False, dry_run: DryRun = False,
    report: Report = None,
) -> None:  # fmt: skip
    """Mask personal data and secrets in a corpus; drop duplicates, test items and bad text where asked for.

    Every row is accounted for: rows in = rows out + quarantined + dropped. A file stands under its final name only when
    it is complete. After an interruption, --resume gives the same bytes as an uninterrupted run.
    """
    from dslab.clean.errors import Busy, CleanError, failure

    plan = None
    try:
        workers = workers or _cores()
        if workers > 1 and not dry_run:
            from dslab.clean.workers import warm_up

            warm_up()
        with warnings.catch_warnings(record=True) as caught:
            from dslab.clean import run
            from dslab.clean.job import Job

            _check_report(report)
            job = Job(
                text_column=text_column, mask=mask, key_file=key_file, on_error=on_error, policy=policy, dedup=dedup,
                types=tuple(types.replace(" ", "").split(",")) if types is not None else None, quality=quality,
                decontaminate=tuple(decontaminate or ()), decontaminate_min_words=decontaminate_min_words,
            )  # fmt: skip
            plan = run.prepare(inputs, out, job, audit=audit, resume=resume)
        for warning in {str(one.message) for one in caught if "key" in str(one.message)}:
            _say(f"warning: {warning}")
        if dry_run:
            _describe(plan)
        else:
            raise typer.Exit(_run(plan, workers, report))
    except KeyboardInterrupt:
        stays = "what is finished stays. The same command with --resume goes on" if plan else "nothing was written"
        _end(f"interrupted; {stays}", INTERRUPTED)
    except ModuleNotFoundError as error:
        _end(f"refused: this needs the package {error.name}: pip install 'dslab-course[clean]'", REFUSED)
    except typer.Exit:
        raise
    except CleanError as error:
        if plan is None or isinstance(error, Busy):
            _end(f"refused: {error}", REFUSED)
        _end(f"failed: {error}", FAILED)
    except Exception as error:
        _end(f"failed: {failure(error).reason}", FAILED)


def main(arguments: list[str] | None = None) -> None:
    """Run a command line (default: this process's) and leave with its exit code."""
    app(arguments, prog_name="dslab clean")


def _run(plan: Plan, workers: int, report: Path | None) -> int:
    from dslab.clean.progress import Progress
    from dslab.clean.run import execute
    from dslab.clean.summary import print_summary

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library warns of may quote a row
        result = execute(plan, workers, Progress())
    print_summary(result)
    if report is not None:
        from dslab.clean.report import write_report

        write_report(result, report)
    return _exit_code(result)


def _exit_code(result: Result) -> int:
    return GOOD if result.is_complete else FAILED


def _describe(plan: Plan) -> None:
    """What a dry run prints."""
    from dslab.clean.summary import short_items

    layout, job = plan.layout, plan.job
    finished = sum(layout.record(shard).is_file() for shard in plan.shards) if plan.is_resumed else 0
    print(f"{_count(len(plan.shards), 'shard')}, {plan.corpus.bytes / 1e6:,.1f} MB")
    for shard in plan.shards[:SHOWN]:
        print(f"  {shard.source} -> {layout.target(shard)}")
    if len(plan.shards) > SHOWN:
        print(f"  and {len(plan.shards) - SHOWN:,} more")
    if plan.corpus.others:
        print(f"{_count(plan.corpus.others, 'other file')} left alone")
    if finished:
        print(f"{_count(finished, 'shard')} finished earlier: verified, then kept")
    print(f"key or column {job.text_column!r}; a row that cannot be read: {job.on_error}")
    print(
        "mask: off"
        if job.mask == "off"
        else f"mask: {job.mask}, {', '.join(job.types or ('all types',))}, {job.policy}"
    )
    if job.dedup is not None:
        print(f"near-duplicates dropped from a similarity of {job.dedup:g} on, the first of each kept")
    if job.quality:
        print("rows that fail a quality rule dropped")
    for path in job.decontaminate:
        print(f"rows that share {job.ngram} words in a row with {path} dropped")
    for line in short_items(plan):
        print(line)
    print(f"side files in {layout.side}")
    print("dry run: nothing was written")


def _check_report(report: Path | None) -> None:
    """Refuse a place that cannot take the page before hours of work, not after."""
    from dslab.clean.errors import CleanError

    if report is None:
        return
    if report.suffix.lower() not in (".html", ".htm"):
        raise CleanError(f"--report {report}: the name of the page must end in .html")
    if report.is_dir():
        raise CleanError(f"--report {report} is a folder")
    import jinja2  # noqa: F401


def _cores() -> int:
    import os

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MOST_WORKERS)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _end(message: str, code: int) -> None:
    _say(message)
    raise typer.Exit(code) from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
