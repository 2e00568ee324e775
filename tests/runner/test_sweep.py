"""`dslab sweep` as a user sees it: one sweep whose points end in every way, its folder, its table, its last words."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from dslab import results
from dslab.runner import execute, point

from . import sweeps, toys

Swept = tuple[toys.Done, Path, Path]
NUMBER = r"\d+(\.\d)? s"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Points that end in every way there is. Returns how the command ended, its folder, the trace of its kernels."""
    here = tmp_path_factory.mktemp("swept")
    book = sweeps.notebook(here / "toy.ipynb")
    command = ("sweep", book, "-p", "way=good,breaks,hangs,dies,good,good", "-p", "window=2", "-p", r"note=a\,b")
    done = toys.dslab(*command, "--workers", 2, "--timeout", 5, "--out", "out", cwd=here, TRACE=str(here / "trace"))
    return done, here / "out", here / "trace"


def row(swept: Swept, way: str) -> dict[str, object]:
    return next(row for row in sweeps.parts(swept[1]) if row["param.way"] == way)


@pytest.mark.parametrize(
    ("way", "status", "cell", "error"),
    [
        ("good", "passed", None, None),
        ("breaks", "failed", "ends", "FileNotFoundError: nothing in <"),
        ("hangs", "timeout", "ends", "CellTimeout: the cell ran longer than 5"),
        ("dies", "died", "ends", "KernelDied: the kernel ended on its own with exit code 7"),
    ],
)
def test_each_point_ends_as_it_did_and_costs_only_its_row(
    swept: Swept, way: str, status: str, cell: str | None, error: str | None
) -> None:
    found = row(swept, way)
    assert (found["status"], found["error_cell"]) == (status, cell), swept[0].out
    assert str(found["error"]).startswith(str(error))
    assert ("metric.twice" in found) == (way == "good")
    executed = next((swept[1] / "points").glob(f"*-{found['point']}")) / "toy.ipynb"
    outputs = {each["id"]: each.get("outputs", []) for each in json.loads(executed.read_text())["cells"]}
    assert bool(outputs["reports"]) == (way == "good")
    assert any(each["output_type"] == "error" for each in outputs["ends"]) == (way != "good")


def test_a_failed_point_fails_the_sweep_and_is_named_last_with_its_notebook(swept: Swept) -> None:
    done = swept[0]
    assert done.code == 1, done.err
    assert done.err == ""
    tail = done.out.split("done\n")[1]
    assert "1 of 4 points passed, 3 did not" in tail
    notebook = r"out/points/0002-[0-9a-f]{12}/toy.ipynb"
    assert re.search(rf"way=breaks: failed at ends: FileNotFoundError: nothing in .*\n  {notebook}\n", tail), tail
    assert re.search(r"run them again: dslab sweep --resume out --workers \d --retry-failed", tail), tail
    assert "table: out/results.parquet and .csv" in tail
    assert "way: good given more than once, run once" in done.out


