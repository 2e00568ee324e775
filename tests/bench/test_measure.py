"""What the bench stands on: medians in turns, peak memory, and a table that survives saving."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from dslab.bench.measure import interleaved
from dslab.bench.memory import extra_peak_bytes
from dslab.bench.report import Row, Table, as_rows, load, number


def test_calls_run_in_turns_and_medians_ignore_an_outlier(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    clock = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: clock[0])

    def call(name: str, costs: list[float]):
        def run() -> None:
            order.append(name)
            clock[0] += costs.pop(0)

        return run

    got = interleaved({"a": call("a", [9, 1, 1, 50]), "b": call("b", [9, 3, 2, 3])}, repeats=3)
    assert order == ["a", "b"] * 4  # the first round warms up
    assert got == pytest.approx({"a": 1, "b": 3})


def test_sleeping_is_not_work() -> None:
    got = interleaved({"sleep": lambda: time.sleep(0.05)}, repeats=1, warmup=0)
    assert got["sleep"] < 0.02


@pytest.mark.parametrize(("calls", "repeats"), [({}, 5), ({"a": lambda: None}, 0)])
def test_nothing_to_measure_is_refused(calls: dict, repeats: int) -> None:
    with pytest.raises(ValueError, match="at least one call and repeats >= 1"):
        interleaved(calls, repeats)


def test_peak_memory_sees_what_is_freed_again() -> None:
    size = 64 << 20

    def call() -> int:
        return len(bytearray(b"x") * size)

    extra = extra_peak_bytes(call)
    if not sys.platform.startswith("linux"):
        assert extra is None
    elif extra is None:
        pytest.skip("the peak cannot be reset here (/proc/self/clear_refs)")
    else:
        assert 0.9 * size <= extra <= 1.5 * size


@pytest.mark.parametrize(
    ("value", "bound", "must", "holds"),
    [
        (2.0, ">=", 2.0, True),
        (1.9, ">=", 2.0, False),
        (2.1, "<=", 2.0, False),
        (1.0, "<=", 2.0, True),
        (None, ">=", 1, None),
    ],
)
def test_a_row_holds_or_not(value: float | None, bound: str, must: float, holds: bool | None) -> None:
    assert Row("x", value, bound, must).holds is holds


def test_a_table_is_read_as_it_was_saved(tmp_path: Path) -> None:
    table = Table(
        "t", [Row("x", 1.5, ">=", 1.0, 2.0), Row("y", None, "<=", 1.0, why="no /proc")], {"a": 0.25}, {"threads": 2}
    )
    table.save(tmp_path)
    assert load("t", tmp_path) == table
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]
    assert [row[""] for row in as_rows(table)] == ["reached", "not measured"]
    with pytest.raises(FileNotFoundError, match="dslab bench u --save"):
        load("u", tmp_path)


def test_numbers_are_short() -> None:
    assert [number(x) for x in (None, 3.14159, 14.0026, 3.6e-7, 0.0)] == ["", "3.14", "14", "4e-07", "0"]
