"""The notebooks as they lie in the repository: what a reader on GitHub sees, without running anything."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dslab import bootstrap

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
FIGURE, CLAIM, EXERCISE = (f"application/vnd.dslab.{kind}+json" for kind in ("figure", "claim", "exercise"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]

STUDIES = sorted((ROOT / "notebooks" / "studies").glob("s[0-9]_*.ipynb"))

notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
any_notebook = pytest.mark.parametrize("path", [*NOTEBOOKS, *STUDIES], ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(nb: Any) -> list[Any]:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def bundles(nb: Any) -> list[Any]:
    return [output.data for cell in code(nb) for output in cell.outputs if "data" in output]


def words(nb: Any, kind: str) -> int:
    """Words in the cells of one kind; what a figure says to its reader (alt, takeaway) is no code."""
    spoken = re.compile(r'^ *(?:(?:alt|takeaway)=)?f?"[^"]*",?$', re.M)
    return sum(len(spoken.sub("", cell.source).split()) for cell in nb.cells if cell.cell_type == kind)


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


@any_notebook
def test_saved_outputs_are_whole_and_clean(path: Path) -> None:
    nb = read(path)
    nbformat.validate(nb)
    assert [cell.execution_count for cell in code(nb)] == list(range(1, len(code(nb)) + 1)), "run `dslab build`"
    for cell in code(nb):
        for output in cell.outputs:
            assert output.output_type != "error" or "raises-exception" in tags(cell), f"error saved in {cell.id}"
            assert output.get("name") != "stderr", f"stderr saved in {cell.id}"
    text = path.read_text("utf-8")
    assert not re.search(r"/(root|tmp|work|home|Users)/", text), "a machine's path"
    assert "application/vnd.jupyter.widget" not in text, "widget state needs a kernel that is gone"
    assert len(text) < 1_500_000


@any_notebook
def test_form(path: Path) -> None:
    nb = read(path)
    ids = [cell.id for cell in nb.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]+", name) for name in ids), "cell ids are words: translations hang on them"
    assert len(nb.cells) <= 70
    prose, programs = words(nb, "markdown"), words(nb, "code")
    assert prose >= programs, f"more code than prose: {programs} words against {prose}"
    tagged = [tag for cell in nb.cells[:5] for tag in tags(cell)]
    assert tagged[:2] == ["setup", "parameters"]
    setup = next(cell for cell in nb.cells if "setup" in tags(cell))
    assert setup.source == bootstrap.SETUP_CELL, "run `dslab build`"
    names = {entry["name"] for entry in nb.metadata["dslab"]["parameters"]}
    assert names >= {"seed", "device", "profile"}


@notebook
def test_badges_follow_the_repository(path: Path) -> None:
    title = read(path).cells[0].source
    region = title[title.index("<!-- badges -->") : title.index("<!-- /badges -->")]
    slug = REPOSITORY.removeprefix("https://github.com/")
    assert f"colab.research.google.com/github/{slug}/" in region
    assert f"mybinder.org/v2/gh/{slug}/" in region
    assert path.name in region


@any_notebook
def test_every_picture_says_what_it_shows(path: Path) -> None:
    for data in bundles(read(path)):
        if FIGURE in data:
            assert len(data[FIGURE]["alt"]) >= 40
            assert base64.b64decode(data["image/png"])[:4] == b"\x89PNG"
        elif "image/png" in data:
            assert len(data["text/plain"]) >= 40, "a picture without words"


@any_notebook
def test_every_saved_claim_holds(path: Path) -> None:
    for data in bundles(read(path)):
        if CLAIM in data:
            assert data[CLAIM]["holds"] is True, f"{data[CLAIM]['id']}: {data[CLAIM]['measured']} {data[CLAIM]['why']}"


@notebook
def test_exercises_are_left_to_the_reader(path: Path) -> None:
    states = [data[EXERCISE]["state"] for data in bundles(read(path)) if EXERCISE in data]
    assert states, "every notebook has exercises"
    assert set(states) == {"todo"}


def test_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 150
    assert "pip install dslab" not in text
    for address in re.findall(r"\]\(([^)]+)\)", text):
        if not address.startswith(("http", "#")):
            assert (ROOT / address).exists(), f"README links to {address}, which is not there"
    for path in NOTEBOOKS:
        assert path.name in text, f"the map lacks {path.name}"


def test_readme_picture_is_the_notebooks() -> None:
    nb = read(ROOT / "notebooks/01_sparse_attention.ipynb")
    saved = {data[FIGURE]["name"]: data["image/png"] for data in bundles(nb) if FIGURE in data}
    picture = (ROOT / "data/figures/01_perplexity.png").read_bytes()
    assert base64.b64decode(saved["perplexity"]) == picture, "run `dslab build 01`"


def test_no_installation_of_another_project() -> None:
    """`dslab` on the index is somebody else's."""
    files = [ROOT / "README.md", *NOTEBOOKS, *STUDIES, *(ROOT / "dslab").rglob("*.py")]
    assert not [path.name for path in files if re.search(r"pip install (-\S+ )*dslab\b(?!-)", path.read_text("utf-8"))]


def test_notebook_metadata_is_fixed() -> None:
    kernels = {json.dumps(read(path).metadata["kernelspec"], sort_keys=True) for path in [*NOTEBOOKS, *STUDIES]}
    assert len(kernels) == 1


def test_readme_badges_follow_the_repository() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert f"mybinder.org/v2/gh/{REPOSITORY.removeprefix('https://github.com/')}/" in text, "run `dslab build`"
