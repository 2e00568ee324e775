"""The worked studies: their tables are whole, they say how they were made, what they show follows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas
import pytest

from dslab import results
from dslab.book import studied
from dslab.runner import build, parameters, selection
from dslab.runner.study import from_data

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path for path in (ROOT / "data" / "studies").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_table_is_the_whole_study(folder: Path) -> None:
    study = tomllib.loads((folder / "study.toml").read_text("utf-8"))
    frame = results.load(folder)
    swept = {name: values for name, values in study["parameters"].items() if isinstance(values, list)}
    seeds = study["seeds"] if isinstance(study["seeds"], list) else list(range(study["seeds"]))
    expected = len(seeds)
    for name, values in swept.items():
        assert sorted(frame[name].unique().tolist()) == sorted(values)
        expected *= len(values)
    assert len(frame) == expected <= 40
    assert len(seeds) >= 3, "an interval over seeds needs three"
    assert len(frame.drop_duplicates([*swept, "seed"])) == expected
    assert sorted(frame["seed"].unique().tolist()) == sorted(seeds)
    assert set(frame["status"]) == {"passed"}
    assert frame["commit"].nunique() == 1
    assert not frame["modified"].any()
    for name, value in study["parameters"].items():
        if name not in swept:
            assert set(frame[name]) == {value}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_csv_and_parquet_agree(folder: Path) -> None:
    csv, parquet = pandas.read_csv(folder / "results.csv"), pandas.read_parquet(folder / "results.parquet")
    assert list(csv.columns) == list(parquet.columns)
    csv, parquet = (frame.astype(object).where(frame.notna(), None) for frame in (csv, parquet))
    pandas.testing.assert_frame_equal(csv, parquet, check_dtype=False)


def test_both_studies_are_there() -> None:
    assert [path.stem[:2] for path in selection.studies()] == ["s1", "s2"]
    assert [folder.name for folder in FOLDERS] == ["lora", "windows"]


@pytest.mark.parametrize("path", selection.studies(), ids=lambda path: path.stem)
def test_saved_outputs_follow_from_the_table(path: Path) -> None:
    assert build.build([str(path)], check=True) == 0


def test_an_interval_is_one_over_seeds() -> None:
    frame = pandas.DataFrame(
        [
            {"status": "passed", "point": f"{a}{b}{s}", "a": a, "b": b, "seed": s, "m": 10 * a + b + s}
            for a in (1, 2) for b in (0, 4) for s in (0, 1, 2)
        ]
    )  # fmt: skip
    spread = studied.means(frame, ["a"], ["m"])[(1,)]["m"]
    assert (spread.mean, spread.count, spread.kind) == (13.0, 3, "t")  # b averaged within a seed: 12, 13, 14
    assert spread.high - spread.mean == pytest.approx(4.302653 / 3**0.5, rel=1e-5)
    frame.loc[0, "status"] = "failed"
    with pytest.raises(ValueError, match="every point passed; these did not: 100"):
        studied.means(frame, ["a"], ["m"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_command_would_run_these_very_points(folder: Path) -> None:
    data = tomllib.loads((folder / "study.toml").read_text("utf-8"))
    [notebook] = selection.find([data["notebook"]])
    points = from_data(data, notebook.stem, parameters.from_notebook(notebook), "study.toml").points()
    assert {point.id for point in points} == set(results.load(folder)["point"])
