"""A sweep that is cut off: Ctrl-C, full disks, a cluster that is gone, changed studies; without kernels.

The table is always the sum of its parts, no point is run twice, no process is left, and the sweep can go on.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from dslab.runner import normalize, sweep
from dslab.runner.point import lost
from dslab.runner.sweep_plan import Asked

from . import sweeps


class Quick:
    """Points without kernels, for what happens around them: each ends at once, as its values say."""

    where, slots = "nowhere", 2

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.open: list[dict[str, Any]] = []
        self.closed: list[bool] = []
        self.interrupt_after = 10**9

    def start(self) -> None:
        """Nothing to do."""

    def submit(self, payload: dict[str, Any]) -> str:
        self.open.append(payload)
        return str(payload["id"])

    def finished(self, timeout: float) -> list[tuple[str, dict[str, Any]]]:
        if len(self.ran) >= self.interrupt_after:
            raise KeyboardInterrupt
        if not self.open or timeout == 0:  # 0: what had ended before the end, which is nothing here
            return []
        payload = self.open.pop(0)
        self.ran.append(payload["index"])
        result = lost(payload | {"threads": 1}, "x")
        result["row"] |= {"status": "passed", "error": None, "seconds": 0.1, "metric.twice": 2 * payload["index"]}
        return [(payload["id"], result | {"notebook": b"{}"})] * 2  # news that comes twice counts once

    def close(self, at_once: bool) -> None:
        self.closed.append(at_once)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quick:
    """An executor without kernels in place of this machine, in a folder with a notebook."""
    executor = Quick()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "Local", lambda slots: executor)
    monkeypatch.setattr(sweep._Sweep, "_report", lambda *_, **__: "")
    sweeps.notebook(tmp_path / "toy.ipynb")
    return executor


STUDY = Asked("toy.ipynb", ["window=1..8"], out="out")
AGAIN = Asked(resume="out")


def test_an_interrupted_sweep_keeps_what_came_and_runs_only_the_rest(
    quick: Quick, capsys: pytest.CaptureFixture[str]
) -> None:
    quick.interrupt_after = 3
    assert sweep.sweep(STUDY) == 130
    assert [row["index"] for row in sweeps.check_books(Path("out"))] == [1, 2, 3]
    assert quick.closed == [True]
    assert "interrupted; go on with: dslab sweep --resume out" in capsys.readouterr().out
    quick.interrupt_after = 10**9
    quick.open.clear()
    assert sweep.sweep(AGAIN) == 0
    assert quick.ran == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["index"] for row in sweeps.check_books(Path("out"))] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert quick.closed == [True, False]


def test_the_table_grows_with_each_point(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    finished = quick.finished

    def look(timeout: float) -> list[tuple[str, dict[str, Any]]]:
        seen.append(len(sweeps.check_books(Path("out"))) if Path("out/results.csv").exists() else 0)
        return finished(timeout)

    monkeypatch.setattr(quick, "finished", look)
    assert sweep.sweep(STUDY) == 0
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("name", ["toy.ipynb", "columns.json", "row.json", "results.parquet", "results.csv"])
def test_a_full_disk_stops_with_a_sentence_and_the_sweep_goes_on_later(
    quick: Quick, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is full from the third time on that a file of this name is written (the first, where it is only one)."""
    written: list[Path] = []
    write = normalize.write_bytes

    def full(path: Path, content: bytes) -> None:
        written.extend([path] if path.name == name else [])
        if path.name == name and len(written) >= (1 if name == "columns.json" else 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(normalize, "write_bytes", full)
        assert sweep.sweep(STUDY) == 1
    out = capsys.readouterr().out
    assert "cannot write to out: No space left on device; go on with: dslab sweep --resume out" in out
    assert quick.closed == [True]
    kept = {row["index"] for row in sweeps.parts(Path("out"))}
    assert kept == {"toy.ipynb": {1}, "columns.json": set(), "row.json": {1, 2}}.get(name, {1, 2, 3})
    quick.ran.clear()
    quick.open.clear()
    assert sweep.sweep(AGAIN) == 0
    assert set(quick.ran) == set(range(1, 9)) - kept
    assert len(sweeps.check_books(Path("out"))) == 8


def test_what_a_kill_left_half_done_counts_as_nothing(quick: Quick) -> None:
    quick.interrupt_after = 4
    assert sweep.sweep(STUDY) == 130
    third = next(Path("out/points").glob("0003-*"))
    (third / "row.json").rename(third / ".row.json.x1.part")  # killed before the rename
    second = next(Path("out/points").glob("0002-*"))
    (second / "row.json").write_bytes(b"")  # the machine lost power
    Path("out/results.csv").write_text("point\nnonsense\n")  # and the table is stale
    quick.interrupt_after = 10**9
    quick.ran.clear()
    quick.open.clear()
    assert sweep.sweep(AGAIN) == 0
    assert quick.ran == [2, 3, 5, 6, 7, 8]
    assert len(sweeps.check_books(Path("out"))) == 8


def test_failed_points_stay_and_lost_ones_run_again(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = quick.finished

    def fail(timeout: float) -> list[tuple[str, dict[str, Any]]]:
        came = finished(timeout)
        for _, result in came:
            index = result["row"]["index"]
            result["row"]["status"] = {2: "failed", 5: "lost"}.get(index, "passed")
            result["log"] = "words" if index == 2 else ""
        return came

    with monkeypatch.context() as patch:
        patch.setattr(quick, "finished", fail)
        assert sweep.sweep(STUDY) == 1
    assert next(Path("out/points").glob("0002-*/log.txt")).read_text() == "words"
    assert sweep.sweep(AGAIN) == 1
    assert quick.ran[8:] == [5]
    assert sweep.sweep(Asked(resume="out", retry_failed=True)) == 0
    assert quick.ran[9:] == [2]
    assert len(sweeps.check_books(Path("out"))) == 8
    assert not list(Path("out/points").glob("*/log.txt"))


def test_a_cluster_that_is_gone_stops_the_sweep_and_keeps_all(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = quick.finished

    def gone(timeout: float) -> list[tuple[str, dict[str, Any]]]:
        if len(quick.ran) == 3:
            raise sweep.ClusterGone("the scheduler at tcp://x is gone")
        return finished(timeout)

    monkeypatch.setattr(quick, "finished", gone)
    assert sweep.sweep(STUDY) == 1
    assert "the scheduler at tcp://x is gone; go on with: dslab sweep --resume out" in capsys.readouterr().out
    assert len(sweeps.check_books(Path("out"))) == 3


def test_a_cluster_that_refuses_leaves_no_folder(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise sweep.Refused("worker 1 has another commit")

    monkeypatch.setattr(quick, "start", refuse)
    with pytest.raises(sweep.Refused, match="another commit"):
        sweep.sweep(STUDY)
    assert not Path("out").exists()


def test_a_folder_that_takes_no_record_is_refused_and_taken_back(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    write = normalize.write_bytes

    def full(path: Path, content: bytes) -> None:
        if path.name == "study.toml":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(normalize, "write_bytes", full)
        with pytest.raises(sweep.Refused, match="cannot write to out: No space left on device; nothing was run"):
            sweep.sweep(STUDY)
    assert not Path("out").exists()
    assert quick.ran == []
    assert sweep.sweep(STUDY) == 0


def test_a_changed_study_or_notebook_is_not_resumed(quick: Quick) -> None:
    quick.interrupt_after = 2
    assert sweep.sweep(STUDY) == 130
    with pytest.raises(sweep.Refused, match=r"window: 1, 2, .* in the folder, 1, 2, 3 given"):
        sweep.sweep(Asked("toy.ipynb", ["window=1,2,3"], resume="out"))
    book = Path("toy.ipynb")
    before = book.read_text()
    book.write_text(before.replace("window * 2", "window * 3"))
    with pytest.raises(sweep.Refused, match="notebook was changed since: cell reports"):
        sweep.sweep(Asked("toy.ipynb", ["window=1..8"], resume="out"))
    assert len(sweeps.check_books(Path("out"))) == 2
    book.write_text(before)
    quick.interrupt_after = 10**9
    quick.open.clear()
    assert sweep.sweep(Asked("toy.ipynb", ["window=1..8"], resume="out")) == 0
    assert quick.ran == list(range(1, 9))


def test_what_ends_while_it_waits_for_a_cluster_leaves_nothing(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(quick, "start", never)
    assert sweep.sweep(STUDY) == 130
    assert not Path("out").exists()
    assert capsys.readouterr().out == "interrupted; nothing was run\n"


def test_what_had_ended_when_it_was_interrupted_is_kept(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    finished, closed = quick.finished, quick.closed

    def late(timeout: float) -> list[tuple[str, dict[str, Any]]]:
        if not closed and len(quick.ran) == 2:
            raise KeyboardInterrupt
        return finished(timeout or 1)

    monkeypatch.setattr(quick, "finished", late)
    assert sweep.sweep(STUDY) == 130
    assert [row["index"] for row in sweeps.check_books(Path("out"))] == [1, 2, 3]
