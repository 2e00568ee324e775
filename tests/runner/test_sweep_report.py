"""The page of a sweep: right means, honest intervals, axes that fit, and sense in every half of a table."""

from __future__ import annotations

import base64
import math
import re
from pathlib import Path
from typing import Any

import pytest

from dslab.runner import sweep_figures, sweep_numbers, sweep_report, table
from dslab.runner.grid import Span
from dslab.runner.study import Study

STUDY = Study("04_lora", {"rank": [1, 2, 4, 8], "targets": ["q", "all"]}, {"section": "train"}, seeds=[0, 1, 2])
UNITS = {"metric.accuracy": "share"}


def accuracy(values: dict[str, Any]) -> float:
    """What the toy measures: known, so that means are."""
    return 10 * values["rank"] + (values["targets"] == "all") + values["seed"]


def rows(study: Study = STUDY, **more: Any) -> list[dict[str, Any]]:
    """A finished point for each of a study's, as point.run_point makes them."""
    return [
        {"point": point.id, "index": point.index, "status": "passed", "error": None, "error_cell": None, "seconds": 2.0,
         "peak_bytes": 5e7, "seed": point.values.get("seed"), "dslab": "0.1.0", "commit": "c0ffee" * 6,
         **{f"param.{name}": value for name, value in point.values.items()},
         "metric.accuracy": accuracy({"rank": 1, "targets": "q", "seed": 0} | point.values), **more}
        for point in study.points()
    ]  # fmt: skip


def failed(row: dict[str, Any], status: str = "failed") -> dict[str, Any]:
    """The same point, had it failed after it showed a wild number."""
    return row | {"status": status, "error": "ZeroDivisionError: division by zero", "metric.accuracy": 1e6}


def page(folder: Path, found: list[dict[str, Any]], study: Study = STUDY, **state: Any) -> str:
    """The report of these rows, as text."""
    told = {"done": len(found), "total": study.count, "failed": sum(row["status"] != "passed" for row in found),
            "interrupted": False, "running": False, "command": "dslab sweep 04 -p rank=1,2,4,8",
            "seconds": 9.0}  # fmt: skip
    return sweep_report.write(folder, study, table.frame(found), UNITS, told | state).read_text("utf-8")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots cost time; where only the words of a page matter, one dummy stands for all."""
    picture = sweep_figures.Picture(b"<svg/>", "image/svg+xml", "a plot", "over something")
    monkeypatch.setattr(sweep_figures, "draw", lambda *_, **__: picture)


def pictures(html: str) -> list[tuple[str, bytes]]:
    """Type and bytes of each plot on a page."""
    found = re.findall(r'src="data:([^;]+);base64,([^"]+)"', html)
    return [(mime, base64.b64decode(data)) for mime, data in found]


def words(html: str) -> str:
    """A page without its tags and pictures."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)).split())


