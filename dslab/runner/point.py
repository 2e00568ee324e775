"""One point of a sweep: a notebook with its values, run in a process tree of its own, and what came of it.

What goes in and comes out is plain data, so that a point runs wherever dslab is installed.
"""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import json
import math
import platform
import tempfile
import threading
from pathlib import Path
from typing import Any

import dslab
from dslab.runner import execute, normalize, results

PACKAGES = ("torch", "transformers", "peft", "numpy")


def run_point(payload: dict[str, Any], cancel: threading.Event | None = None) -> dict[str, Any]:
    """Run one point: {"row": one flat row of the table, "notebook": the executed .ipynb, "log": text, "units": {...}}.

    payload: id, index, name (the notebook's stem), notebook (bytes), values, timeout (seconds a cell), threads.
    cancel:  once set, the point's processes are ended and its status is "interrupted".
    Whatever the notebook does is in the row; only a machine that cannot run anything at all raises (OSError).
    """
    started = datetime.datetime.now(datetime.UTC)
    with tempfile.TemporaryDirectory(prefix="dslab-", ignore_cleanup_errors=True) as name:
        source = Path(name) / f"{payload['name']}.ipynb"
        source.write_bytes(payload["notebook"])
        out = Path(name) / "executed" / source.name
        out.parent.mkdir()
        task = execute.Task(source, out, payload["values"], timeout=payload["timeout"])
        [outcome], stopped = execute.run_all([task], 1, _Silence(), threads=payload["threads"], cancel=cancel)
        if stopped:
            outcome.status = "interrupted"  # also one that was ended before it began: it is no result
        found = results.of_notebook(outcome)
        log = out.with_suffix(".log")
        return {
            "row": _base(payload, started) | _row(found) | {"threads": payload["threads"]},
            "notebook": out.read_bytes() if out.is_file() else b"",
            "log": log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "",
            "units": {f"metric.{row['name']}": row["unit"] for row in found["metrics"] if row.get("unit")},
        }


def lost(payload: dict[str, Any], reason: str) -> dict[str, Any]:
    """The result of a point of which nothing came back. reason: one sentence."""
    row = _base(payload, datetime.datetime.now(datetime.UTC)) | {
        "status": "lost", "error": _line(reason), "seed": payload["values"].get("seed"), "threads": payload["threads"],
    }  # fmt: skip
    row |= {f"param.{name}": _plain(value) for name, value in payload["values"].items()}
    return {"row": row, "notebook": b"", "log": "", "units": {}}


class _Silence:
    def event(self, *_: Any) -> None:
        """Nobody watches the cells of a point."""


def _base(payload: dict[str, Any], started: datetime.datetime) -> dict[str, Any]:
    """The columns that every row has, in the table's order, those unknown so far as None."""
    return {
        "point": payload["id"], "index": payload["index"], "status": None, "error": None, "error_cell": None,
        "seconds": None, "peak_bytes": None, "seed": None, "device": None,
        "started": started.isoformat(timespec="seconds"), "threads": None, **dict(_software()),
    }  # fmt: skip


def _row(found: dict[str, Any]) -> dict[str, Any]:
    """The record of a run (`results.of_notebook`) as flat columns."""
    error = found["error"]
    row = {
        "status": found["status"],
        "error": _line(f"{error['name']}: {error['message']}") if error else None,
        "error_cell": _cell(error) if error else None,
        "seconds": found["seconds"],
        "peak_bytes": found["peak_bytes"] or None,
        "seed": found["parameters"].get("seed"),
        "device": found["device"],
    }
    row |= {f"param.{name}": _plain(value) for name, value in found["parameters"].items()}
    row |= {f"metric.{metric.get('name')}": _plain(metric.get("value")) for metric in found["metrics"]}
    for claim in found["claims"]:
        row[f"claim.{claim.get('id')}"] = _plain(claim.get("measured"))
        row[f"holds.{claim.get('id')}"] = claim.get("holds")
    return row


def _cell(error: dict[str, Any]) -> str | None:
    return error["id"] or (f"cell {error['cell']}" if error["cell"] else None)


def _plain(value: Any) -> Any:
    """A value as flat JSON: what is no finite number stands as text, without this machine's name and paths."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return normalize.anonymous(value if isinstance(value, str) else json.dumps(value, default=str))


def _line(text: str) -> str:
    """A message on one line, without this machine's name and paths, cut where it becomes a page."""
    line = " ".join(normalize.anonymous(text).split())
    return line if len(line) <= 300 else line[:299] + "…"


def software() -> dict[str, Any]:
    """What computes here: versions, commit, lock file. Asked once a process, which is when it imported its code."""
    return dict(_software())


@functools.cache
def _software() -> tuple[tuple[str, Any], ...]:
    found = results.provenance()
    versions: dict[str, Any] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    columns = {
        "host_cores": execute.cores(), "dslab": dslab.__version__, "commit": found["commit"],
        "modified": found["modified"], "lock_sha256": found["lock_sha256"], "python": platform.python_version(),
    } | versions  # fmt: skip
    return tuple(columns.items())
