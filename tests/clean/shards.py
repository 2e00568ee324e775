"""Helpers: write a file, clean it, look at all that came out of it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from dslab.clean import CleanError, Job, ShardCounts, clean_shard

MARKER = "Zq7Marker"  # stands in every bad row; must stand in no message


@dataclass
class Result:
    counts: ShardCounts
    out: bytes
    kept: list[dict]  # the quarantine's records

    @property
    def raw(self) -> list[bytes]:
        """The rows in quarantine, as they were."""
        return [base64.b64decode(r["base64"]) if "base64" in r else r["raw"].encode() for r in self.kept]

    @property
    def reasons(self) -> list[tuple[int, str]]:
        return [(r["line"], r["reason"]) for r in self.kept]


def put(folder: Path, data: bytes, name: str = "in.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def clean(folder: Path, data: bytes, name: str = "in.jsonl", **options) -> Result:
    """Clean `data` with mask off, unless the options say otherwise."""
    source, target, aside = put(folder, data, name), folder / f"out-{name}", folder / "aside.jsonl"
    counts = clean_shard(source, target, Job(**{"mask": "off", **options}), quarantine=aside)
    kept = [json.loads(line) for line in aside.read_bytes().splitlines()] if aside.exists() else []
    return Result(counts.check(), target.read_bytes(), kept)


def refusal(folder: Path, data: bytes, name: str = "in.jsonl", **options) -> str:
    """The message of a shard that fails; nothing is left but the input, and the message is chained to nothing."""
    source, target = put(folder, data, name), folder / f"out-{name}"
    before = sorted(folder.iterdir())
    with pytest.raises(CleanError) as caught:
        clean_shard(source, target, Job(**{"mask": "off", **options}), quarantine=folder / "aside.jsonl")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "a pickled traceback would show what is chained"
    assert sorted(folder.iterdir()) == before
    assert source.name in str(caught.value)
    assert MARKER not in str(caught.value)
    return str(caught.value)
