"""Small corpora on disk, whole output trees to compare, and the command as a user calls it."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = [f"{a}{b}" for a in ("ba", "ki", "lo", "mu", "ne", "po", "ra", "si", "to", "vu") for b in "dfglmnrstz"]
BAD = b'{"text": "no end\n'


def sentence(rng: random.Random, words: int = 40) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def rows(seed: int, n: int, shared: list[str]) -> list[dict]:
    """Rows of prose; one in ten holds an address, one in ten is a text of `shared` or nearly so."""
    rng = random.Random(seed)
    out = []
    for number in range(n):
        text = sentence(rng)
        if rng.random() < 0.1:
            text = rng.choice(shared) + rng.choice(["", " " + rng.choice(WORDS)])
        if rng.random() < 0.1:
            text += f" write to {rng.choice(WORDS)}{number}@corp-{seed}.com"
        out.append({"id": number, "text": text, "score": round(rng.random(), 3)})
    return out


def corpus(folder: Path, shards: int = 4, n: int = 200, kinds: tuple[str, ...] = (".jsonl",), bad: bool = True) -> Path:
    """Shards of unequal size in the formats of `kinds`, in turn; with near-duplicates across shards."""
    shared = [sentence(random.Random(-seed - 1), 60) for seed in range(10)]
    for number in range(shards):
        kind = kinds[number % len(kinds)]
        path = folder / f"part{number % 2}" / f"{number}{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = rows(number, n * (number + 1), shared)
        if kind == ".parquet":
            pq.write_table(pa.Table.from_pylist(content), path)
            continue
        data = b"".join(json.dumps(row).encode() + b"\n" for row in content) + (BAD if bad else b"")
        path.write_bytes(gzip.compress(data, mtime=0) if kind.endswith(".gz") else data)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def outputs(folder: Path) -> set[str]:
    """The names of cleaned files."""
    return {name for name in tree(folder) if not name.startswith("_dslab")}


def start(*arguments: object, **options) -> subprocess.Popen:
    """`dslab clean ...` in a process group of its own."""
    command = [sys.executable, "-m", "dslab.cli", "clean", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("environment", {})}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment,
        **options,
    )  # fmt: skip


def dslab_clean(*arguments: object, **options) -> tuple[int, str, str]:
    """Exit code, output and error stream of `dslab clean ...`."""
    child = start(*arguments, **options)
    out, err = child.communicate(timeout=240)
    return child.returncode, out, err
