"""`dslab bench mutants`: do the tests of the loss scaler notice when it is wrong?

A test that passes proves little; one that fails when it should proves something. Each fault of `scaler_faults.py` is
planted into a copy of the package, and the project's own tests run against the copy, in two layers: the unit tests, and
30 seeds of the differential fuzz alone. A fault that neither layer turns red has survived. Some three minutes on two
cores, in a checkout only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

from dslab.bench.report import Row, Table, this_machine
from dslab.bench.scaler_faults import FAULTS, Fault
from dslab.paths import PACKAGE, checkout, data_dir

TESTS = "tests/precision"
UNIT = [f"{TESTS}/test_{name}.py" for name in ("scaler", "scaler_order", "scaler_gradients", "scaler_state", "step")]
FUZZ = [f"{TESTS}/test_differential.py::test_bit_for_bit_equal_to_torch[{first}]" for first in (0, 15)]
LIMIT_S = 60  # of one test; a fault that makes a test hang is noticed too
REFUSED = 2


@dataclass(frozen=True)
class Verdict:
    """What became of one fault: the unit test that failed first, and whether the fuzz alone would have noticed."""

    fault: str
    meaning: str
    killed_by: str | None
    fuzz_alone: bool

    @property
    def killed(self) -> bool:
        """By either layer."""
        return self.killed_by is not None or self.fuzz_alone


@dataclass
class Mutants(Table):
    """The bench's table with a verdict for each fault."""

    verdicts: list[Verdict] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Plant, test, print, and with `--save` keep the table; 1 where a fault survives or the control does not pass."""
    parser = argparse.ArgumentParser(prog="dslab bench mutants", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--save", action="store_true", help="keep the table in data/bench/mutants.json")
    parser.add_argument("--jobs", type=int, default=2, help="test runs at a time (2)")
    options = parser.parse_args(arguments)
    if lacking := why_not():
        print(f"refused: {lacking}", file=sys.stderr)
        return REFUSED
    try:
        table = measure(FAULTS, max(1, options.jobs), say=print)
    except ControlFailed as error:
        print(f"without any fault the tests do not pass, so they can say nothing: {error}", file=sys.stderr)
        return 1
    show(table)
    if options.save:
        print(f"saved {table.save().name}")
    return int(not all(verdict.killed for verdict in table.verdicts))


class ControlFailed(Exception):
    """The unchanged package does not pass its own tests."""


def why_not() -> str | None:
    """What this bench lacks here; None if nothing."""
    root = checkout()
    if root is None or not (root / TESTS).is_dir():
        return f"`dslab bench mutants` runs the project's tests and needs a checkout that has {TESTS}/"
    missing = [name for name in ("pytest", "pytest_timeout", "hypothesis", "torch") if find_spec(name) is None]
    return f"the tests need {', '.join(missing)}: pip install 'dslab-course[test]'" if missing else None


def measure(faults: list[Fault], jobs: int = 2, say: Callable[[str], None] = lambda _: None) -> Mutants:
    """Run both layers on the package as it is and on every fault. Raises ControlFailed."""
    start = monotonic()
    with ProcessPoolExecutor(jobs, _context(), max_tasks_per_child=1) as pool:
        for failed in pool.map(first_failure, [None, None], [UNIT, FUZZ]):
            if failed:
                raise ControlFailed(failed)
        say(f"control passes after {monotonic() - start:.0f} s; {len(faults)} faults to plant")
        runs = [[pool.submit(first_failure, fault, tests) for tests in (UNIT, FUZZ)] for fault in faults]
        verdicts = []
        try:
            for fault, (by_unit, by_fuzz) in zip(faults, runs, strict=True):
                verdicts.append(Verdict(fault.name, fault.meaning, by_unit.result(), by_fuzz.result() is not None))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    rows = [
        Row("planted faults killed by the tests", sum(v.killed for v in verdicts), ">=", len(faults)),
        Row("of these, by 30 seeds of the fuzz alone", sum(v.fuzz_alone for v in verdicts), ">=", 0),
    ]
    return Mutants("mutants", rows, {"whole": round(monotonic() - start, 1)}, this_machine(threads=1), verdicts)


def _context() -> Any:
    """A fresh process for each run; where the system can, forked from one that has imported torch already."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch._dynamo", "pytest", "hypothesis"])
    return context


