"""report.html of a sweep: the question, how far it is, a plot of each metric over each parameter, every point."""

from __future__ import annotations

import base64
import datetime
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dslab.runner import normalize
from dslab.runner import sweep_figures as figures
from dslab.runner import sweep_numbers as numbers
from dslab.runner.display import duration, memory
from dslab.runner.report import TEMPLATES, number, one_line
from dslab.runner.sweep_figures import name_of

if TYPE_CHECKING:
    from pandas import DataFrame

    from dslab.runner.study import Study

MOST_METRICS, MOST_PARAMETERS, MOST_ROWS = 12, 4, 2000
DRAW_SECONDS = 1.0  # while the sweep runs: its points need the cores
FACTS = {
    "dslab": "dslab", "commit": "commit", "modified": "local changes", "lock_sha256": "lock", "python": "Python",
    "torch": "torch", "transformers": "transformers", "peft": "peft", "numpy": "numpy", "device": "device",
    "host_cores": "cores of the machine", "threads": "threads a point",
}  # fmt: skip
CHIPS = {"passed": "good", "interrupted": "soft"}


def write(folder: Path, study: Study, frame: DataFrame, units: dict[str, str], state: dict[str, Any]) -> Path:
    """Write the page of a sweep, finished or not. Returns its path.

    frame: one row a point that has come back, with columns as in results.parquet; may be empty.
    units: column or metric name -> unit. state: done, total, failed, interrupted, running, command, seconds.
    """
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"duration": duration, "memory": memory, "number": number}
    environment.filters |= {"maybe_duration": _maybe(duration), "maybe_memory": _maybe(memory)}
    swept = [name for name in dict.fromkeys([*study.grid, *study.spans]) if name != "seed"]
    columns = numbers.numeric(frame)
    metrics = [column for column in columns if column not in numbers.COSTS]
    shown = [*metrics[:MOST_METRICS], *(column for column in columns if column in numbers.COSTS)]
    drawn = [name for name in swept if f"param.{name}" in frame][:MOST_PARAMETERS]
    plots: list[tuple[str, list[dict[str, str]]]] = []
    began = time.monotonic()
    for column in shown:
        if state["running"] and time.monotonic() - began > DRAW_SECONDS:
            break
        plots.append((name_of(column), _plots(frame, column, units, drawn, study)))
    page = environment.get_template("sweep.html").render(
        question=question(study, swept), verdict=verdict(state), look=look(state), state=state, study=study,
        folder=folder.name, toml=_toml(folder, study), resume=resume(folder, state),
        written=datetime.datetime.now().astimezone(), swept=swept,
        plots=plots, later=[name_of(column) for column in shown[len(plots) :]],
        left_out=left_out(metrics, swept), text_metrics=_text_metrics(frame, metrics),
        heads=[_head(column, units) for column in shown], summary=summary(frame, shown, swept),
        seeds=_seed_words(frame), failures=failures(folder, frame), points=points(folder, frame, metrics, swept),
        point_heads=[_head(column, units) for column in metrics[:MOST_METRICS]], rows=len(frame), most_rows=MOST_ROWS,
        facts=[(FACTS[name], values) for name, values in numbers.differing(frame, list(FACTS))],
    )  # fmt: skip
    path = folder / "report.html"
    normalize.write_text(path, page)
    return path


def question(study: Study, swept: Sequence[str]) -> str:
    """The study as a question."""
    stem = Path(study.notebook).stem
    if not swept:
        return f"How much does {stem} vary between seeds?" if len(study.seeds) > 1 else f"What does {stem} measure?"
    names = swept[0] if len(swept) == 1 else f"{', '.join(swept[:-1])} and {swept[-1]}"
    return f"What {'does' if len(swept) == 1 else 'do'} {names} change in {stem}?"


def verdict(state: dict[str, Any]) -> str:
    """How far the sweep is, in one sentence.

    >>> verdict({"done": 3, "total": 8, "failed": 1, "running": False, "interrupted": True})
    'Interrupted: 3 of 8 points are done, 1 of them failed.'
    """
    word = "Running" if state["running"] else "Interrupted" if state["interrupted"] else "Stopped"
    failed = f", {state['failed']} of them failed" if state["failed"] else ""
    if state["done"] >= state["total"] and not state["running"]:
        return f"Complete: {state['total']} points{failed}."
    return f"{word}: {state['done']} of {state['total']} points are done{failed}."


def look(state: dict[str, Any]) -> str:
    """The page's colour: good, bad (a point failed), soft (unfinished)."""
    if state["failed"]:
        return "bad"
    return "good" if state["done"] >= state["total"] else "soft"


def resume(folder: Path, state: dict[str, Any]) -> str:
    """The command that goes on where this stopped; '' where nothing is left to do."""
    if state["done"] >= state["total"] and not state["failed"]:
        return ""
    here = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else Path(folder.name)
    again = " --retry-failed" if state["done"] >= state["total"] else ""
    return f"dslab sweep --resume {shlex.quote(here.as_posix())}{again}"


def left_out(metrics: Sequence[str], swept: Sequence[str]) -> str:
    """What has no plot because there is too much of it; '' where everything has one."""
    parts = [f"{name_of(name)}" for name in metrics[MOST_METRICS:]]
    words = f"metrics without a plot or a column, beyond the first {MOST_METRICS}: {', '.join(parts)}" if parts else ""
    more = f"parameters without plots, beyond the first {MOST_PARAMETERS}: {', '.join(swept[MOST_PARAMETERS:])}"
    return "; ".join(filter(None, [words, more if len(swept) > MOST_PARAMETERS else ""]))


