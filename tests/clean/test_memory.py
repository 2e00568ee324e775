"""Memory stays flat as the corpus grows; what the duplicate passes need for each document."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import corpora
import pytest

PROGRAM = """
import sys
from dslab.clean import command
if __name__ == "__main__":
    try:
        command.main(sys.argv[1:])
    except SystemExit as end:
        assert not end.code
    print("peak", [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]


def peak(tmp_path: Path, *arguments: object) -> int:
    """Bytes of resident memory at the peak of a run in one process."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), *map(str, arguments), "--workers", "1"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return 1024 * int(done.stdout.split("peak ")[1])


def write(path: Path, size: int, words: int, seed: int = 0) -> int:
    """A file of `size` bytes of rows, few of them with an address; the number of rows."""
    rng = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = rows = 0
    with path.open("wb") as file:
        while written < size:
            text = corpora.sentence(rng, words) + (f" ask ann{rows}@corp.com" if rng.random() < 0.03 else "")
            written += file.write(json.dumps({"id": rows, "text": text}).encode() + b"\n")
            rows += 1
    return rows


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_ten_times_the_corpus_in_the_same_memory(tmp_path, suffix):
    for name, size in (("small", 20 << 20), ("large", 200 << 20)):
        write(tmp_path / name / "0.jsonl", size, words=400)
        if suffix == ".parquet":
            import pyarrow.json as pj
            import pyarrow.parquet as pq

            pq.write_table(
                pj.read_json(tmp_path / name / "0.jsonl"), tmp_path / name / "0.parquet", row_group_size=2000
            )
            (tmp_path / name / "0.jsonl").unlink()
    small, large = (peak(tmp_path, tmp_path / name, "-o", tmp_path / f"{name}-out") for name in ("small", "large"))
    print(f"{suffix}: 20 MB: {small / 1e6:.0f} MB at the peak; 200 MB: {large / 1e6:.0f} MB")
    assert large < 1e9
    assert large < small + 40e6


def test_bytes_a_document_of_the_duplicate_passes(tmp_path):
    """The difference between two sizes leaves what grows with documents alone."""
    peaks = []
    for name, size in (("small", 2 << 20), ("large", 42 << 20)):
        rows = write(tmp_path / name / "0.jsonl", size, words=20)
        used = peak(tmp_path, tmp_path / name, "-o", tmp_path / f"{name}-out", "--mask", "off", "--dedup", "0.8")
        peaks.append((rows, used))
    (few, low), (many, high) = peaks
    each = (high - low) / (many - few)
    print(
        f"{few:,} documents: {low / 1e6:.0f} MB; {many:,} documents: {high / 1e6:.0f} MB; {each:.0f} bytes a document"
    )
    assert each < 250
