"""The charts of memory and of work: what they draw is what they were given."""

from __future__ import annotations

import matplotlib as mpl
import pytest

mpl.use("Agg")

from dslab.book import figures, lanes


def _words(ax):
    return [text.get_text() for text in ax.texts]


def test_a_block_bears_its_owners_and_a_free_one_none():
    fig = lanes.blocks({"now": [["A"], [], ["A", "B"], ["A", "B", "C", "D"]]}, columns=2)
    assert _words(fig.axes[0]) == ["A", "AB", "4×"]
    assert len(fig.axes[0].patches) == 4
    figures.close(fig)


def test_shared_blocks_are_grey_and_single_ones_are_not():
    fig = lanes.blocks({"now": [["A"], ["A", "B"], []]})
    alone, shared, free = (patch.get_facecolor()[:3] for patch in fig.axes[0].patches)
    assert len({alone, shared, free}) == 3
    figures.close(fig)


@pytest.mark.parametrize("until", [None, 20.0])
def test_lanes_place_each_piece_where_it_was(until):
    work = {"a": [(0, 2, "p"), (2, 3, "d")], "b": [(1, 4, "d")]}
    fig = lanes.lanes(work, xlabel="step", kinds={"p": "prompt", "d": "new"}, until=until)
    drawn = [(bar.get_x(), bar.get_width()) for bar in fig.axes[0].patches if bar.get_width()]
    assert drawn == [(0, 2), (2, 3), (1, 4)]
    assert [text.get_text() for text in fig.axes[0].get_legend().get_texts()] == ["prompt", "new"]
    figures.close(fig)