def test_progress_tells_each_point_and_the_time_left(swept: Swept) -> None:
    lines = [line for line in swept[0].out.splitlines() if re.match(r"[1-4]/4  ", line)]
    assert [line[:3] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert any(re.search(rf"passed  way=good  {NUMBER}, \d+ MB  (about {NUMBER} left|done)$", line) for line in lines)
    assert lines[-1].endswith("done")


def test_the_tables_are_the_sum_of_the_parts(swept: Swept) -> None:
    rows = sweeps.check_books(swept[1])
    assert [found["index"] for found in rows] == [1, 2, 3, 4]
    assert sorted(sweeps.traces(swept[2])) == ["breaks 2 0", "dies 2 0", "good 2 0", "hangs 2 0"]


def test_a_row_holds_parameters_results_and_what_made_it(swept: Swept) -> None:
    good = row(swept, "good")
    assert good["metric.twice"] == 4
    assert good["metric.window"] == "inf"  # as `page.metric` writes it: JSON has no such number
    assert (good["claim.t.equal"], good["holds.t.equal"]) == (3.5, True)
    assert (good["param.window"], good["param.rate"], good["param.note"], good["seed"]) == (2, 0.5, "a,b", 0)
    assert 0 < float(str(good["seconds"])) < 60
    assert 20e6 < float(str(good["peak_bytes"])) < 300e6
    assert good["threads"] == execute.threads_each(2)
    assert good["python"] == platform.python_version()
    assert {"dslab", "commit", "lock_sha256", "torch", "transformers", "peft", "numpy", "host_cores"} <= set(good)
    units = json.loads((swept[1] / "columns.json").read_text())
    assert units == {"metric.twice": "keys", "seconds": "s", "peak_bytes": "bytes"}


def test_no_row_names_this_machine(swept: Swept) -> None:
    text = "".join(path.read_text() for path in (swept[1] / "points").glob("*/row.json"))
    assert "nothing in <" in text
    assert "in <" in str(row(swept, "good")["metric.where"])
    for name in (str(Path.home()), os.path.realpath("/tmp"), str(swept[1].parent), platform.node()):
        assert len(name) < 4 or name not in text


def test_the_record_runs_the_same_study(swept: Swept) -> None:
    folder = swept[1]
    assert not any(cell.get("outputs") for cell in json.loads((folder / "toy.ipynb").read_text())["cells"])
    done = toys.dslab("sweep", folder / "study.toml", "--dry-run", cwd=folder.parent)
    assert done.code == 0, done.err
    assert "toy: 4 points" in done.out
    assert "note    a,b (fixed)" in done.out


def test_load_gives_a_frame_with_short_names(swept: Swept) -> None:
    frame = results.load(swept[1])
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["way"]) == ["good", "breaks", "hangs", "dies"]
    assert frame["twice"][0] == 4
    assert math.isinf(frame["metric.window"][0])  # a parameter has the name, so both keep their prefixes
    assert list(frame["param.window"]) == [2, 2, 2, 2]
    assert "param.device" in frame  # as given; `device` is where it ran
    assert not {"param.seed", "param.way", "window"} & set(frame)
    assert list(frame["status"]) == ["passed", "failed", "timeout", "died"]
    assert frame["seconds"].dtype == "float64"


def test_load_takes_a_table_alone_and_says_what_is_wrong(swept: Swept, tmp_path: Path) -> None:
    for name in ("results.parquet", "results.csv"):
        alone = tmp_path / name
        alone.mkdir()
        (alone / name).write_bytes((swept[1] / name).read_bytes())
        assert list(results.load(alone)["way"]) == ["good", "breaks", "hangs", "dies"]
        (alone / name).write_bytes(b"")
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            results.load(alone)
    with pytest.raises(FileNotFoundError, match=r"no sweep in .*: expected points"):
        results.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        results.load(tmp_path / "absent")


def test_resuming_what_is_done_starts_nothing(swept: Swept, tmp_path: Path, started: Callable[[], list[str]]) -> None:
    before = sweeps.parts(swept[1])
    command = ("sweep", "--resume", swept[1])
    done = toys.dslab(*command, cwd=tmp_path, TRACE=str(swept[2]), **started.environment)  # type: ignore[attr-defined]
    assert done.code == 1, done.out + done.err  # three points failed, and still do
    assert "1 of 4 points passed, 3 did not" in done.out
    assert len(started()) == 1
    assert sweeps.check_books(swept[1]) == before


def test_a_full_machine_costs_a_row_and_leaves_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from dslab.runner import executors

    def full(payload: dict[str, object], cancel: object) -> dict[str, object]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(executors, "run_point", full)
    local = executors.Local(1)
    local.start()
    payload = {"id": "a" * 12, "index": 3, "values": {"rank": 1, "seed": 5}}
    assert local.submit(payload) == "a" * 12
    [(key, result)] = local.finished(5)
    local.close(at_once=False)
    assert (key, result["row"]["status"], result["row"]["seed"]) == ("a" * 12, "lost", 5)
    assert "No space left on device" in result["row"]["error"]
    assert result["row"]["param.rank"] == 1
    assert set(result) == {"row", "notebook", "log", "units"} == set(point.lost(payload | {"threads": 1}, "x"))


def test_a_point_that_begins_as_the_sweep_is_stopped_is_no_result(tmp_path: Path) -> None:
    """It waited in the pool; a row of it would count as done when the sweep goes on."""
    stopped = threading.Event()
    stopped.set()
    payload = {"id": "a" * 12, "index": 3, "name": "toy", "values": {}, "timeout": 60.0, "threads": 1}
    payload["notebook"] = sweeps.notebook(tmp_path / "toy.ipynb").read_bytes()
    assert point.run_point(payload, stopped)["row"]["status"] == "interrupted"
