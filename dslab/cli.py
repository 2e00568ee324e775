"""The `dslab` command. Each command imports what it needs when it runs, so that help answers at once.

Exit codes: 0 good; 1 a cell, claim or check failed; 2 input refused; 130 interrupted.
"""

from __future__ import annotations

import sys

from dslab import signals

if __name__ == "__main__":
    signals.quiet()  # before the imports that take their time

import importlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

GOOD, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


class Commands(TyperGroup):
    """Commands whose refusals and interruptions become one line and the right exit code, never a stack trace."""

    def invoke(self, ctx: Any) -> Any:
        try:
            signals.listen()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except ValueError as error:
            from dslab.runner.parameters import ParameterError
            from dslab.runner.selection import Refused

            if not isinstance(error, ParameterError | Refused):
                raise
            _say(f"refused: {error}")
            raise typer.Exit(REFUSED) from None
        finally:
            signals.deaf()


app = typer.Typer(
    cls=Commands, name="dslab", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode=None, help="Notebooks about how large language models are really built, and what runs them.",
)  # fmt: skip

Notebooks = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NB]...", help="Number (01), stem (01_sparse_attention), path, or folder. Default: all."),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Notebooks at a time; they share the cores.")]
Timeout = Annotated[float, typer.Option(help="Seconds a cell may take before it is ended.")]


def main(arguments: list[str] | None = None) -> None:
    """Run a command line (default: this process's) and leave with its exit code."""
    app(arguments, prog_name="dslab")


@app.command()
def run(
    notebooks: Notebooks = None,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, quick or full.")] = None,
    out: Annotated[str | None, typer.Option(help="A new or empty folder. Default: a new one under runs/.")] = None,
    jobs: Jobs = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Measured claims that fail, fail the run too.")] = False,
    timeout: Timeout = 600.0,
) -> None:
    """Execute notebooks headless and write a report."""
    import shlex

    from dslab.runner.run import run as run_notebooks

    command = "dslab " + shlex.join(sys.argv[1:])
    raise typer.Exit(
        run_notebooks(
            notebooks or [], parameter or [], profile=profile, out=out, jobs=jobs, strict=strict, timeout=timeout,
            command=command,
        )
    )  # fmt: skip


