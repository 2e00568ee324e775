"""Charts of spreads say what they were given: each passes the house's checks, and its parts add up."""

import re
from collections import Counter

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from dslab.book import charts, figures, spreads

FP16 = {"zero_below": -25, "normal_from": -14, "infinite_from": 16}
WINDOW = (-44, 20)
SHARES = {-60: 0.01, -44: 0.02, -26: 0.1, -25: 0.2, -15: 0.15, -14: 0.3, 15: 0.12, 16: 0.05, 20: 0.02, 40: 0.03}
RULERS = {
    "fp32": (2.0**-149, 2.0**-126, 3.4e38, 2.0**-23),
    "bf16": (2.0**-133, 2.0**-126, 3.4e38, 2.0**-7),
    "fp16": (2.0**-24, 2.0**-14, 65504.0, 2.0**-10),
    "e4m3": (2.0**-9, 2.0**-6, 448.0, 2.0**-3),
    "e5m2": (2.0**-16, 2.0**-14, 57344.0, 2.0**-2),
}
GROUPS = {"one": [0.01, -0.02, 0.0], "two": [0.3, 0.35, 0.34], "alone": [0.1]}
GREYS = {"#666666", "#dddddd", "#cccccc", "#ffffff"}


@pytest.fixture(autouse=True)
def house_style():
    with mpl.rc_context():
        figures.style()
        yield
        plt.close("all")


def a_trace():
    fig, ax = plt.subplots()
    spreads.trace(ax, [16.0, 17.0, 15.0, 14.0], [2, 3], color=figures.COLORS["blue"], label="ours")
    ax.set(xlabel="step", ylabel="scale")
    return fig


CHARTS = {
    "binades": lambda: spreads.binades(SHARES, **FP16, xlabel="gradient", window=WINDOW),
    "dots": lambda: spreads.dots(GROUPS, xlabel="loss", line_at=0.0, band=(-0.01, 0.01)),
    "rulers": lambda: spreads.rulers(RULERS, marks={"one": 1.0}),
    "trace": a_trace,
}


@pytest.mark.parametrize("name", CHARTS)
def test_each_chart_is_one_a_page_would_take(name):
    fig = CHARTS[name]()
    figures.check(fig, name, "An alternative text that is long enough to say what the eye concludes.", "It is so.")
    assert figures.to_png(fig).startswith(b"\x89PNG")
    assert fig.get_size_inches()[0] == figures.SIZE[0]


@pytest.mark.parametrize("name", CHARTS)
def test_colours_are_the_palette_s_and_greys(name):
    (ax,) = CHARTS[name]().axes
    allowed = {color.lower() for color in figures.COLORS.values()} | GREYS
    drawn = {to_hex(patch.get_facecolor()) for patch in ax.patches} | {to_hex(line.get_color()) for line in ax.lines}
    assert drawn <= allowed


def words(fig):
    return [text.get_text() for legend in fig.legends for text in legend.get_texts()]


# Binades.


def bars(ax):
    return [p for p in ax.patches if isinstance(p, Rectangle) and p.get_height() > 0]


def middle(bar):
    return round(bar.get_x() + bar.get_width() / 2)


def test_the_legend_says_how_much_has_each_fate_and_adds_up():
    said = dict(word.rsplit(": ", 1) for word in words(CHARTS["binades"]()))
    assert said == {"becomes zero": "13.0%", "loses digits": "35.0%", "kept": "42.0%", "too large": "10.0%"}
    assert sum(float(share.rstrip("%")) for share in said.values()) == pytest.approx(100.0)
    assert list(said) == list(spreads.FATES)


def test_every_share_is_drawn_and_what_lies_outside_stands_at_the_ends():
    (ax,) = CHARTS["binades"]().axes
    heights = Counter()
    for bar in bars(ax):
        heights[middle(bar)] += bar.get_height()
    assert heights == pytest.approx({-44: 0.03, -26: 0.1, -25: 0.2, -15: 0.15, -14: 0.3, 15: 0.12, 16: 0.05, 20: 0.05})
    assert sum(heights.values()) == pytest.approx(1.0)
    low, high = ax.get_xlim()
    assert all(low < bar.get_x() and bar.get_x() + bar.get_width() < high for bar in bars(ax))


def test_a_bar_s_colour_and_hatching_are_its_fate_s():
    (ax,) = CHARTS["binades"]().axes
    fate = {-44: "becomes zero", -26: "becomes zero", -25: "loses digits", -15: "loses digits", -14: "kept"}
    fate |= {15: "kept", 16: "too large", 20: "too large"}
    for bar in bars(ax):
        color, hatch = spreads.FATES[fate[middle(bar)]]
        assert (to_hex(bar.get_facecolor()), bar.get_hatch() or "") == (color.lower(), hatch)


