"""A house to run commands in: a copy of the package with notebooks of its own, and a log of every process started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import dslab

from . import toys

CLAIMS = """\
[[claim]]
id = "01.equal"
notebook = "01"
statement = "The error stays below one."
says = "us"
reference = ""
verdict = "true"
as_of = 2026-11-24
kind = "exact"
measures = "the largest error"
bound = "<= 1"

[[claim]]
id = "01.fast"
notebook = "01"
statement = "It is at least twice as fast."
says = "article"
reference = "https://example.org/article"
verdict = "outdated"
as_of = 2026-11-24
kind = "measured"
measures = "time ratio"
bound = ">= 2"
"""


def build_house(root: Path) -> Path:
    """A checkout in small: the package, a pyproject with an address, no notebooks yet."""
    package = Path(dslab.__file__).parent
    shutil.copytree(package, root / "dslab", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pyproject.toml").write_text('[project]\nurls = { Repository = "https://github.com/owner/name" }\n')
    (root / "notebooks").mkdir()
    (root / "data").mkdir()
    (root / "data" / "claims.toml").write_text(CLAIMS)
    return root


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A fresh house."""
    return build_house(tmp_path / "house")


@pytest.fixture
def started(tmp_path: Path) -> Callable[[], list[str]]:
    """Environment for `toys.dslab` under which every Python process leaves a line; call it for the lines."""
    site = tmp_path / "site"
    site.mkdir()
    log = site / "log"
    (site / "sitecustomize.py").write_text(
        f"import sys\nwith open({str(log)!r}, 'a') as log:\n    print(' '.join(sys.orig_argv), file=log)\n"
    )

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    lines.environment = {  # type: ignore[attr-defined]
        "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    return lines


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[toys.Done, Path, Path]:
    """One run of notebooks that end in every way there is. Returns how it ended, its folder, the notebooks' folder."""
    here = tmp_path_factory.mktemp("mixed")
    show = toys.code(toys.SHOW, "set-up")
    orphan = (
        "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    )
    greedy = "block = bytearray(300_000_000); import time; time.sleep(0.6)"
    caught = "from IPython.display import clear_output\n1 / 0"
    books = [
        toys.write(here / "good.ipynb", *toys.GOOD, title="A good one"),
        toys.write(here / "breaks.ipynb", toys.code("print('before')", "before"), toys.code("1 / 0", "divides"),
                   toys.code("open('after', 'w')", "after")),
        toys.write(here / "hangs.ipynb", toys.code("print('so far')", "before"),
                   toys.code("while True:\n    pass", "spins"), toys.code("open('after', 'w')", "after")),
        toys.write(here / "dies.ipynb", toys.code(orphan + "open('pid', 'w').write(str(child.pid))", "spawns"),
                   toys.code("import os\nos._exit(7)", "exits")),
        toys.write(here / "claims.ipynb", show, toys.code(toys.claim(False), "wrong"),
                   toys.code(toys.claim(False, "measured", "t.fast"), "slow"),
                   toys.code(toys.claim(None, "exact", "t.open"), "open")),
        toys.write(here / "greedy.ipynb", toys.code(
            f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {greedy!r}], check=True)", "takes")),
        toys.write(here / "shows.ipynb", toys.code(caught, "shown", "raises-exception"), toys.code("'end'", "last")),
    ]  # fmt: skip
    out = here / "out"
    done = toys.dslab("run", *books, "--out", out, "--jobs", 2, "--timeout", 8, cwd=here)
    return done, out, here
