"""The page of a run: one file without references to others, light or dark as the reader's system is, counts only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dslab import __version__
from dslab.clean.atomic import atomic_file
from dslab.clean.manifest import option_words
from dslab.clean.summary import books, by_count, row_lines, short_items, verdict

if TYPE_CHECKING:
    from dslab.clean.run import Result

TEMPLATES = Path(__file__).parent / "templates"
SHARDS_SHOWN, FAILED_SHOWN = 1000, 200  # a page of a hundred thousand rows opens in no browser


def write_report(result: Result, path: Path) -> None:
    """Write the page; it appears when it is complete.

    Raises CleanError if it cannot be written.
    """
    with atomic_file(path) as sink:
        sink.write(render(result).encode("utf-8", "replace"))


def render(result: Result) -> str:
    """The page as text. File names are escaped: whoever names a file does not write HTML."""
    import jinja2

    total = result.total
    whole = max(total.rows_in, 1)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    shards = list(result.done.items())
    failed = list(result.failed.items())
    return environment.get_template("report.html").render(
        verdict=verdict(result),
        books=books(result),
        good=result.is_complete,
        total=total,
        rows=row_lines(total),
        notes=[*(f"{note}: {n:,}" for note, n in total.notes.items()), *short_items(result.plan)],
        spans=by_count(total.spans),
        share=lambda n: f"{n / whole:.2%}",
        width=lambda n: f"{100 * n / whole:.2f}",
        shards=shards[:SHARDS_SHOWN],
        more_shards=max(0, len(shards) - SHARDS_SHOWN),
        failed=failed[:FAILED_SHOWN],
        more_failed=max(0, len(failed) - FAILED_SHOWN),
        shards_in=len(result.plan.shards),
        shards_out=len(result.done),
        mask=result.plan.job.mask,
        options=_options(result),
        fingerprint=result.plan.recipe.fingerprint[:16],
        version=__version__,
    )


def _options(result: Result) -> list[tuple[str, Any]]:
    return [
        (name.replace("_", " "), option_words(name, value))
        for name, value in result.plan.description["options"].items()
    ]