def test_colour_is_never_alone():
    assert len({color for color, _ in spreads.FATES.values()}) == 4
    lost, kept = spreads.FATES["becomes zero"], spreads.FATES["kept"]
    assert lost[1] != kept[1] != spreads.FATES["too large"][1]


def test_two_fates_in_the_outermost_bar_are_stacked():
    """bf16 reaches far beyond the window: what is lost there must not look kept."""
    fig = spreads.binades(
        {-140: 0.25, -130: 0.25, -100: 0.2, 100: 0.2, 130: 0.1},
        zero_below=-134, normal_from=-126, infinite_from=128, xlabel="gradient", window=WINDOW,
    )  # fmt: skip
    (ax,) = fig.axes
    drawn = {(middle(b), to_hex(b.get_facecolor())): (b.get_y(), b.get_y() + b.get_height()) for b in bars(ax)}
    color = {name: fate[0].lower() for name, fate in spreads.FATES.items()}
    expected = {
        (-44, color["becomes zero"]): (0.0, 0.25),
        (-44, color["loses digits"]): (0.25, 0.5),
        (-44, color["kept"]): (0.5, 0.7),
        (20, color["kept"]): (0.0, 0.2),
        (20, color["too large"]): (0.2, 0.3),
    }
    assert drawn.keys() == expected.keys()
    for key, ends in expected.items():
        assert drawn[key] == pytest.approx(ends)
    assert ax.get_xlim() == (-45, 21), "edges outside the window do not widen it"
    assert [w.split(": ")[1] for w in words(fig)] == ["25.0%", "25.0%", "40.0%", "10.0%"]


def test_dashed_lines_stand_between_the_binades_where_a_fate_ends():
    (ax,) = CHARTS["binades"]().axes
    assert [line.get_xdata()[0] for line in ax.lines] == [-25.5, 15.5]


def test_a_window_and_axes_of_ones_own_and_nothing_at_all():
    fig, axes = plt.subplots(1, 2)
    got = spreads.binades({-3: 0.5, 9: 0.5}, **FP16, xlabel="x", window=(-5, 5), ax=axes[1])
    assert got is fig
    assert sorted(middle(b) for b in bars(axes[1])) == [-3, 5]
    assert not axes[0].has_data()
    empty = spreads.binades({}, **FP16, xlabel="x")
    assert [w.split(": ")[1] for w in words(empty)] == ["0.0%"] * 4


@pytest.mark.parametrize(
    ("exponent", "fate"),
    zip([-26, -25, -15, -14, 15, 16], [fate for fate in spreads.FATES for _ in range(2)][1:-1], strict=True),
)
def test_a_fate_begins_at_its_exponent(exponent, fate):
    said = dict(w.rsplit(": ", 1) for w in words(spreads.binades({exponent: 1.0}, **FP16, xlabel="x")))
    assert said.pop(fate) == "100.0%"
    assert set(said.values()) == {"0.0%"}


# Dots.


def test_dots_show_each_value_its_mean_and_the_number():
    (ax,) = CHARTS["dots"]().axes
    rows = [line for line in ax.lines if line.get_marker() == "o"]
    assert [(sorted(line.get_xdata()), set(line.get_ydata())) for line in rows] == [
        (sorted(values), {y}) for y, values in enumerate(GROUPS.values())
    ]
    means = [float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "|"]
    assert means == pytest.approx([np.mean(values) for values in GROUPS.values()])
    assert [text.get_text() for text in ax.texts] == ["-0.3%", "+33.0%", "+10.0%"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(GROUPS)
    top, bottom = ax.get_ylim()[::-1]
    assert top < 0 < 2 < bottom, "the first group on top"


def test_dots_compare_with_a_line_and_a_band_if_there_is_one():
    (ax,) = CHARTS["dots"]().axes
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [0.0]
    (band,) = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((-0.01, 0.01))
    (bare,) = spreads.dots({"a": [1.0]}, xlabel="x", line_at=1.0, show="{:.2f}").axes
    assert not bare.patches
    assert [text.get_text() for text in bare.texts] == ["1.00"]


# Rulers.


def test_rulers_rise_where_digits_run_out_and_end_where_the_format_ends():
    (ax,) = CHARTS["rulers"]().axes
    rules = [line for line in ax.lines if len(line.get_xdata()) == 3]
    for line, (smallest, normal, largest, epsilon) in zip(rules, RULERS.values(), strict=True):
        assert list(line.get_xdata()) == [smallest, normal, largest]
        assert list(line.get_ydata()) == [1.0, epsilon, epsilon]
    assert len({line.get_color() for line in rules}) == len(RULERS)
    named = {text.get_text(): text for text in ax.texts}
    assert list(named) == [*RULERS, "one"]
    for line, name in zip(rules, RULERS, strict=True):
        assert to_hex(named[name].get_color()) == to_hex(line.get_color())
        assert named[name].xy == (RULERS[name][2], RULERS[name][3])
    low, high = ax.get_xlim()
    assert all(low < smallest and largest < high for smallest, _, largest, _ in RULERS.values())


def test_ruler_ticks_are_percentages_of_the_number():
    (ax,) = CHARTS["rulers"]().axes
    for at, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True):
        assert re.fullmatch(r"[\d.]+%", label.get_text())
        assert float(label.get_text()[:-1]) == pytest.approx(100 * at)