def test_an_interval_is_students_t() -> None:
    three = sweep_numbers.spread([1.0, 2.0, 3.0])
    assert (three.mean, three.kind) == (2.0, "t")
    assert three.high - three.mean == pytest.approx(4.30265 * 1.0 / math.sqrt(3), rel=1e-4)  # t of 2 degrees, 97.5 %
    six = sweep_numbers.spread([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert six.high - six.mean == pytest.approx(2.57058 * math.sqrt(3.5) / math.sqrt(6), rel=1e-4)


def test_fewer_than_three_seeds_have_no_interval() -> None:
    assert str(sweep_numbers.spread([1.0, 3.0])) == "2 (1 to 3)"
    assert str(sweep_numbers.spread([5.0])) == "5"


def test_a_curve_averages_within_a_seed_and_spreads_over_seeds() -> None:
    usable = sweep_numbers.usable(table.frame(rows()), "metric.accuracy")
    steps = dict(sweep_numbers.curve(usable, "rank"))
    assert {rank: spread.mean for rank, spread in steps.items()} == {1: 11.5, 2: 21.5, 4: 41.5, 8: 81.5}
    assert {spread.count for spread in steps.values()} == {3}  # seeds, not points
    assert steps[4].high - steps[4].mean == pytest.approx(4.30265 / math.sqrt(3), rel=1e-4)


@pytest.mark.usefixtures("undrawn")
def test_failed_points_count_in_no_mean(tmp_path: Path) -> None:
    found = rows()
    found[0], found[9] = failed(found[0]), failed(found[9], "timeout")
    usable = sweep_numbers.usable(table.frame(found), "metric.accuracy")
    assert usable["value"].max() < 100
    html = page(tmp_path, found)
    summary = html.split('id="summary"')[1].split("</article>")[0]
    assert "1e6" not in summary
    assert "1,000,000" not in summary


def test_missing_and_infinite_numbers_count_in_no_mean() -> None:
    found = rows()
    found[0]["metric.accuracy"], found[1]["metric.accuracy"], found[2]["metric.accuracy"] = "nan", "inf", None
    usable = sweep_numbers.usable(table.frame(found), "metric.accuracy")
    assert len(usable) == len(found) - 3
    assert sweep_numbers.numeric(table.frame(found)) == ["metric.accuracy", "seconds", "peak_bytes"]


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1, 2, 4, 8], "log"), ([1, 2, 3, 4], "linear"), ([1e-4, 1e-3, 1e-2], "log"), ([1, 40], "log"),
     ([1, 30], "linear"), ([0, 1, 1000], "linear"), ([-1, 1, 100], "linear"), ([5], "linear"),
     (["a", "b"], "positions"), ([True, False], "positions"), ([1, "auto"], "positions")],
)  # fmt: skip
def test_an_axis_fits_its_values(values: list[Any], scale: str) -> None:
    assert sweep_figures.axis_for(values).scale == scale


def test_categories_stand_in_the_order_of_the_study_and_their_line_runs_forward() -> None:
    usable = sweep_numbers.usable(table.frame(rows()), "metric.accuracy")
    assert sweep_figures.axis_for(["all", "q"], ["q", "all"]).values == ["q", "all"]
    picture = sweep_figures.draw(usable, "metric.accuracy", "", "targets", order=["q", "all"])
    assert "38.5 at targets q, 39.5 at all" in picture.alt  # of 10·(1+2+4+8)/4 + 1


def test_a_plot_names_its_axes_its_lines_and_what_its_band_is() -> None:
    usable = sweep_numbers.usable(table.frame(rows()), "metric.accuracy")
    picture = sweep_figures.draw(usable, "metric.accuracy", "share", "rank", second="targets")
    text = picture.data.decode()
    for label in ("accuracy [share]", "rank (log scale)", "targets q", "targets all"):
        assert f">{label}<" in text
    assert picture.caption == "over rank, a line for each targets; band: 95 % t-interval over 3 seeds"
    assert "targets q: 11 at rank 1, 81 at 8" in picture.alt


@pytest.mark.parametrize(("seeds", "band"), [([0], "one seed, no band"), ([0, 1], "band: range of two seeds")])
def test_a_plot_of_few_seeds_claims_no_interval(seeds: list[int], band: str) -> None:
    study = Study("04_lora", {"rank": [1, 2]}, {}, seeds=seeds)
    usable = sweep_numbers.usable(table.frame(rows(study)), "metric.accuracy")
    assert band in sweep_figures.draw(usable, "metric.accuracy", "", "rank").caption


def test_a_finished_sweep(tmp_path: Path) -> None:
    for row in rows()[:3]:
        point = tmp_path / "points" / f"{row['index']:04d}-{row['point']}"
        point.mkdir(parents=True)
        (point / "04_lora.ipynb").write_text("{}")
    html = page(tmp_path, rows())
    said = words(html)
    assert "What do rank and targets change in 04_lora?" in said
    assert "Complete: 24 points." in said
    assert "--resume" not in html
    assert len(pictures(html)) == 3 * 2  # accuracy, time and memory over two parameters
    assert all(mime == "image/svg+xml" and len(data) <= sweep_figures.LIMIT for mime, data in pictures(html))
    first = rows()[0]
    assert f'href="points/0001-{first["point"]}/04_lora.ipynb"' in html
    assert html.count(".ipynb") == 3  # no link to what is not there
    assert "12.0 ± 2.5" in said  # rank 1, all: seeds give 11, 12, 13
    assert "rank = [1, 2, 4, 8]" in said.replace("&#34;", '"')
    assert "dslab sweep 04 -p rank=1,2,4,8" in said
    assert not re.search(r'(src|href)="https?:', html)


