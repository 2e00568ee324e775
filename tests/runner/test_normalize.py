"""Normal form: what goes, what stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dslab import paths
from dslab.runner import normalize

WIDGET = {"model_id": "1f", "version_major": 2, "version_minor": 0}


def notebook(*outputs: dict[str, Any], source: str = "x", **metadata: Any) -> dict[str, Any]:
    cell = {
        "cell_type": "code", "id": "one", "source": source, "execution_count": 17, "outputs": list(outputs),
        "metadata": {"tags": ["kept"], "papermill": {"start_time": "now"}, "execution": {"iopub": "t"}},
    }  # fmt: skip
    return {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data: Any) -> dict[str, Any]:
    renamed = {key.replace("__", "/").replace("_widget", normalize.WIDGET_VIEW): value for key, value in data.items()}
    return {"output_type": "display_data", "data": renamed, "metadata": {}}


def outputs_of(*outputs: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = normalize.normalize(notebook(*outputs))["cells"][0]["outputs"]
    return found


def test_metadata_is_fixed() -> None:
    clean = normalize.normalize(
        notebook(widgets={}, papermill={}, kernelspec={"name": "odd"}, dslab={"parameters": []})
    )
    assert set(clean["metadata"]) == {"dslab", "kernelspec", "language_info"}
    assert clean["metadata"]["kernelspec"]["name"] == "python3"
    assert "version" not in clean["metadata"]["language_info"]
    assert clean["cells"][0]["metadata"] == {"tags": ["kept"]}
    assert clean["cells"][0]["execution_count"] == 1


def test_warnings_and_progress_bars_go() -> None:
    assert outputs_of(stream("UserWarning: x", "stderr"), stream("10%\r50%\r100%\ndone\n"), stream("more\n")) == [
        stream("100%\ndone\nmore\n")
    ]


def test_widget_views_go_and_their_pictures_stay() -> None:
    bar = shown(_widget=WIDGET, text__plain="  0%|   | 0/10")
    explorer = shown(_widget=WIDGET, text__plain="explorer", image__png="iVBOR")
    assert outputs_of(bar, explorer) == [shown(text__plain="explorer", image__png="iVBOR")]


def test_addresses_go_and_hexadecimal_stays() -> None:
    assert outputs_of(stream("<f at 0x7f00ab12cd34> 0x3f800000\n"))[0]["text"] == "<f at 0x…> 0x3f800000\n"


def test_machine_paths_are_named_or_refused() -> None:
    inside = str(paths.PACKAGE.parent / "data")
    assert outputs_of(stream(f"reads {inside}\n"))[0]["text"] == "reads <dslab>/data\n"
    for text in ("/home/someone/x", "/Users/someone", "C:\\Users\\someone", "lib/site-packages/torch/nn.py"):
        with pytest.raises(normalize.MachinePathError, match="cell one: its output names a path"):
            outputs_of(stream(text))
        with pytest.raises(normalize.MachinePathError):
            outputs_of(shown(text__html=f"<b>{text}</b>"))
    with pytest.raises(normalize.MachinePathError, match="cell one: its source"):
        normalize.normalize(notebook(source=f"open('{inside}')"))


def test_traceback_keeps_the_cell_and_drops_library_frames() -> None:
    frames = [
        "\x1b[31mValueError\x1b[39m  Traceback", "Cell In[3], line 1\n----> 1 f()",
        "File \x1b[32m/usr/lib/python3/site-packages/torch/nn.py:3\x1b[39m, in f()", "ValueError: no",
    ]  # fmt: skip
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": frames}
    kept = ["ValueError  Traceback", "Cell In[3], line 1\n----> 1 f()", "ValueError: no"]
    assert outputs_of(error)[0]["traceback"] == kept


def test_normal_form_is_its_own_and_reads_as_a_notebook(tmp_path: Path) -> None:
    once = normalize.normalize(notebook(stream("a\rb\n"), shown(text__html="<p>\n</p>", image__png="iVBOR")))
    text = normalize.dumps(once)
    again = json.loads(text)
    assert normalize.dumps(normalize.normalize(again)) == text
    read = nbformat.reads(text, as_version=4)
    nbformat.validate(read)
    assert nbformat.writes(read) == text.rstrip("\n")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(normalize.os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        normalize.write_text(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"