def first_failure(fault: Fault | None, tests: list[str]) -> str | None:
    """The first test that fails against a copy of the package with the fault in it; None if all pass. Takes over the
    process it runs in.

    Raises RuntimeError if the tests could not run at all: then the fault is badly written.
    """
    import pytest
    import torch

    root = checkout()
    assert root is not None
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="dslab-mutant-", ignore_cleanup_errors=True) as folder:
        copy, ignore = Path(folder), shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, copy / "dslab", ignore=ignore)
        shutil.copytree(root / TESTS, copy / TESTS, ignore=ignore)
        shutil.copy(root / "pyproject.toml", copy)
        shutil.copy(root / "tests" / "conftest.py", copy / "tests")
        if fault:
            plant(fault, copy / "dslab" / "precision" / fault.file)
        for name in [name for name in sys.modules if name.partition(".")[0] == "dslab"]:
            del sys.modules[name]  # from here on, dslab is the copy
        sys.path.insert(0, folder)
        os.chdir(copy)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # Jupyter's and the browser's cost seconds, and are not used
        first, said = FirstFailure(), io.StringIO()
        options = ["-x", "-q", "--tb=short", "-m", "not slow", "-p", "no:cacheprovider"]
        options += ["-p", "pytest_timeout", f"--timeout={LIMIT_S}"]
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = pytest.main([*options, *tests], plugins=[first])
        os.chdir(root)
    if code not in (0, 1) or (code == 1 and first.test is None):
        name = fault.name if fault else "no fault"
        raise RuntimeError(f"the tests did not run with {name} planted:\n{said.getvalue()[-2000:]}")
    return first.test


class FirstFailure:
    """A pytest plugin that notes the first test that fails."""

    test: str | None = None

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest after each phase of each test."""
        if report.failed and self.test is None:
            self.test = report.nodeid.removeprefix(f"{TESTS}/")


def plant(fault: Fault, path: Path) -> None:
    """Change the file. Raises ValueError if the text to change does not occur exactly once."""
    source = path.read_text(encoding="utf-8")
    if source.count(fault.original) != 1:
        raise ValueError(f"{fault.name}: its text occurs {source.count(fault.original)} times in {path.name}, not once")
    path.write_text(source.replace(fault.original, fault.replacement), encoding="utf-8")


def load(folder: Path | None = None) -> Mutants:
    """The saved table. Raises FileNotFoundError that says how to make one."""
    path = (folder or data_dir() / "bench") / "mutants.json"
    if not path.is_file():
        raise FileNotFoundError(f"no saved table {path.name}; `dslab bench mutants --save` makes it (some minutes)")
    saved = json.loads(path.read_text(encoding="utf-8"))
    rows, verdicts = [Row(**row) for row in saved["rows"]], [Verdict(**verdict) for verdict in saved["verdicts"]]
    return Mutants(saved["name"], rows, saved["seconds"], saved["machine"], verdicts)


def as_rows(table: Mutants) -> list[dict[str, str]]:
    """The verdicts as a notebook shows them."""
    return [
        {
            "fault": verdict.fault,
            "what it does to training": verdict.meaning,
            "killed by": verdict.killed_by or ("the fuzz only" if verdict.fuzz_alone else "SURVIVED"),
            "fuzz alone": "kills it" if verdict.fuzz_alone else "does not see it",
        }
        for verdict in table.verdicts
    ]


def show(table: Mutants) -> None:
    """Print the verdicts with rich."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    grid = RichTable(title="dslab bench mutants", title_justify="left", show_lines=True)
    for heading in ("fault", "what it does to training", "killed by", "fuzz alone"):
        grid.add_column(heading, overflow="fold")
    for row in as_rows(table):
        grid.add_row(*(escape(cell) for cell in row.values()))
    killed = sum(verdict.killed for verdict in table.verdicts)
    Console().print(grid)
    Console().print(f"{killed} of {len(table.verdicts)} faults killed in {table.seconds['whole']:.0f} s")
    Console().print(", ".join(f"{key} {value}" for key, value in table.machine.items()), style="dim")