def test_an_unfinished_sweep_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sweeps" / "one two"
    folder.mkdir(parents=True)
    said = words(page(folder, rows()[:5], interrupted=True))
    assert "Interrupted: 5 of 24 points are done." in said
    assert "Go on with dslab sweep --resume &#39;sweeps/one two&#39;" in said
    running = page(folder, rows()[:5], running=True)
    assert "Running: 5 of 24" in running
    assert "If it no longer runs, go on with" in running
    assert 'http-equiv="refresh"' in running


@pytest.mark.usefixtures("undrawn")
def test_failures_are_named_with_their_notebooks(tmp_path: Path) -> None:
    found = rows()
    found[3:6] = [failed(row) | {"error_cell": "train"} for row in found[3:6]]
    found[7] = failed(found[7], "lost") | {"error": "3 workers <died>"}
    said = words(page(tmp_path, found))
    assert "3 points failed at train: ZeroDivisionError: division by zero point 4, point 5, point 6" in said
    assert "1 point lost: 3 workers &lt;died&gt; point 8" in said
    assert "24 points, 4 of them failed." in said
    assert "--retry-failed" in said


def test_half_a_table_makes_a_page(tmp_path: Path) -> None:
    assert "No number has come in yet." in page(tmp_path, [], running=True)
    only_failed = page(tmp_path, [failed(row) for row in rows()[:2]])
    assert "No point reported a number." in only_failed
    assert not pictures(only_failed)
    lost = {
        "point": "a" * 12,
        "index": 1,
        "status": "lost",
        "error": "gone",
        "seconds": None,
        "seed": 0,
        "param.rank": 1,
    }
    assert "lost: gone" in page(tmp_path, [lost])


@pytest.mark.usefixtures("undrawn")
def test_texts_and_truths_are_no_plots(tmp_path: Path) -> None:
    found = rows(**{"metric.best layer": "q_proj", "metric.converged": True})
    html = page(tmp_path, found)
    assert "Metrics that are not numbers stand in results.csv : best layer, converged" in words(html)
    assert len(pictures(html)) == 6


@pytest.mark.usefixtures("undrawn")
def test_many_metrics_are_cut_and_what_is_cut_is_named(tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {name: [0, 1] for name in "abcde"}
    study = Study("04_lora", {"a": [0, 1]} | grid, {}, how="zip")
    html = page(tmp_path, rows(study, **{f"metric.m{number:02d}": 1.5 for number in range(13)}), study)
    assert len(pictures(html)) == (sweep_report.MOST_METRICS + 2) * sweep_report.MOST_PARAMETERS
    assert "beyond the first 12: m11, m12; parameters without plots, beyond the first 4: e" in words(html)


def test_a_plot_of_thousands_of_points_stays_light() -> None:
    study = Study(
        "04_lora", {"targets": ["q", "all"]}, {}, how="random", random=600, spans={"rank": Span(1, 99, "lin")}
    )
    usable = sweep_numbers.usable(table.frame(rows(study)), "metric.accuracy")
    picture = sweep_figures.draw(usable, "metric.accuracy", "", "rank", second="targets", drawn=True)
    assert len(picture.data) <= sweep_figures.LIMIT


@pytest.mark.usefixtures("undrawn")
def test_rows_of_two_commits_are_told_apart(tmp_path: Path) -> None:
    found = rows()
    found[0]["commit"] = "dead" * 10
    said = words(page(tmp_path, found))
    assert f"Not the same in every row: commit is {'c0ffee' * 6} in 23, {'dead' * 10} in 1." in said


@pytest.mark.usefixtures("undrawn")
def test_only_seeds_were_swept(tmp_path: Path) -> None:
    study = Study("04_lora", {}, {"rank": 2}, seeds=[0, 1, 2])
    said = words(page(tmp_path, rows(study), study))
    assert "How much does 04_lora vary between seeds?" in said
    assert "21.0 ± 2.5" in said
