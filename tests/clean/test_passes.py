"""Duplicates over shards: what the in-memory function finds over all texts at once, wherever the shards are cut."""

from __future__ import annotations

import gzip
import json
import random
import stat
from pathlib import Path

import corpora
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dslab.clean import passes
from dslab.clean.errors import CleanError
from dslab.clean.job import Job
from dslab.clean.run import execute, prepare
from dslab.clean.shard import texts
from dslab.dedup import minhash_duplicates


def near_texts(seed: int, n: int) -> list[str]:
    """Texts in English-like words and in Chinese, many of them changed copies of others at every similarity."""
    rng = random.Random(seed)
    characters = [chr(0x4E00 + i) for i in range(400)]
    made: list[list[str]] = []
    for _ in range(n):
        if made and rng.random() < 0.5:
            words = list(rng.choice(made))
            for _ in range(rng.choice([0, 1, 1, 2, 4])):
                words[rng.randrange(len(words))] = rng.choice(corpora.WORDS)
        else:
            words = rng.choices(corpora.WORDS if rng.random() < 0.7 else characters, k=rng.randint(1, 120))
        made.append(words)
    return [" ".join(words) for words in made]


def write(folder: Path, texts_: list[str], cuts: list[int], kinds: tuple[str, ...] = (".jsonl",)) -> Path:
    folder.mkdir(parents=True)
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(texts_)], strict=True)):
        kind = kinds[number % len(kinds)]
        path = folder / f"{number:02}{kind}"
        rows = [{"i": i, "text": text} for i, text in enumerate(texts_[start:end], start)]
        if kind == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows, pa.schema([("i", pa.int64()), ("text", pa.string())])), path)
            continue
        # A row that cannot be read before each that can: row numbers are not document numbers.
        data = b"".join(b"{oops\n" + json.dumps(row).encode() + b"\n" for row in rows)
        path.write_bytes(gzip.compress(data) if kind == ".jsonl.gz" else data)
    return folder


def kept(folder: Path) -> list[int]:
    """The numbers of the rows that went out."""
    out = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if path.suffix == ".parquet":
            out += pq.read_table(path).column("i").to_pylist()
        else:
            data = path.read_bytes()
            lines = (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
            out += [json.loads(line)["i"] for line in lines]
    return out


@pytest.mark.parametrize("threshold", [0.8, 0.95, 1.0])
def test_equal_to_the_function_over_all_texts(tmp_path, threshold, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK_ROWS", 37)
    content = near_texts(1, 400)
    write(tmp_path / "in", content, [100, 130, 130, 300], (".jsonl", ".jsonl.gz", ".parquet"))
    result = execute(prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(mask="off", dedup=threshold)))
    repeated = set(minhash_duplicates(content, threshold).repeated.tolist())
    assert len(repeated) > 30
    assert kept(tmp_path / "out") == [i for i in range(400) if i not in repeated]
    assert result.total.dropped == {"near-duplicate": len(repeated)}


def test_a_low_threshold_takes_more_bands(tmp_path):
    assert passes.bands_for(0.8) == passes.bands_for(0.7) == (32, 4)
    content = near_texts(2, 200)
    write(tmp_path / "in", content, [50])
    execute(prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(mask="off", dedup=0.5)))
    repeated = set(minhash_duplicates(content, 0.5, *passes.bands_for(0.5)).repeated.tolist())
    assert kept(tmp_path / "out") == [i for i in range(200) if i not in repeated]


def test_cuts_and_sizes_of_shards_change_nothing(tmp_path):
    content = near_texts(3, 200)
    found = []
    for number, cuts in enumerate(([], [1, 199], [20, 40, 60, 80, 100])):
        write(tmp_path / f"in{number}", content, cuts)
        out = tmp_path / f"out{number}"
        execute(prepare([str(tmp_path / f"in{number}")], str(out), Job(mask="off", dedup=0.8)))
        found.append(kept(out))
    assert found[0] == found[1] == found[2]


def test_the_first_in_the_order_of_the_arguments_stays(tmp_path):
    text = corpora.sentence(random.Random(0), 50)
    for name in ("web", "wiki"):
        write(tmp_path / name, [text], [])
    inputs = [str(tmp_path / "wiki"), str(tmp_path / "web")]
    done = execute(prepare(inputs, str(tmp_path / "out"), Job(mask="off", dedup=0.8))).done
    assert done["wiki/00.jsonl"].rows_out == 1
    assert done["web/00.jsonl"].rows_out == 0


def test_exact_copies_without_words_or_with_few_are_found(tmp_path):
    content = ["", "!!!", "ok", "!!!", "", "ok", "???", "嗯", "嗯", " ", "\n", " "]
    write(tmp_path / "in", content, [3])
    execute(prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(mask="off", dedup=0.8)))
    assert kept(tmp_path / "out") == [0, 1, 2, 6, 7, 9, 10]


def test_a_bucket_of_hundreds_of_copies(tmp_path):
    rng = random.Random(5)
    base = corpora.sentence(rng, 60)
    content = [base if rng.random() < 0.9 else corpora.sentence(rng, 60) for _ in range(600)]
    content[0] = base
    write(tmp_path / "in", content, [200, 400])
    execute(prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(mask="off", dedup=0.8)))
    assert kept(tmp_path / "out") == [0, *(i for i in range(1, 600) if content[i] != base)]


def test_state_is_private_and_of_the_stated_size(tmp_path, monkeypatch):
    content = [corpora.sentence(random.Random(i), 100) for i in range(300)]
    write(tmp_path / "in", content, [100])
    plan = prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(mask="off", dedup=0.8))
    for shard in plan.shards:
        passes.fingerprint((plan.layout, plan.job, shard), lambda rows, size: None)
    files = [path for path in plan.layout.dedup.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    size = sum(path.stat().st_size for path in files if path.suffix != ".json")
    assert size == 300 * (4 * 128 + 8 * 96 + 16)  # 96 shingles of 100 words
    assert execute(plan).is_complete
    assert not plan.layout.dedup.exists()


def test_pass_one_is_not_repeated_and_a_decision_stands(tmp_path, monkeypatch):
    write(tmp_path / "in", near_texts(4, 60), [30])
    plan = prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(mask="off", dedup=0.8))
    report = lambda rows, size: None  # noqa: E731
    first = [passes.fingerprint((plan.layout, plan.job, shard), report) for shard in plan.shards]
    monkeypatch.setattr(passes, "_write_state", None)
    assert first == [passes.fingerprint((plan.layout, plan.job, shard), report) for shard in plan.shards]
    passes.decide(plan.layout, plan.job, list(plan.shards), {"other": "truncated"})
    assert passes.decided(plan.layout) == {"other": "truncated"}
    numbers = [passes.duplicates(plan.layout, shard) for shard in plan.shards]
    assert all((np.diff(rows) > 0).all() for rows in numbers)
    readable = [number for number, _ in texts(plan.shards[0].source, plan.job)]
    assert set(numbers[0].tolist()) <= set(readable)


def test_cleaning_before_deciding_is_refused(tmp_path):
    from dslab.clean.run import clean_one

    write(tmp_path / "in", ["a"], [])
    plan = prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(mask="off", dedup=0.8))
    with pytest.raises(CleanError, match="have not been decided"):
        clean_one(plan.recipe, plan.shards[0])
