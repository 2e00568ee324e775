"""`dslab build` and `--check`: the same run gives the same bytes, a failing one changes nothing, staleness is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dslab.runner import build

from . import toys

ENVIRONMENT = "show('environment', notebook='01', commit='abc', versions={'python': '3'}, cores=2)"
STDERR = "import sys, warnings\nwarnings.warn('debris')\nprint('bar', file=sys.stderr)\nprint('kept', object())"
WIDGET = (
    "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}, 'text/plain': 'explorer', "
    "'image/png': b64decode(pixel)}, raw=True)"
)
SETUP = "# replaced by dslab build\n"


def cells_of(path: Path) -> dict[str, dict[str, Any]]:
    return {cell["id"]: cell for cell in json.loads(path.read_text())["cells"]}


def edit(path: Path, id: str, **changes: Any) -> None:
    notebook = json.loads(path.read_text())
    next(cell for cell in notebook["cells"] if cell["id"] == id).update(changes)
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def book(house: Path) -> Path:
    return toys.write(
        house / "notebooks" / "01_toy.ipynb", *toys.GOOD, toys.code(STDERR, "noise"), toys.code(WIDGET, "explorer"),
        toys.code(ENVIRONMENT, "where"), toys.code("import time\ntime.perf_counter()", "clock", "timing"),
    )  # fmt: skip


def test_build_twice_then_check_then_say_what_is_stale(house: Path) -> None:
    path = book(house)
    toys.write(house / "notebooks" / "02_other.ipynb", *toys.GOOD)
    first = toys.dslab("build", "--jobs", 2, cwd=house)
    assert first.code == 0, first.out + first.err
    before, text = cells_of(path), path.read_text()
    assert toys.dslab("build", cwd=house).code == 0
    after = cells_of(path)
    assert before.pop("clock")["outputs"] != after.pop("clock")["outputs"]
    assert before == after
    assert after["noise"]["outputs"][0]["text"] == ["kept <object object at 0x…>\n"]
    assert len(after["noise"]["outputs"]) == 1
    assert set(after["explorer"]["outputs"][0]["data"]) == {"text/plain", "image/png"}
    assert after["where"]["outputs"][0]["data"]["application/vnd.dslab.environment+json"]["commit"] is None
    assert "/github/owner/name/blob/main/notebooks/01_toy.ipynb" in "".join(after["title"]["source"])
    metadata = json.loads(text)["metadata"]["dslab"]["parameters"]
    assert [row["name"] for row in metadata][:3] == ["seed", "device", "profile"]
    assert not [entry for entry in (house / "notebooks").iterdir() if entry.suffix != ".ipynb"]

    good = toys.dslab("build", "--check", "01", cwd=house)
    assert good.code == 0, good.out
    edit(path, "double", source=["print(window * 3)"])
    edit(path, "picture", outputs=[])
    bad = toys.dslab("build", "--check", "01", cwd=house)
    assert bad.code == 1
    assert "01_toy.ipynb: stale, cell double: text was '8', is '12'" in bad.out
    assert "01_toy.ipynb: stale, cell picture: 0 outputs saved, 1 now" in bad.out
    assert "clock" not in bad.out
    assert cells_of(path)["picture"]["outputs"] == []


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (toys.code("1 / 0", "divides"), "a cell failed at divides; left as it was. ZeroDivisionError"),
        (toys.code(toys.SHOW + toys.claim(False), "wrong"), "claim t.equal failed; left as it was"),
        (toys.code("print('/home/' + 'someone/secret')", "leaks"), "cell leaks: its output names a path"),
    ],
)
def test_a_bad_build_leaves_the_file_as_it_was(house: Path, cell: toys.Cell, said: str) -> None:
    path = toys.write(house / "notebooks" / "01_toy.ipynb", cell)
    before = path.read_bytes()
    done = toys.dslab("build", cwd=house)
    assert done.code == 1, done.out
    assert said in done.out
    assert path.read_bytes() == before


def fresh(**outputs: list[dict[str, Any]]) -> dict[str, Any]:
    cells = [
        {"cell_type": "code", "id": id, "metadata": {"tags": []}, "source": "x", "execution_count": 1, "outputs": found}
        for id, found in outputs.items()
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def picture(width: int, height: int, noise: bytes = b"") -> dict[str, Any]:
    from base64 import b64encode

    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + noise
    return {"output_type": "display_data", "metadata": {}, "data": {"image/png": b64encode(png).decode()}}


def test_images_are_compared_by_presence_and_size() -> None:
    old, new = picture(700, 350, b"a"), picture(700, 350, b"b")
    assert build.stale(fresh(a=[old]), fresh(a=[new])) == []
    assert "700 x 350" in build.stale(fresh(a=[old]), fresh(a=[picture(700, 351)]))[0]
    assert build.stale(fresh(a=[]), fresh(a=[new])) == ["cell a: 0 outputs saved, 1 now"]


def test_badges_follow_the_address_and_settle() -> None:
    text = build.with_badges("# Title\n\nA question.", "[one](x)")
    assert text == "# Title\n\n<!-- badges -->\n[one](x)\n<!-- /badges -->\n\nA question."
    moved = build.with_badges(text, "[two](y)")
    assert moved == text.replace("[one](x)", "[two](y)")
    assert build.with_badges(moved, "[two](y)") == moved
    with pytest.raises(ValueError, match="never closes"):
        build.with_badges("# Title\n<!-- badges -->\n", "[one](x)")