def test_names_of_rulers_do_not_lie_on_each_other():
    fig = CHARTS["rulers"]()
    fig.canvas.draw()
    boxes = [text.get_window_extent() for text in fig.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


# Traces, and what charts.curves learned for them.


def test_a_trace_steps_and_crosses_each_event():
    (ax,) = a_trace().axes
    steps, crosses = ax.lines
    assert (list(steps.get_xdata()), list(steps.get_ydata())) == ([0, 1, 2, 3], [16.0, 17.0, 15.0, 14.0])
    assert (steps.get_drawstyle(), steps.get_label()) == ("steps-post", "ours")
    assert (list(crosses.get_xdata()), list(crosses.get_ydata())) == ([2, 3], [15.0, 14.0])
    assert (crosses.get_marker(), crosses.get_linestyle()) == ("X", "None")


def test_only_what_is_named_dashed_is_drawn_with_gaps():
    series = {"ours": [3.0, 2.0, 1.0], "theirs": [3.0, 2.0, 1.0], "short": [1.0, 2.0]}
    fig = charts.curves(range(3), series, xlabel="step", ylabel="loss", dashed=["theirs"], markers=False)
    lines = {line.get_label(): line for line in fig.axes[0].lines}
    assert {name: line.is_dashed() for name, line in lines.items()} == {"ours": False, "theirs": True, "short": False}
    assert list(lines["theirs"].get_ydata()) == series["theirs"]
    assert {text.get_text() for text in fig.axes[0].texts} == set(series)
    plain = charts.curves(range(3), series, xlabel="step", ylabel="loss")
    assert not any(line.is_dashed() for line in plain.axes[0].lines)


def test_pairs_show_both_values_and_write_the_second() -> None:
    fig = spreads.pairs({"A": (1.0, 0.9), "B": (0.95, 0.955)}, names=("known", "unseen"), xlabel="recall")
    (ax,) = fig.axes
    marks = [line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() in "oD"]
    assert marks == [1.0, 0.9, 0.95, 0.955]
    assert [note.get_text() for note in ax.texts] == ["90.0%", "95.5%"]
    assert [label.get_text() for label in fig.legends[0].get_texts()] == ["known", "unseen"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A", "B"]


def test_candidates_rank_the_first_among_all() -> None:
    fig = spreads.candidates({"raw": [5.0, 1.0, 2.0], "clean": [1.5, 1.0, 2.0, 9.0]}, xlabel="nats", first="secret")
    (ax,) = fig.axes
    assert [note.get_text() for note in ax.texts] == ["rank 1 of 3", "rank 3 of 4"]
    marked = [line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() == "D"]
    assert marked == [5.0, 1.5]
    assert [label.get_text() for label in fig.legends[0].get_texts()] == ["secret"]


def test_columns_carry_their_notes() -> None:
    fig = charts.columns({1: 1.0, 2: 4.0}, xlabel="digits", ylabel="left", notes={2: ("card", 1.5, 4.5)})
    (ax,) = fig.axes
    assert [bar.get_height() for bar in bars(ax)] == [1.0, 4.0]
    assert [(note.get_text(), note.xy, note.get_position()) for note in ax.texts] == [("card", (2, 4.1), (1.5, 4.5))]


def test_laws_put_measured_points_on_their_curve() -> None:
    series = {"a": ([0.0, 0.5, 1.0], [(0.1, 0.2)]), "b": ([0.0, 0.1, 1.0], [(0.3, 0.1), (0.9, 0.8)])}
    fig = charts.laws([0.0, 0.5, 1.0], series, xlabel="s", ylabel="P", line_at=0.8)
    (ax,) = fig.axes
    curves, points, level = ax.lines[0:4:2], ax.lines[1:4:2], ax.lines[4]
    assert [list(line.get_ydata()) for line in curves] == [[0.0, 0.5, 1.0], [0.0, 0.1, 1.0]]
    assert [list(line.get_xdata()) for line in points] == [[0.1], [0.3, 0.9]]
    assert [line.get_color() for line in curves] == [line.get_color() for line in points]
    assert list(level.get_xdata()) == [0.8, 0.8]
