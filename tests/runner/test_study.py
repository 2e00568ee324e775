"""A study: its points, its record, what differs between two."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslab.runner import parameters, study_toml
from dslab.runner import study as studies
from dslab.runner.parameters import ParameterError
from dslab.runner.selection import Refused

SPECIFICATION = parameters.parse("""\
seed: int = 0  # random seed [0..1000]
rank: int = 8  # adapter rank [1..64]
lr: float = 0.001  # learning rate [0..1]
causal: bool = True  # whether the future is hidden
note: str = ""  # free text
timeout: int = 3  # a parameter may be called as a key is
""")


def build(given: dict[str, Any], **options: Any) -> studies.Study:
    return studies.build("toy", SPECIFICATION, given, **options)


def test_points_have_an_order_typed_values_and_names_of_their_own() -> None:
    study = build({"rank": "1,2", "lr": "0.5", "causal": "true,false"}, seeds=2)
    points = study.points()
    assert [point.index for point in points] == list(range(1, 9))
    assert len({point.id for point in points}) == study.count == 8
    assert all(len(point.id) == 12 and int(point.id, 16) >= 0 for point in points)
    assert points[0].values == {"lr": 0.5, "rank": 1, "causal": True, "seed": 0}
    assert points[-1].values == {"lr": 0.5, "rank": 2, "causal": False, "seed": 1}
    assert [point.values["seed"] for point in points] == [0] * 4 + [1] * 4
    assert study.swept == ["rank", "causal", "seed"]
    assert points[2].folder == f"0003-{points[2].id}"


def test_a_points_name_is_its_notebook_and_its_values_whatever_their_order() -> None:
    name = studies.point_id("toy", {"a": 1, "b": 0.5})
    assert name == studies.point_id("toy", {"b": 0.5, "a": 1}) == "2c3ee821ab4d"
    assert (
        len({name, studies.point_id("other", {"a": 1, "b": 0.5}), studies.point_id("toy", {"a": 1, "b": "0.5"})}) == 3
    )


def test_repeats_are_dropped_with_a_word_and_one_value_is_fixed() -> None:
    study = build({"rank": "2,1,2", "lr": "0.5,0.50"})
    assert (study.grid, study.fixed) == ({"rank": [2, 1]}, {"lr": 0.5})
    assert study.notes == ("rank: 2 given more than once, run once", "lr: 0.5 given more than once, run once")


def test_zip_random_and_seeds_combine() -> None:
    zipped = build({"rank": "1,2,4", "lr": "0:1:lin3", "note": "x"}, how="zip", seeds=[5, 7])
    assert [tuple(point.values.values()) for point in zipped.points()] == [
        ("x", rank, lr, seed) for seed in (5, 7) for rank, lr in ((1, 0.0), (2, 0.5), (4, 1.0))
    ]
    drawn = build({"rank": "1..64", "lr": "1e-4:1e-2:log"}, random=5, seeds=2)
    assert drawn.count == len(drawn.points()) == 10
    assert [point.id for point in drawn.points()] == [point.id for point in drawn.points()]
    assert drawn.points() != build({"rank": "1..64", "lr": "1e-4:1e-2:log"}, random=5, seeds=2, draw_seed=1).points()
    assert build({}).count == len(build({}).points()) == 1


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ({"rnk": "1"}, {}, "unknown parameter 'rnk' \\(did you mean 'rank'"),
        ({"rank": "1,2", "lr": "0,0.5,1"}, {"how": "zip"}, "rank has 2, lr has 3"),
        ({"rank": "1,2"}, {"how": "cross"}, "how must be"),
        ({"lr": "1e-4:1e-2:log"}, {}, "add --random N, or a count, as in 0.0001:0.01:log5"),
        ({"seed": "1,2"}, {"seeds": 3}, "seed is given twice"),
        ({"seed": "1"}, {"seeds": 3}, "seed is given twice"),
        ({}, {"seeds": 0}, "seeds must be"),
        ({}, {"seeds": []}, "seeds must be"),
        ({}, {"seeds": [1, 1001]}, r"seed must be an int in \[0..1000\]; got 1001"),
        ({}, {"seeds": "3"}, "seeds must be"),
        ({"rank": "1,2"}, {"random": 0}, "at least 1"),
        ({"rank": "1,2"}, {"random": True}, "at least 1"),
        ({"rank": "1,2"}, {"random": 1, "how": "zip"}, "exclude each other"),
        ({"rank": "1,2"}, {"random": 1, "draw_seed": "x"}, "draw_seed must be"),
        ({"rank": "1"}, {"random": 1}, "nothing to draw from"),
        ({}, {"timeout": 0}, "timeout must be"),
        ({}, {"timeout": float("nan")}, "timeout must be"),
        ({}, {"timeout": "60"}, "timeout must be"),
    ],
)
def test_what_is_refused(given: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises((ParameterError, Refused), match=said):
        build(given, **options)


def test_a_notebook_without_a_seed_takes_no_seeds() -> None:
    with pytest.raises(ParameterError, match="unknown parameter 'seed'"):
        studies.build("bare", [], {}, seeds=2)


values = {
    "rank": st.lists(st.integers(1, 64), min_size=1, max_size=4),
    "lr": st.lists(st.floats(0, 1), min_size=1, max_size=4),
    "causal": st.lists(st.booleans(), min_size=1, max_size=2),
    "note": st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=3),
}
options = st.fixed_dictionaries(
    {}, optional={"seeds": st.integers(1, 3) | st.lists(st.integers(0, 1000), min_size=1, max_size=3),
                  "timeout": st.floats(0.1, 1e6)}
)  # fmt: skip


@given(st.fixed_dictionaries({}, optional=values), options)
def test_the_record_says_all_of_it(given_values: dict[str, list[Any]], more: dict[str, Any]) -> None:
    study = build(given_values, **more)
    again = read_back(study)
    assert again == study
    assert again.points() == study.points()
    assert studies.difference(study, again) == []


def test_the_record_keeps_draws_zips_and_what_a_cluster_needs(tmp_path: Path) -> None:
    cluster = {"workers": 2, "queue": "long \"one\"", "extra": {"walltime": "1:00", "flags": ["-x"]},
               "until": datetime.date(2026, 1, 1)}  # fmt: skip
    drawn = build({"rank": "1..8", "lr": "1e-4:1e-2:log"}, random=5, draw_seed=3, cluster=cluster)
    for study in (drawn, build({"rank": "1,2", "lr": "0,1"}, how="zip")):
        again = read_back(study)
        assert again == study
        assert again.cluster == study.cluster
        assert again.points() == study.points()


def read_back(study: studies.Study) -> studies.Study:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.toml"
        path.write_text(study.toml(), encoding="utf-8")
        return studies.from_data(study_toml.read(path), study.notebook, SPECIFICATION, path.name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("notebook = ", "cannot be read as a study in TOML"),
        ("[parameters]\nrank = 1\n", '`notebook = "04"` must name the notebook; got None'),
        ('notebook = "toy"\nseed = 3\n', "unknown key 'seed' \\(did you mean 'seeds'"),
        ('notebook = "toy"\nrank = 3\n', "unknown key 'rank'"),
        ('notebook = "toy"\nlearning = 3\n', "belong under \\[parameters\\]"),
        ('notebook = "toy"\nparameters = 3\n', "\\[parameters\\] must be a table; got 3"),
        ('notebook = "toy"\ncluster = []\n', "\\[cluster\\] must be a table"),
        ('notebook = "toy"\n[parameters]\nrank = []\n', "s.toml: rank has an empty list"),
        ('notebook = "toy"\n[parameters]\nrank = [1, "2"]\n', "s.toml: rank must be an int in .* got '2'"),
        ('notebook = "toy"\n[parameters]\nrank = 1979-05-27\n', "s.toml: rank must be an int"),
        ('notebook = "toy"\nhow = 3\n', "s.toml: how must be"),
        ('notebook = "toy"\nseeds = 3.5\n', "s.toml: seeds must be"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises((ParameterError, Refused), match=said):
        studies.from_data(study_toml.read(path), "toy", SPECIFICATION, path.name)


def test_what_differs_is_named() -> None:
    one = build({"rank": "1,2", "lr": "0.5", "timeout": "4"}, seeds=2)
    assert studies.difference(one, one) == []
    two = build({"rank": "1,4", "causal": "false", "timeout": "5"}, seeds=2, timeout=60)
    assert studies.difference(one, two) == [
        "timeout: 600.0 in the folder, 60.0 given",
        "lr: 0.5 in the folder, absent given",
        "timeout: 4 in the folder, 5 given",
        "rank: 1, 2 in the folder, 1, 4 given",
        "causal: absent in the folder, False given",
    ]
    drawn = build({"rank": "1..8"}, random=3)
    assert studies.difference(drawn, build({"rank": "1..8"}, random=3, draw_seed=1)) == [
        "draw_seed: 0 in the folder, 1 given"
    ]


def test_zip_keeps_values_that_come_again() -> None:
    """A value's place in its list says what it goes with; only a whole point that comes again is dropped."""
    specification = parameters.parse("seed: int = 0\nrank: int = 1\nrate: float = 1.0\nnote: str = 'x'\n")
    lists = {"rank": "1,1,2,2,2", "rate": ".1,.2,.1,.2,.2", "note": "a,a,a,a,a"}
    study = studies.build("toy", specification, lists, how="zip")
    assert [(point.values["rank"], point.values["rate"]) for point in study.points()] == [
        (1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2),
    ]  # fmt: skip
    assert study.count == 4
    assert study.fixed == {"note": "a"}
    assert study.notes[-1] == "rank, rate = 2, 0.2 given more than once, run once"
    with pytest.raises(ParameterError, match="rank has 3, rate has 2"):
        studies.build("toy", specification, {"rank": "1,2,2", "rate": "1,2"}, how="zip")
