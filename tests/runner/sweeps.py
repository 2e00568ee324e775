"""For the tests of `dslab sweep`: a notebook that ends as it is told, and the books of a sweep's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas

from dslab.runner import table

from . import toys

PARAMETERS = toys.PARAMETERS + 'way: str = "good"  # how it ends {good,breaks,hangs,dies,waits}\n'
TRACE = """\
import os, sys, time
with open(os.environ["TRACE"], "a") as trace:
    trace.write(f"{way} {window} {seed} {os.getpid()}\\n")
"""
ENDS = """\
if way == "breaks":
    raise FileNotFoundError(f"nothing in {os.getcwd()}")
if way == "hangs":
    while True: pass
if way == "dies":
    os._exit(7)
if way == "waits":
    import subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(os.environ["TRACE"] + ".child", "w").write(str(child.pid))
    while not os.path.exists(os.environ["TRACE"] + ".go"): time.sleep(0.05)
"""
REPORTS = """\
show('metric', name='twice', value=window * 2, unit='keys')
show('metric', name='window', value='inf' if window == 2 else 1.5, unit='')
show('metric', name='where', value=f'in {os.getcwd()}')
"""


def notebook(path: Path, *more: toys.Cell) -> Path:
    """A notebook that says that it runs, ends in the way `way`, and if it lives reports."""
    return toys.write(
        path, toys.code(toys.SHOW, "set-up"), toys.code(TRACE, "traces"), toys.code(ENDS, "ends"), *more,
        toys.code(REPORTS + toys.claim(True), "reports"), parameters=PARAMETERS,
    )  # fmt: skip


def parts(folder: Path) -> list[dict[str, Any]]:
    """The rows of a sweep's points, read without the code under test."""
    rows = [json.loads(path.read_text()) for path in folder.glob("points/*/row.json")]
    return sorted(rows, key=lambda row: row["index"])


def check_books(folder: Path) -> list[dict[str, Any]]:
    """The tables are the sum of the parts, no point is in them twice, nothing half-written lies about."""
    rows = parts(folder)
    parquet = pandas.read_parquet(folder / table.PARQUET)
    csv = pandas.read_csv(folder / table.CSV, keep_default_na=False, dtype=str)
    assert list(parquet["point"]) == list(csv["point"]) == [row["point"] for row in rows]
    assert len({row["point"] for row in rows}) == len(rows)
    assert list(parquet.columns) == list(csv.columns)
    assert set(parquet.columns) == {name for row in rows for name in row}
    for name in parquet.columns:
        for at, row in enumerate(rows):
            told, cell, value = row.get(name), csv[name][at], parquet[name][at]
            if told is None:
                assert pandas.isna(value), (name, value)
                assert cell == "", (name, cell)
            elif isinstance(told, float) or told in ("inf", "-inf"):
                assert float(value) == float(cell) == float(told), (name, told, value, cell)
            else:
                assert str(value) == cell == str(told), (name, told, value, cell)
    for path in (folder / "points").iterdir():
        kept = {entry.name for entry in path.iterdir()}
        assert "row.json" not in kept or path.name.split("-")[1] in {row["point"] for row in rows}
    assert not [path for path in folder.rglob("*") if path.name.endswith(".part")]
    return rows


def traces(path: Path) -> list[str]:
    """`way window seed` of each kernel that ran, in order."""
    return [line.rsplit(" ", 1)[0] for line in path.read_text().splitlines()] if path.exists() else []


def kernels(path: Path) -> list[int]:
    """Process ids of each kernel that ran."""
    return [int(line.rsplit(" ", 1)[1]) for line in path.read_text().splitlines()] if path.exists() else []
