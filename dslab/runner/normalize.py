"""Executed notebooks in a form worth committing: the same run gives the same bytes, on any machine's paths and clock.

Works on notebooks as plain dicts (format 4), so it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dslab import paths

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ENVIRONMENT = "application/vnd.dslab.environment+json"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE_INFO = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
PART = ".part"  # ends the name of a file that is being written
SPLIT = ("application/javascript", "image/svg+xml")  # beside text/*, what nbformat stores line by line
KEPT_METADATA = ("dslab", "colab", "title", "authors")
KEPT_CELL_METADATA = ("tags", "jupyter", "name", "slideshow")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
ADDRESS = re.compile(r"(\bat )0x[0-9a-f]{6,}")  # <f at 0x7f…>; bare hexadecimal may be the lesson
FOREIGN_PATH = re.compile(
    r"(?:/home/|/Users/|/root/|/tmp/|/var/folders/|[A-Za-z]:\\+Users\\+)[\w.\-]+|[\w./\\-]*site-packages[\w./\\-]*"
)


class MachinePathError(ValueError):
    """An output still names a path of the machine it was made on."""


def has_tag(cell: dict[str, Any], tag: str) -> bool:
    """Whether a cell carries a tag."""
    return tag in cell.get("metadata", {}).get("tags", [])


def text_of(value: Any) -> str:
    """A notebook string, which the format may hold as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def strip_widgets(notebook: dict[str, Any]) -> None:
    """Remove widget state and views, which show nothing without a live kernel; what stands beside a view stays."""
    notebook["metadata"].pop("widgets", None)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [output for output in cell["outputs"] if _without_view(output)]


def _without_view(output: dict[str, Any]) -> bool:
    data = output.get("data", {})
    if WIDGET_VIEW not in data:
        return True
    del data[WIDGET_VIEW]
    return bool(set(data) - {"text/plain"})  # a bare widget's text is `IntSlider(value=…)` or a progress bar


