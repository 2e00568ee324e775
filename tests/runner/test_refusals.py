"""What is refused before a kernel starts, and how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from . import toys

Started = Callable[[], list[str]]
RUN = ("run", "toy.ipynb", "--out", "out")

REFUSED = [
    (
        (*RUN, "-p", "windw=3"),
        ["unknown parameter 'windw'", "did you mean 'window'?", "valid parameters: seed, device"],
    ),
    ((*RUN, "-p", "window=3.5"), ["window must be an int in [1..64]; got '3.5'"]),
    ((*RUN, "-p", "window=65"), ["window must be an int in [1..64]; got 65"]),
    ((*RUN, "-p", "rate=nan"), ["rate must be a float", "got nan"]),
    ((*RUN, "-p", "causal=maybe"), ["causal must be a bool (true or false); got 'maybe'"]),
    ((*RUN, "-p", "device=CPU"), ["device must be a str from {auto,cpu,cuda,mps}", "did you mean 'cpu'?"]),
    ((*RUN, "--profile", "smok"), ["profile must be a str from {smoke,quick,full}", "did you mean 'smoke'?"]),
    ((*RUN, "-p", "window"), ["-p takes name=value", "'window'"]),
    ((*RUN, "-p", "window=1", "-p", "window=2"), ["window is given twice"]),
    ((*RUN, "--profile", "quick", "-p", "profile=smoke"), ["profile is given twice"]),
    ((*RUN[:2], "bare.ipynb", "--out", "out", "-p", "window=3"), ["bare: unknown parameter 'window'"]),
    (("run", "absent.ipynb", "--out", "out"), ["no notebook 'absent.ipynb'"]),
    (("run", "nowhere/absent.ipynb"), ["no notebook at nowhere/absent.ipynb"]),
    (("run", "damaged.ipynb", "--out", "out"), ["damaged.ipynb is not a notebook"]),
    (("run", "julia.ipynb", "--out", "out"), ["is a julia notebook"]),
    (("run", "toy.ipynb", "deeper/toy.ipynb", "--out", "out"), ["two notebooks are called toy"]),
    (("run", "statements.ipynb", "--out", "out"), ["parameters cell, line 2", "import os"]),
    ((*RUN, "--timeout", "0"), ["--timeout above 0"]),
    ((*RUN, "--jobs", "0"), ["--jobs"]),
    (("params", "deeper", "toy.ipynb"), ["unexpected extra argument"]),
    (("bench", "nothing"), ["dslab.bench.nothing does not exist"]),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Notebooks that leave a file behind as soon as a kernel runs them."""
    here = tmp_path_factory.mktemp("shelf")
    trace = toys.code("open('ran', 'w')", "trace")
    toys.write(here / "toy.ipynb", trace)
    toys.write(here / "deeper" / "toy.ipynb", trace)
    toys.write(here / "bare.ipynb", trace, parameters=None)
    toys.write(here / "statements.ipynb", trace, parameters="a: int = 1\nimport os\n")
    (here / "damaged.ipynb").write_text('{"cells": [')
    julia = toys.write(here / "julia.ipynb", trace)
    julia.write_text(julia.read_text().replace('"metadata": {}, "nbformat"', '"metadata": {"kernelspec": '
                     '{"language": "julia", "name": "j", "display_name": "J"}}, "nbformat"'))  # fmt: skip
    return here


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=lambda value: " ".join(value[-2:]))
def test_refused_before_a_kernel_starts(
    shelf: Path, started: Started, arguments: tuple[str, ...], said: list[str]
) -> None:
    done = toys.dslab(*arguments, cwd=shelf, **started.environment)  # type: ignore[attr-defined]
    assert done.code == 2, done.out + done.err
    for words in said:
        assert words in done.err.replace("Unexpected", "unexpected"), done.err
    assert "Traceback" not in done.err
    assert len(started()) == 1  # this command, and no worker, no kernel
    assert not list(shelf.glob("**/ran"))
    assert not (shelf / "out").exists()


def test_the_log_of_started_processes_sees_kernels(tmp_path: Path, started: Started) -> None:
    book = toys.write(tmp_path / "toy.ipynb", toys.code("1", "one"))
    done = toys.dslab("run", book, "--out", "out", cwd=tmp_path, **started.environment)  # type: ignore[attr-defined]
    assert done.code == 0, done.out + done.err
    assert any("ipykernel_launcher" in line for line in started())


def test_names_numbers_and_near_misses(house: Path) -> None:
    toys.write(house / "notebooks" / "01_sparse_attention.ipynb")
    toys.write(house / "notebooks" / "02_mixed_precision.ipynb", parameters="seed: int = 3  # random seed [0..9]\n")
    for name in ("02", "2", "02_mixed_precision", "notebooks/02_mixed_precision.ipynb"):
        done = toys.dslab("params", name, cwd=house)
        assert (done.code, done.out) == (0, "seed  int  3  [0..9]  random seed\n"), done.err
    done = toys.dslab("params", "sparse_atention", cwd=house)
    assert done.code == 2
    assert "did you mean 'sparse_attention'?" in done.err
    assert "01_sparse_attention, 02_mixed_precision" in done.err
