"""`dslab test`: ruff, mypy, then pytest over everything, notebooks included; a summary, and pytest's own last line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dslab import paths
from dslab.runner import execute
from dslab.runner.display import duration
from dslab.runner.selection import Refused

CLOSING = re.compile(r"^(=+ )?(?P<counts>.*\b(passed|failed|error|errors|deselected|no tests ran)\b.* in [\d.]+s.*)$")
TELLING = re.compile(r"^(Found \d|All checks|Success)")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
MAX_WORKERS = 4


def run_checks(arguments: Sequence[str] = ()) -> int:
    """Run every check; extra arguments go to pytest. Returns 0, 1 (something failed) or 130."""
    root = paths.checkout()
    if root is None:
        raise Refused("dslab test needs a checkout of the repository; this is an installed package")
    missing = [name for name in ("ruff", "mypy", "pytest") if find_spec(name) is None]
    if missing:
        raise Refused(f"{', '.join(missing)} not installed here; `python -m dslab test` sets up what tests need")
    console = Console(highlight=False)
    steps = {
        "ruff": [sys.executable, "-m", "ruff", "check", "."],
        "mypy": [sys.executable, "-m", "mypy"],
        "pytest": [sys.executable, "-m", "pytest", *pytest_arguments(root, arguments)],
    }
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("check", "result", "time", "says"):
        table.add_column(title, justify="right" if title == "time" else "left")
    worst, closing = 0, ""
    for name, command in steps.items():
        console.rule(f"[bold]{name}", align="left", style="dim")
        started = time.perf_counter()
        try:
            code, last = _tee(command, root, name)
        except KeyboardInterrupt:
            return 130
        if name == "pytest":
            closing = last
        if code == 130 or (name == "pytest" and code == 2):
            return 130
        worst = max(worst, int(code != 0))
        result = "[green]passed[/]" if code == 0 else "[red]failed[/]"
        table.add_row(name, result, duration(time.perf_counter() - started), ANSI.sub("", last).strip("= "))
    console.rule("[bold]summary", align="left", style="dim")
    console.print(table)
    sys.stdout.flush()
    print(closing)
    return worst


def pytest_arguments(root: Path, arguments: Sequence[str]) -> list[str]:
    """What pytest is started with: the saved notebooks beside the tests, not the slow ones, a worker a core.

    A file belongs to one worker, since the cells of a notebook share a kernel. The notebooks come first and files keep
    their order: xdist would put those with few tests last, which take longest, and leave a worker idle at the end.
    """
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    chosen = [] if any(argument.split("=")[0] == "-m" for argument in arguments) else ["-m", "not slow"]
    files = [root / argument.split("::")[0] for argument in arguments if not argument.startswith("-")]
    named = any(file.exists() for file in files)
    everything = [] if named else ["notebooks", "tests", "dslab"]
    notebooks = files if named else [root / "notebooks"]
    if find_spec("nbval") and any(file.suffix == ".ipynb" or any(file.rglob("*.ipynb")) for file in notebooks):
        everything += ["--nbval-lax", "--nbval-current-env"]
    elif not named:
        everything.remove("notebooks")
    workers = min(execute.cores(), MAX_WORKERS)
    own = any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in arguments)
    spread = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    spread = spread if workers > 1 and find_spec("xdist") and not own else []
    return [*colour, *chosen, *spread, *arguments, *everything]


def _tee(command: Sequence[str], root: Path, name: str) -> tuple[int, str]:
    """Run a command, show what it prints as it comes, and keep its last telling line."""
    workers = min(execute.cores(), MAX_WORKERS)
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    environment |= {name: str(max(1, execute.cores() // workers)) for name in execute.THREAD_VARIABLES}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    last, line = "", b""
    try:
        while piece := process.stdout.read1(65536):  # type: ignore[attr-defined]
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            *whole, line = (line + piece).split(b"\n")
            for text in (raw.decode(errors="replace").rstrip() for raw in whole):
                if (CLOSING if name == "pytest" else TELLING).match(ANSI.sub("", text)):
                    last = text
        return process.wait(), last
    except KeyboardInterrupt:
        process.wait()  # it has the same Ctrl-C
        raise