def normalize(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with everything removed that a second run, another day or another machine would change.

    Idempotent. Raises MachinePathError naming the cell where a path of this machine remains in an output or a source.
    """
    notebook = json.loads(json.dumps(notebook))
    strip_widgets(notebook)
    metadata = {key: value for key, value in notebook["metadata"].items() if key in KEPT_METADATA}
    prefixes = _machine_prefixes()
    cells, executed = [], 0
    for position, cell in enumerate(notebook["cells"], 1):
        clean = {
            "cell_type": cell["cell_type"],
            "id": cell.get("id") or f"cell-{position:02d}",
            "metadata": {key: cell["metadata"][key] for key in KEPT_CELL_METADATA if cell["metadata"].get(key)},
            "source": text_of(cell["source"]),
        }
        if "attachments" in cell:
            clean["attachments"] = cell["attachments"]
        if cell["cell_type"] == "code":
            executed += bool(clean["source"].strip())
            count = executed if clean["source"].strip() else None
            outputs = [_output(output, count, prefixes) for output in cell["outputs"]]
            clean |= {"execution_count": count, "outputs": [output for output in _merged(outputs) if output]}
        _refuse_paths(clean, prefixes)
        cells.append(clean)
    return {
        "cells": cells,
        "metadata": metadata | {"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def dumps(notebook: dict[str, Any]) -> str:
    """The file's text, as nbformat writes it: strings as lists of lines, keys sorted, one space of indent."""
    split = json.loads(json.dumps(notebook))
    for cell in split["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = output["text"].splitlines(keepends=True)
            for mime, value in output.get("data", {}).items():
                if isinstance(value, str) and (mime.startswith("text/") or mime in SPLIT):
                    output["data"][mime] = value.splitlines(keepends=True)
    return json.dumps(split, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write through a temporary name in the same folder, so that no reader and no crash meets half a file."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes as `write_text` writes text."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mode = path.stat().st_mode if path.exists() else 0o666 & ~_umask()
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _machine_prefixes() -> list[tuple[str, str]]:
    """Folders of this machine and what stands for them in saved outputs, longest first."""
    root = paths.checkout()
    known: list[tuple[Path | str | None, str]] = [
        (paths.cache_dir(), "<cache>"), (root, "<dslab>"), (sys.prefix, "<python>"), (sys.base_prefix, "<python>"),
        (tempfile.gettempdir(), "<tmp>"), (Path.home(), "~"),
    ]  # fmt: skip
    named = [(str(folder), name) for folder, name in known if folder and len(str(folder)) > 3]
    return sorted(named, key=lambda pair: -len(pair[0]))


def anonymous(text: str) -> str:
    """A text without this machine's name and paths, for tables that leave the machine."""
    text = FOREIGN_PATH.sub("<path>", _sanitised(text, _machine_prefixes()))
    host = platform.node()
    return re.sub(rf"\b{re.escape(host)}\b", "<host>", text) if len(host) > 3 else text


def _sanitised(text: str, prefixes: Iterable[tuple[str, str]]) -> str:
    for prefix, name in prefixes:
        text = re.sub(rf"(?<![\w~>]){re.escape(prefix)}(?=[/\\\s'\"),:;<\]]|$)", name, text)
    return ADDRESS.sub(r"\g<1>0x…", text)


def _output(output: dict[str, Any], count: int | None, prefixes: list[tuple[str, str]]) -> dict[str, Any] | None:
    kind = output["output_type"]
    if kind == "stream":
        if output["name"] != "stdout":
            return None  # warnings, logging and progress bars
        return {"output_type": kind, "name": "stdout", "text": _sanitised(_terminal(text_of(output["text"])), prefixes)}
    if kind == "error":
        lines = [line for line in output["traceback"] if not ANSI.sub("", line).lstrip().startswith("File ")]
        return {
            "output_type": kind,
            "ename": output["ename"],
            "evalue": _sanitised(output["evalue"], prefixes),
            "traceback": [_sanitised(ANSI.sub("", line), prefixes) for line in lines],
        }
    clean = {"output_type": kind, "metadata": output.get("metadata", {}), "data": _data(output["data"], prefixes)}
    if kind == "execute_result":
        clean["execution_count"] = count
    return clean


def _data(data: dict[str, Any], prefixes: list[tuple[str, str]]) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for mime, value in data.items():
        if mime.endswith("json"):
            clean[mime] = json.loads(_sanitised(json.dumps(value, ensure_ascii=False), prefixes))
            if mime == ENVIRONMENT:
                clean[mime]["commit"] = None  # always the one before the commit that holds this output
        elif mime.startswith("image/") and mime != "image/svg+xml":
            clean[mime] = text_of(value)
        else:
            clean[mime] = _sanitised(text_of(value), prefixes)
    return clean


def _terminal(text: str) -> str:
    """What a terminal would show: after a carriage return the line is written anew; colours go."""
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in ANSI.sub("", text).split("\n"))
    return "\n".join(lines)


def _merged(outputs: Iterable[dict[str, Any] | None]) -> Iterator[dict[str, Any] | None]:
    """Join neighbouring stdout pieces, whose cuts depend on timing; drop empty ones."""
    pending: dict[str, Any] | None = None
    for output in outputs:
        if output is not None and output["output_type"] == "stream":
            if pending:
                pending["text"] += output["text"]
            elif output["text"]:
                pending = output
        elif output is not None:
            yield pending
            pending = None
            yield output
    yield pending


def _refuse_paths(cell: dict[str, Any], prefixes: list[tuple[str, str]]) -> None:
    where = f"cell {cell['id']}"
    for prefix, name in prefixes:
        if name in ("<dslab>", "<python>") and prefix in cell["source"]:
            raise MachinePathError(f"{where}: its source names a path of this machine, {prefix}; write it portably")
    for output in cell.get("outputs", []):
        shown = {mime: value for mime, value in output.get("data", {}).items() if not mime.startswith("image/")}
        text = json.dumps([shown, output.get("text"), output.get("traceback")], ensure_ascii=False)
        left = FOREIGN_PATH.search(text)
        if left:
            raise MachinePathError(f"{where}: its output names a path of this machine, {left[0]}; print less of it")
