"""`page` outside a kernel: what it refuses, and what its bundles hold."""

from __future__ import annotations

import base64
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from book_cells import CELL, VALUES
from matplotlib.figure import Figure

from dslab.book import Page, claims, machine, specification
from dslab.book.errors import ClaimFailed, PageError, RefusedParameter
from dslab.runner.parameters import ParameterError

mpl.use("agg")
Start = Callable[..., Page]
Shown = list[dict[str, Any]]

ALT = "A straight line that rises from 0 to 3 while x goes from 0 to 3."
LEDGER = """
[[claim]]
id = "99.exact"
notebook = "99"
statement = "Five is enough."
says = "us"
verdict = "true"
as_of = 2026-11-24
kind = "exact"
measures = "m"
bound = ">= 5"
depends_on = ["window"]

[[claim]]
id = "99.ratio"
notebook = "99"
statement = "It is faster."
says = "paper"
reference = "arXiv 1"
verdict = "outdated"
as_of = 2026-11-24
kind = "measured"
measures = "m"
bound = ">= 2"
pinned_weights = true

[[claim]]
id = "99.read"
notebook = "99"
statement = "It is written."
says = "article"
verdict = "false"
because = "It is not."
as_of = 2026-11-24
kind = "documented"
evidence = ["a book"]
"""


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "claims.toml").write_text(LEDGER, encoding="utf-8")
    monkeypatch.setattr(claims, "data_dir", lambda: tmp_path)


