"""`section`: a part of a notebook runs by itself, and every declared section of the collection's notebooks is there."""

import json
from pathlib import Path

import pytest

from dslab.runner import parameters, sections, selection

from . import toys

DECLARED = toys.PARAMETERS + 'section: str = "all"  # what runs {all,one,none}\n'
CELLS = (
    toys.code(toys.SHOW, "show", "section-one"),
    toys.code("x = 3", "x", "section-one"),
    toys.code("raise SystemError('another section')", "other"),
    toys.code("show('metric', name='x', value=x, unit='')", "told", "section-one"),
)


def test_other_cells_are_skipped_and_lose_their_outputs(tmp_path: Path):
    book = toys.write(tmp_path / "toy.ipynb", *CELLS, parameters=DECLARED)
    done = toys.dslab("run", book, "-p", "section=one", "--out", tmp_path / "out", cwd=tmp_path)
    assert done.code == 0, done.err + done.out
    record = toys.results(tmp_path / "out")["notebooks"][0]
    assert record["metrics"] == [{"name": "x", "value": 3, "unit": ""}]
    assert (record["cells"], record["cells_started"]) == (5, 5)  # parameters, injected parameters, three of the section
    executed = json.loads((tmp_path / "out" / "toy.ipynb").read_text())
    assert [cell["id"] for cell in executed["cells"] if cell["metadata"].get(sections.SKIPPED)] == ["other"]


def test_a_section_nobody_is_tagged_with_is_refused(tmp_path: Path):
    notebook = json.loads(toys.write(tmp_path / "toy.ipynb", *CELLS, parameters=DECLARED).read_text())
    with pytest.raises(ValueError, match=r"no cell is tagged section-none; sections of this notebook: one, or all"):
        sections.skip_others(notebook, {"section": "none"})


def test_all_skips_nothing(tmp_path: Path):
    notebook = json.loads(toys.write(tmp_path / "toy.ipynb", *CELLS, parameters=DECLARED).read_text())
    before = json.dumps(notebook)
    assert sections.skip_others(notebook, {"section": "all"}) == sections.skip_others(notebook, {}) == 0
    assert json.dumps(notebook) == before


@pytest.mark.parametrize("path", selection.collection(), ids=lambda path: path.stem)
def test_declared_sections_and_tags_agree(path: Path):
    declared = {row.name: row for row in parameters.from_notebook(path)}.get(sections.NAME)
    tagged = {
        tag.removeprefix(sections.TAG)
        for cell in json.loads(path.read_text())["cells"]
        for tag in cell["metadata"].get("tags", [])
        if tag.startswith(sections.TAG)
    }
    assert ({sections.ALL} | tagged if tagged else set()) == set(declared.choices or () if declared else ())