@app.command()
def sweep(
    target: Annotated[
        str | None, typer.Argument(metavar="[NB|STUDY.toml]", help="A notebook, as in `run`; or a study's file.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--parameter",
            metavar="NAME=VALUES",
            help="1,2,4 or 1..8 or 1..8..2 or 0:1:lin5 or 1e-4:1e-2:log5; may be repeated.",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Each point with the seeds 0 … N-1.")] = None,
    random: Annotated[
        int | None, typer.Option(min=1, help="Draw N points; ranges need no count then: 1e-4:1e-2:log.")
    ] = None,
    zipped: Annotated[
        bool, typer.Option("--zip", help="First values together, then second, … of equal lists.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Points at a time (default 1), or a cluster's size.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="WHERE", help="tcp://host:port of a Dask scheduler, or module:Class.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="A new or empty folder. Default: a new one under sweeps/.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="DIR", help="Go on with the sweep in this folder.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Resuming, run failed points again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the grid and the predicted time; run nothing.")
    ] = False,
    max_points: Annotated[int, typer.Option(min=1, help="Refuse a study with more points.")] = 500,
    timeout: Annotated[float | None, typer.Option(help="Seconds a cell may take before it is ended (600).")] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, quick or full.")] = None,
) -> None:
    """Run a notebook over a grid of parameters; collect one table."""
    import shlex

    from dslab.runner.sweep import sweep as run_sweep
    from dslab.runner.sweep_plan import Asked

    raise typer.Exit(
        run_sweep(
            Asked(
                target, parameter or [], seeds, random, zipped, workers, cluster, out, resume, retry_failed, dry_run,
                max_points, timeout, profile, "dslab " + shlex.join(sys.argv[1:]),
            )
        )
    )  # fmt: skip


@app.command()
def params(
    notebook: Annotated[str, typer.Argument(metavar="NB", help="Number, stem or path.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List a notebook's parameters: name, type, default, range, help."""
    from dslab.runner import parameters, selection

    found = selection.find([notebook])
    if len(found) != 1:
        raise selection.Refused(f"dslab params takes one notebook; {notebook!r} means {len(found)}")
    rows = parameters.from_notebook(found[0])
    if as_json:
        print(json.dumps([row.as_dict() for row in rows], indent=1, ensure_ascii=False))
        return
    cells = [(row.name, row.type, repr(row.default), row.allowed or "any", row.help) for row in rows]
    widths = [max((len(cell[column]) for cell in cells), default=0) for column in range(4)]
    for cell in cells:
        print("  ".join([*(text.ljust(width) for text, width in zip(cell, widths, strict=False)), cell[4]]).rstrip())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    reset: Annotated[
        list[str] | None, typer.Option(metavar="NB", help="A fresh copy of this notebook; yours is kept as a backup.")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Prepare the copies and stop.")] = False,
) -> None:
    """Open JupyterLab on your own copy of the notebooks, in work/. Other options go to JupyterLab."""
    from dslab.runner.lab import lab as open_lab

    raise typer.Exit(open_lab(reset or [], context.args, start=not no_open))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run every test: ruff, mypy, pytest. Other arguments go to pytest."""
    from dslab.runner.selftest import run_checks

    raise typer.Exit(run_checks(context.args))


@app.command()
def build(
    notebooks: Notebooks = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; say which saved outputs are stale.")] = False,
    jobs: Jobs = 1,
    timeout: Timeout = 600.0,
) -> None:
    """Execute notebooks at their defaults; save the outputs in place."""
    from dslab.runner.build import build as build_notebooks

    raise typer.Exit(build_notebooks(notebooks or [], check=check, jobs=jobs, timeout=timeout))


@app.command()
def claims(
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN", help="A run's folder or results.json. Default: saved outputs."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the ledger of claims, with what was measured."""
    from dslab.runner.ledger import show

    show(source, as_json=as_json)


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="FOLDER/NAME.ipynb, or FOLDER/NAME/….ipynb.")],
    out: Annotated[str | None, typer.Option(help="A new or empty folder. Default: a new one under runs/.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds an exercise may take.")] = 60.0,
    memory: Annotated[float, typer.Option(min=0.1, help="GB an exercise may use; torch takes 0.3 of them.")] = 2.0,
    workers: Annotated[int | None, typer.Option(min=1, help="Submissions at a time. Default: one a core.")] = None,
) -> None:
    """Check the exercises of a folder of submitted notebooks.

    Writes grades.csv and grades.html. An answer that hangs, crashes or calls sys.exit costs its own row alone. This
    guards against accidents, not against a student who attacks the checker.
    """
    from dslab.runner.grade import grade as grade_folder

    raise typer.Exit(grade_folder(folder, out=out, timeout=timeout, memory=memory, workers=workers))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name of the model.")] = "smollm2",
    directory: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="A folder with the weights.")] = None,
) -> None:
    """Get the model's weights, and say where they came from."""
    resolver = _room("dslab.models.resolver")
    try:
        weights = resolver.resolve(name, directory=directory, say=_say)
    except resolver.WeightsNotFound as error:
        _say(str(error))
        raise typer.Exit(FAILED) from None
    except ValueError as error:
        _say(f"refused: {error}")
        raise typer.Exit(REFUSED) from None
    for label in ("name", "source", "path", "sha256"):
        print(f"{label:<8}{getattr(weights, label)}")
    print(f"{'pinned':<8}{'yes' if weights.pinned else 'no'}")


@app.command()
def doctor() -> None:
    """Check this machine and say what to do about each fault."""
    raise typer.Exit(_room("dslab.doctor").main())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def clean(context: typer.Context) -> None:
    """Mask personal data in a corpus, drop duplicates, lose nothing."""
    _room("dslab.clean.command").main(context.args)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(help="attention, dedup, inference, lora, lora-study, mutants or privacy.")],
) -> None:
    """Measure a topic's fast paths, as ratios. --save keeps the table."""
    name = topic.replace("-", "_")
    if not name.isidentifier():
        _say(f"refused: no bench called {topic!r}")
        raise typer.Exit(REFUSED)
    room = _room(f"dslab.bench.{name}")
    if not hasattr(room, "main"):  # a part of the bench itself, such as `report`
        _say(f"refused: {topic} is no topic of `dslab bench`")
        raise typer.Exit(REFUSED)
    raise typer.Exit(room.main(context.args) or GOOD)


def _room(name: str) -> Any:
    """A part of dslab, or one line that says what is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if missing.startswith("dslab"):
            _say(f"refused: {missing} does not exist in this version of dslab")
        else:
            _say(f"refused: this needs the package {missing}; `python -m dslab doctor` says what is missing")
        raise typer.Exit(REFUSED) from None


def _say(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    main()
