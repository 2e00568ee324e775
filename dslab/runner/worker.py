"""The process that executes one notebook: `python -m dslab.runner.worker`, a task as one line of JSON on stdin.

It speaks JSON lines on its standard output, one event a line, and nothing else does: file descriptor 1 is moved away
before the kernel starts, so what native code prints goes to the log beside the notebook.

Events: {"event": "start", "cells": n} · {"event": "cell", "number": k, "label": id} ·
{"event": "end", "status": ..., "error": {...} | null, "seconds": s, "peak_bytes": b}.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import psutil


def emit_to(stream: TextIO, **event: Any) -> None:
    """Send one event to the parent; a parent that has gone away is no reason to fail."""
    try:
        stream.write(json.dumps(event) + "\n")
        stream.flush()
    except OSError:
        pass


def run(task: dict[str, Any], stream: TextIO) -> None:
    """Execute the task's notebook, write the executed copy and its HTML page, and send the events."""
    # jsonschema imports a grammar for internationalised web addresses, which takes over a second to build and which
    # no notebook schema uses. It is optional there; this process only runs notebooks, so it declares it absent.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import nbformat
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook, remove_error_markers

    from dslab.runner import normalize, sections
    from dslab.runner.engine import Engine, Record

    record = Record(lambda **event: emit_to(stream, **event))
    notebook = nbformat.read(task["notebook"], as_version=4)
    skipped = sections.skip_others(notebook, task["values"])
    cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells) - skipped
    record.emit(event="start", cells=cells + bool(task["values"]))  # papermill injects a cell of its own
    out = Path(task["out"])
    papermill_engines.register("dslab", Engine)
    started = time.perf_counter()
    try:
        executed = execute_notebook(
            notebook,
            str(out).replace("{", "{{").replace("}", "}}"),  # papermill formats paths as templates
            parameters=task["values"] or None,
            engine_name="dslab",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=task["cwd"],
            timeout=task["timeout"],
            record=record,
        )
    except PapermillExecutionError:
        executed = nbformat.read(out, as_version=4)
        if not record.error:  # papermill also objects to cells tagged raises-exception
            executed = remove_error_markers(executed)
    seconds = time.perf_counter() - started
    normalize.strip_widgets(executed)
    normalize.write_text(out, nbformat.writes(executed))
    if task["html"]:
        record.emit(event="cell", number=None, label="writing the page")
        normalize.write_text(Path(task["html"]), _to_html(executed, out.stem))
    record.emit(event="end", status=record.status, error=record.error, seconds=seconds, peak_bytes=record.peak_bytes)


def _to_html(notebook: Any, title: str) -> str:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(require_js_url="", jquery_url="", widget_renderer_url="")
    html, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return str(html)


def _follow_parent() -> None:
    """End with the parent, however it ended: its end of standard input closes. So do the kernel and its children."""
    os.read(0, 1)
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    os._exit(1)


def main() -> int:
    """Read the task, run it, and say how it ended, whatever happens."""
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow_parent, daemon=True).start()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        run(task, stream)
    except Exception as error:
        traceback.print_exc()
        told = {"cell": None, "id": "", "name": type(error).__name__, "message": str(error), "source": ""}
        emit_to(stream, event="end", status="failed", error=told, seconds=0.0, peak_bytes=0)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
