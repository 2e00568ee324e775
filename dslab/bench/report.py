"""A bench's table: rows with a bar, the machine they were measured on, printed, saved as JSON and read again."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from dslab.paths import data_dir


@dataclass(frozen=True)
class Row:
    """One measured number with the bar it must reach and the figure aimed at.

    bound: ">=" or "<=". value is None where this machine cannot measure it; `why` then says so.
    """

    quantity: str
    value: float | None
    bound: str
    must: float
    aim: float | None = None
    why: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the bar is reached; None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.must if self.bound == ">=" else self.value <= self.must


@dataclass
class Table:
    """The rows of one bench run."""

    name: str
    rows: list[Row] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # raw medians, CPU seconds, for who wants to look
    machine: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path | None = None) -> Path:
        """Write `data/bench/NAME.json`, whole or not at all."""
        path = (folder or data_dir() / "bench") / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".json.part")
        half.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        half.replace(path)
        return path


def load(name: str, folder: Path | None = None) -> Table:
    """The saved table. Raises FileNotFoundError that says how to make one."""
    path = (folder or data_dir() / "bench") / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no saved table {path.name}; `dslab bench {name} --save` makes it (some minutes)")
    saved = json.loads(path.read_text(encoding="utf-8"))
    return Table(saved["name"], [Row(**row) for row in saved["rows"]], saved["seconds"], saved["machine"])


def command(name: str, purpose: str, measure: Callable[..., Table], arguments: list[str]) -> int:
    """The command line of a bench without options of its own: measure, print, and with `--save` keep the table.

    purpose: the bench's docstring. measure(say=print) gives the table. Returns 1 where a bar is missed.
    """
    parser = argparse.ArgumentParser(prog=f"dslab bench {name}", description=purpose.split("\n")[0])
    parser.add_argument("--save", action="store_true", help=f"keep the table in data/bench/{name}.json")
    options = parser.parse_args(arguments)
    table = measure(say=print)
    show(table)
    if options.save:
        print(f"saved {table.save().name}")
    return int(any(row.holds is False for row in table.rows))


def this_machine(threads: int) -> dict[str, Any]:
    """What the figures depend on: processor, threads, versions, date and how busy the machine was."""
    load_average = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "load_average": load_average,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def show(table: Table) -> None:
    """Print the rows with rich."""
    from rich.console import Console
    from rich.table import Table as RichTable

    grid = RichTable(title=f"dslab bench {table.name}", title_justify="left")
    grid.add_column("quantity")
    for heading in ("measured", "must", "aim"):
        grid.add_column(heading, justify="right")
    grid.add_column("")
    words = {True: "reached", False: "MISSED", None: "not measured"}
    for row in table.rows:
        aim = f"{row.bound} {number(row.aim)}" if row.aim is not None else ""
        grid.add_row(
            row.quantity, number(row.value), f"{row.bound} {number(row.must)}", aim,
            words[row.holds] + (f" ({row.why})" if row.why else ""),
        )  # fmt: skip
    Console().print(grid)
    Console().print(", ".join(f"{key} {value}" for key, value in table.machine.items()), style="dim")


def number(value: float | None) -> str:
    """Short, with three significant figures."""
    return "" if value is None else f"{value:.0e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}"


def as_rows(table: Table) -> Sequence[dict[str, str]]:
    """The rows as a notebook shows them."""
    words = {True: "reached", False: "missed", None: "not measured"}
    return [
        {
            "quantity": row.quantity,
            "measured": number(row.value),
            "must reach": f"{row.bound} {number(row.must)}",
            "": words[row.holds],
        }
        for row in table.rows
    ]
