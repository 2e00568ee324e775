"""The bars of `dslab bench lora`, the kept study behind them, and that the study can be stopped and continued."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dslab.bench import lora, lora_study
from dslab.bench.lora_study import PARTS, Run, key, matching, planned
from dslab.bench.report import Table


def kept(run: Run, accuracy: float = 0.5) -> dict[str, Any]:
    look = {"steps": run.steps, "accuracy": accuracy, "low": 0.4, "high": 0.6, "n": 100, "english": 2.9}
    return {"run": json.loads(json.dumps(asdict(run))), "looks": [look], "losses": [], "seconds": 1.0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lora_study, "data_dir", lambda: tmp_path)
    (tmp_path / "bench").mkdir()
    return tmp_path / "bench"


def test_a_run_in_several_parts_is_done_once_and_seeds_come_in_whole_rounds() -> None:
    runs = planned(list(PARTS), seeds=3)
    assert len(runs) == len(set(runs))
    assert len(planned(["rates", "ranks"], 1)) < len(planned(["rates"], 1)) + len(planned(["ranks"], 1))
    assert [run.seed for run in planned(["ranks"], 3)] == sorted(run.seed for run in planned(["ranks"], 3))


def test_a_study_goes_on_where_it_was_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[Run] = []

    def execute(run: Run) -> dict[str, Any]:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(run)
        return kept(run)

    monkeypatch.setattr(lora_study, "execute", execute)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            lora_study.main(["--part", "ranks", "--seeds", "2", "--save"])
        done.clear()
    # A kill in the middle of a line costs that line only, and not the next one.
    with lora_study.path().open("a", encoding="utf-8") as file:
        file.write('{"run": {"task": "da')
    monkeypatch.setattr(lora_study, "execute", kept)
    assert lora_study.main(["--part", "ranks", "--seeds", "2", "--save"]) == 0
    rows = lora_study.load()
    assert sorted(key(row["run"]) for row in rows) == sorted(key(asdict(run)) for run in planned(["ranks"], 2))
    assert "0 runs to do" not in capsys.readouterr().out
    lora_study.main(["--part", "ranks", "--seeds", "2", "--save"])
    assert "0 runs to do, 8 kept already" in capsys.readouterr().out


def test_without_save_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora_study, "execute", kept)
    assert lora_study.main(["--part", "bases", "--seeds", "1"]) == 0
    assert not lora_study.path().exists()


def test_the_studys_bars_follow_its_figures(folder: Path) -> None:
    def bars(better: float, nf4: float) -> dict[str, bool | None]:
        rows = [
            kept(Run(task, "lora", seed, steps=40, looks=(10, 20)), 0.9)
            for task in ("json", "dates")
            for seed in (0, 1)
        ]
        for method, lr, accuracy in (
            ("lora", 1e-3, better), ("lora", 1e-4, 0.5), ("full", 1e-4, better), ("full", 1e-3, 0.5),
        ):  # fmt: skip
            rows += [kept(Run("dates", method, s, lr=lr, r=8 if method == "lora" else 0), accuracy) for s in (0, 1)]
        rows += [kept(Run("dates", "lora", seed, base="nf4"), nf4) for seed in (0, 1)]
        # Runs that are not asked for change no bar.
        rows += [
            kept(Run("dates", "lora", 0, steps=40, base="nf4"), 0.0),
            kept(Run("json", "lora", 0, steps=40, r=1), 0.0),
        ]
        lora_study.path().write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        table = Table("lora")
        lora._studied(table)
        return {row.quantity: row.holds for row in table.rows}

    assert set(bars(better=0.9, nf4=0.89).values()) == {True}
    worse = bars(better=0.4, nf4=0.55)
    assert [name for name, holds in worse.items() if not holds] == [
        "study: lora at 0.001 less lora at 0.0001", "study: full at 0.0001 less full at 0.001",
        "study: NF4: distance from fp32, in half-widths of its interval",
    ]  # fmt: skip
    lora_study.path().unlink()
    table = Table("lora")
    lora._studied(table)
    assert {row.holds for row in table.rows} == {None}


MISSED = {"study: NF4: distance from fp32, in half-widths of its interval"}

made_with_the_notebook = pytest.mark.skipif(
    not list((Path(__file__).parents[2] / "notebooks").glob("04_*.ipynb")),
    reason="the study and the table belong to notebook 04, which is not there yet",
)


@made_with_the_notebook
def test_the_kept_study_is_whole_and_reaches_its_bars() -> None:
    rows = lora_study.load()
    have = {key(row["run"]) for row in rows}
    assert [run.name for run in planned(list(PARTS), lora_study.SEEDS) if key(asdict(run)) not in have] == []
    assert all(look["n"] >= 100 for row in rows for look in row["looks"])
    assert all({"processor", "threads", "torch", "date"} <= set(row["machine"]) for row in rows)
    assert len(matching(rows, task="dates", method="prompt", shots=4)) == lora_study.SEEDS
    table = Table("lora")
    lora._studied(table)
    assert [row.quantity for row in table.rows if row.quantity not in MISSED and not row.holds] == []


@made_with_the_notebook
@pytest.mark.xfail(strict=True, reason="measured: beside NF4 LoRA learns dates 5 points less well after 20 steps")
def test_nf4_costs_no_accuracy() -> None:
    assert lora.nf4_distance(lora_study.load()) <= 1


@made_with_the_notebook
def test_the_saved_table_reaches_every_bar_but_one() -> None:
    table = lora.load("lora")
    assert len(table.rows) >= 15
    assert {row.quantity for row in table.rows if row.holds is not True} == MISSED
    study: dict[str, float | None] = {
        row.quantity: row.value for row in table.rows if row.quantity.startswith("study: ")
    }
    again = Table("lora")
    lora._studied(again)
    assert study == {row.quantity: row.value for row in again.rows}, "`dslab bench lora --save` is older than the study"