def summary(frame: DataFrame, columns: Sequence[str], swept: Sequence[str]) -> list[tuple[list[str], int, list[str]]]:
    """A row a configuration: its values, how many seeds passed, and each column's mean with its interval over seeds."""
    rows = []
    for values, group in numbers.configurations(numbers.passed(frame), [n for n in swept if f"param.{n}" in frame]):
        cells = []
        for column in columns:
            usable = numbers.usable(group, column)
            cells.append(_shown(column, numbers.over_seeds(usable)) if len(usable) else "–")
        rows.append(([number(value) for value in values], len(group), cells))
    return rows


def failures(folder: Path, frame: DataFrame) -> list[tuple[str, int, list[tuple[int, str]]]]:
    """What went wrong, the most frequent first: the error, how many points, the first of them with their notebooks."""
    found: dict[str, list[tuple[int, str]]] = {}
    for row in frame.to_dict("records"):
        if row["status"] != "passed":
            where = f" at {row['error_cell']}" if isinstance(row.get("error_cell"), str) else ""
            text = one_line(f"{row['status']}{where}: {row.get('error') or 'no message'}")
            found.setdefault(text, []).append((int(row["index"]), _link(folder, row)))
    return [(text, len(rows), rows[:8]) for text, rows in sorted(found.items(), key=lambda item: -len(item[1]))]


def points(folder: Path, frame: DataFrame, metrics: Sequence[str], swept: Sequence[str]) -> list[dict[str, Any]]:
    """A row a point for the page's table, in order; each value as text and, where it is a number, to sort by."""
    rows = []
    for row in frame.head(MOST_ROWS).to_dict("records"):
        good = row["status"] == "passed"
        rows.append({
            "index": int(row["index"]), "link": _link(folder, row), "status": row["status"],
            "chip": CHIPS.get(row["status"], "bad"), "error": "" if good else one_line(str(row.get("error") or "")),
            "values": [_cell(row.get(f"param.{name}")) for name in swept] + [_cell(row.get("seed"))],
            "metrics": [_cell(row.get(column)) for column in metrics[:MOST_METRICS]],
            "seconds": row.get("seconds"), "peak_bytes": row.get("peak_bytes"),
        })  # fmt: skip
    return sorted(rows, key=lambda row: row["index"])


def _plots(
    frame: DataFrame, column: str, units: dict[str, str], swept: Sequence[str], study: Study
) -> list[dict[str, str]]:
    usable = numbers.usable(frame, column)
    plots = []
    for name in swept if len(usable) else ():
        few = [
            other for other in swept
            if other != name and study.how != "zip" and 1 < usable[f"param.{other}"].nunique() <= figures.MOST_LINES
        ]  # fmt: skip
        picture = figures.draw(
            usable, column, _unit(column, units), name, order=study.grid.get(name, []), second=few[0] if few else None,
            drawn=name in study.spans,
        )  # fmt: skip
        source = f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode()}"
        plots.append({"source": source, "alt": picture.alt, "caption": picture.caption})
    return plots


def _shown(column: str, spread: numbers.Spread) -> str:
    if column != "peak_bytes":
        return str(spread)
    return str(numbers.Spread(spread.mean / 1e6, spread.low / 1e6, spread.high / 1e6, spread.kind, spread.count))


def _unit(column: str, units: dict[str, str]) -> str:
    return numbers.COSTS.get(column) or units.get(column) or units.get(column.removeprefix("metric."), "")


def _head(column: str, units: dict[str, str]) -> tuple[str, str]:
    return name_of(column), "MB" if column == "peak_bytes" else _unit(column, units)


def _cell(value: Any) -> dict[str, Any]:
    if _is_missing(value):
        return {"text": "–", "sort": ""}
    if hasattr(value, "item"):  # numpy's scalars
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)  # a column with gaps holds its whole numbers as floats
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"text": one_line(number(value), 80), "sort": repr(float(value)) if is_number else str(value)}


def _maybe(words: Callable[[Any], str]) -> Callable[[Any], str]:
    """The same, with a dash for what was never measured."""
    return lambda value: "–" if _is_missing(value) else words(value)


def _is_missing(value: Any) -> bool:
    import pandas

    return bool(pandas.isna(value))


def _link(folder: Path, row: dict[str, Any]) -> str:
    inside = folder / "points" / f"{int(row['index']):04d}-{row['point']}"
    found = sorted(inside.glob("*.ipynb"))
    return found[0].relative_to(folder).as_posix() if found else ""


def _toml(folder: Path, study: Study) -> str:
    record = folder / "study.toml"
    return record.read_text(encoding="utf-8") if record.is_file() else study.toml()


def _text_metrics(frame: DataFrame, metrics: Sequence[str]) -> list[str]:
    good = numbers.passed(frame)
    others = [name for name in good if name.startswith("metric.") and name not in metrics]
    return [name_of(name) for name in others if good[name].notna().any()]


def _seed_words(frame: DataFrame) -> str:
    count = frame["seed"].nunique() if "seed" in frame else 0
    if count >= numbers.FEWEST:
        return f"mean ± half of the 95 % t-interval over {count} seeds"
    return (
        "mean (and range) over two seeds: three are needed for an interval" if count == 2 else "one seed, no interval"
    )