def payload(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    return bundle[f"application/vnd.dslab.{kind}+json"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"window": 65}, r"window must be an int in \[1\.\.64\]; got 65"),
        ({"window": "16"}, "window must be an int"),
        ({"window": 1.5}, "window must be an int"),
        ({"window": True}, "window must be an int"),
        ({"profile": "fast"}, "profile must be"),
        ({"profile": "quik"}, "did you mean 'quick'"),
        ({"device": "gpu"}, "device must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_start_refuses_bad_values(start: Start, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedParameter, match=said):
        start(**changed)


def test_start_refuses_unknown_injected_names(start: Start) -> None:
    with pytest.raises(RefusedParameter, match=r"unknown parameter 'windwo' \(did you mean 'window'\?\)"):
        start([CELL, "# Parameters\nwindwo = 8\n"], windwo=8)


def test_start_refuses_an_injected_value_of_the_wrong_type(start: Start) -> None:
    with pytest.raises(RefusedParameter, match="window must be an int"):
        start([CELL, '# Parameters\nwindow = "x"\n'], window="x")


def test_start_needs_the_standard_parameters(start: Start) -> None:
    cell = 'seed: int = 0\ndevice: str = "auto"\nprofile: str = "quick"  # {smoke,quick}\n'
    assert start([cell]).profile == "quick"
    with pytest.raises(RefusedParameter, match="found no parameters to check"):
        start(["window: int = 1"])


def test_start_says_when_the_cell_has_not_run(shown: Shown) -> None:
    with pytest.raises(RefusedParameter, match="'window' is declared but has no value"):
        Page().start("none", {key: value for key, value in VALUES.items() if key != "window"}, torch=False)


def test_a_refusal_is_short_and_is_a_parameter_error(start: Start) -> None:
    with pytest.raises(ParameterError) as caught:
        start(window=65)
    assert caught.value._render_traceback_() == [f"RefusedParameter: {caught.value}"]  # type: ignore[attr-defined]
    assert caught.value.__cause__ is None


def test_without_history_the_file_is_the_specification(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": CELL}
    (tmp_path / "77_mine.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert start([], notebook="77").seed == 0
    assert start([], notebook="77_mine").seed == 0
    with pytest.raises(RefusedParameter, match="window must be"):
        start([], notebook="77", window=65)


def test_an_edited_default_is_no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner who writes `window: int = 8` into the cell has left the default that claims are judged at."""
    (tmp_path / "notebooks").mkdir()
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": CELL}
    notebook = {"cells": [cell], "metadata": {}}
    (tmp_path / "notebooks" / "77_mine.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    monkeypatch.setattr(specification.paths, "checkout", lambda: tmp_path)
    edited = CELL.replace("window: int = 16", "window: int = 8")
    values, defaults = specification.check("77", {**VALUES, "window": 8}, [edited])
    assert (values["window"], defaults["window"]) == (8, 16)


def test_start_seeds_and_tells(start: Start, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    page = start(seed=5, window=8)
    first = random.random(), np.random.rand()
    start(seed=5)
    assert (random.random(), np.random.rand()) == first
    environment = payload(shown[0], "environment")
    assert set(environment) == {
        "notebook", "profile", "device", "seed", "parameters", "versions", "python", "cores", "threads", "cpu",
        "lock_sha256", "commit",
    }  # fmt: skip
    assert environment["threads"] == 3
    assert environment["parameters"] == {**VALUES, "seed": 5, "window": 8}
    assert "Changed from the defaults: seed = 5, device = 'cpu', window = 8" in shown[0]["text/plain"]
    assert (page.seed, page.device, page.profile) == (5, "cpu", "quick")
    assert page.pick(smoke=1, quick=2, full=3) == 2
    with pytest.raises(PageError, match=r"no value for profile 'quick'.*got smoke"):
        page.pick(smoke=1)


def test_nothing_works_before_start() -> None:
    page = Page()
    for call in (
        lambda: page.seed, lambda: page.claim("99.exact", 5), lambda: page.metric("m", 1), page.end,
        lambda: page.hint(None),
    ):  # fmt: skip
        with pytest.raises(PageError, match="Run the cells above"):
            call()


@pytest.mark.usefixtures("ledger")
def test_claim_cards(start: Start, shown: Shown) -> None:
    page = start()
    page.claim("99.exact", np.float64(7), note="B = 1")
    assert payload(shown[-1], "claim") == {
        "id": "99.exact", "measured": 7, "bound": ">= 5", "kind": "exact", "verdict": "true",
        "statement": "Five is enough.", "holds": True, "why": "", "note": "B = 1",
    }  # fmt: skip
    assert "<strong>holds</strong>: measured 7, expected at least 5 (B = 1)" in shown[-1]["text/html"]
    with pytest.raises(ClaimFailed, match=r"99\.exact does not hold: measured 4, expected at least 5"):
        page.claim("99.exact", 4)
    assert payload(shown[-1], "claim")["holds"] is False  # the card is shown before the error
    with pytest.raises(ClaimFailed):
        page.claim("99.exact", math.nan)
    assert payload(shown[-1], "claim")["measured"] == "nan"  # NaN is no JSON
    page.claim("99.exact", 6)
    page.end()
    assert shown[-2]["text/html"].count("99.exact") == 1  # a cell run again replaces its result
    assert "1 of 1 judged claims hold" in shown[-1]["text/plain"]
    assert payload(shown[-1], "footer")["peak_bytes"] > 1e7


@pytest.mark.usefixtures("ledger")
def test_claims_that_are_not_judged(start: Start, shown: Shown) -> None:
    page = start(window=8)  # has no saved default: the live cell's 16 counts
    page.claim("99.exact", 1)
    assert payload(shown[-1], "claim")["holds"] is None
    assert "Window is 8, not its default 16." in shown[-1]["text/html"]
    page.claim("99.ratio", 1)
    assert "page.weights was not called" in payload(shown[-1], "claim")["why"]
    page.weights(SimpleNamespace(name="tiny", source="hub", sha256="ab" * 32, pinned=False))
    assert payload(shown[-1], "weights") == {"name": "tiny", "source": "hub", "sha256": "ab" * 32, "pinned": False}
    page.claim("99.ratio", 1)
    assert "others are loaded" in payload(shown[-1], "claim")["why"]
    page.weights(SimpleNamespace(name="tiny", source="wheel", sha256="ab" * 32, pinned=True))
    page.claim("99.ratio", 1)  # a measured claim that fails shows it and raises nothing
    assert payload(shown[-1], "claim")["holds"] is False
    assert "a paper says it · outdated · depends on the machine · arXiv 1" in shown[-1]["text/html"]
    smoke = start(profile="smoke")
    smoke.claim("99.exact", 1)
    assert "smoke" in payload(shown[-1], "claim")["why"]


@pytest.mark.usefixtures("ledger")
def test_claims_that_are_refused(start: Start) -> None:
    page = start()
    with pytest.raises(PageError, match=r"Did you mean 99\.exact"):
        page.claim("99.exat", 5)
    with pytest.raises(PageError, match="documented"):
        page.claim("99.read", 5)
    with pytest.raises(PageError, match="needs one number"):
        page.claim("99.exact", "5")


def line(**labels: str) -> Figure:
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ax.plot([0, 3])
    ax.set(**labels)
    return fig


def test_figures(start: Start, shown: Shown) -> None:
    import matplotlib.pyplot as plt

    page = start()
    plt.close("all")
    page.figure(line(xlabel="x", ylabel="y"), name="line", alt=ALT, takeaway="It rises.")
    assert plt.get_fignums() == []
    picture, caption = shown[-2:]
    png = base64.b64decode(picture["image/png"])
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert b"Software" not in png
    assert int.from_bytes(png[16:20], "big") == 770  # 7 inches at 110 dpi
    assert picture["metadata"] == {"image/png": {"alt": ALT}}
    assert picture["text/plain"] == ALT
    assert "text/html" not in picture  # front ends would prefer it to the picture
    assert payload(picture, "figure") == {"name": "line", "alt": ALT, "takeaway": "It rises."}
    assert "It rises." in caption["text/html"]


@pytest.mark.parametrize(
    ("figure", "words", "said"),
    [
        ({"xlabel": "x", "ylabel": "y"}, {"alt": "A line."}, "needs alternative text: one or two sentences"),
        ({"xlabel": "x", "ylabel": "y"}, {"alt": ""}, "needs alternative text"),
        ({"xlabel": "x", "ylabel": "y"}, {"takeaway": ""}, "needs a takeaway"),
        ({"xlabel": "x", "ylabel": "y"}, {"takeaway": "It rises"}, "needs a takeaway"),
        ({"xlabel": "x"}, {}, "without a label on its y axis"),
        ({"ylabel": "y"}, {}, "without a label on its x axis"),
    ],
)
def test_figures_that_say_too_little_are_refused(
    start: Start, figure: dict[str, str], words: dict[str, str], said: str
) -> None:
    page = start()
    with pytest.raises(PageError, match=said):
        page.figure(line(**figure), **{"name": "line", "alt": ALT, "takeaway": "It rises.", **words})


def test_axes_that_need_no_label(start: Start) -> None:
    import matplotlib.pyplot as plt

    page = start()
    shared, axes = plt.subplots(2, 2, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.plot([1, 2])
    axes[1, 0].set(xlabel="x", ylabel="y")
    off, ax = plt.subplots()
    ax.plot([1, 2])
    ax.set_axis_off()
    bar, ax = plt.subplots()
    bar.colorbar(ax.imshow(np.eye(3)))
    ax.set(xlabel="x", ylabel="y")
    common, axes = plt.subplots(1, 2)
    axes[0].plot([1])
    axes[1].plot([1])
    common.supxlabel("x")
    common.supylabel("y")
    for fig in (shared, off, bar, common, plt.figure()):
        page.figure(fig, name="f", alt=ALT, takeaway="It rises.")


def test_tables(start: Start, shown: Shown) -> None:
    page = start()
    page.table(
        [{"what": "<b>", "ms": 1.23456}, {"what": "b", "ms": np.float32(20000), "more": 3}], caption="Times", note="n"
    )
    html = shown[-1]["text/html"]
    assert "&lt;b&gt;" in html
    assert '<td align="right" style="text-align:right">20,000</td>' in html
    assert '<th scope="col" align="left" style="text-align:left">what</th>' in html
    assert shown[-1]["text/plain"].splitlines()[:2] == ["Times", "what      ms  more"]
    for rows in ([], ["a"]):
        with pytest.raises(PageError, match="at least one row"):
            page.table(rows)  # type: ignore[arg-type]


def test_metrics(start: Start, shown: Shown) -> None:
    page = start()
    page.metric("perplexity", np.float32(12.5))
    assert payload(shown[-1], "metric") == {"name": "perplexity", "value": 12.5, "unit": ""}
    page.metric("time", math.inf, "ms")
    assert payload(shown[-1], "metric")["value"] == "inf"
    assert json.dumps(shown[-1], allow_nan=False)


def test_cores_respect_a_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_quota", lambda: 1)
    assert machine.cores() == 1


def test_devices_that_are_not_there() -> None:
    with pytest.raises(PageError, match="not available"):
        machine.resolve_device("cuda", use_torch=False)
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        with pytest.raises(PageError, match="not available"):
            machine.resolve_device("cuda", use_torch=True)
    assert machine.resolve_device("auto", use_torch=True) in {"cpu", "cuda", "mps"}
    assert machine.resolve_dtype("bf16", "cpu") is torch.bfloat16
    assert machine.resolve_dtype("auto", "cpu", size=64) in {torch.float32, torch.bfloat16}
    with pytest.raises(PageError, match="auto, fp32, bf16, fp16"):
        machine.resolve_dtype("half", "cpu")
