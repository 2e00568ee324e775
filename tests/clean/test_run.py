"""A run over shards: the same bytes for any number of workers, failures that stay with their shard, balanced books."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import corpora
import pyarrow.parquet as pq
import pytest

from dslab.clean import run as run_module
from dslab.clean.errors import Busy, CleanError
from dslab.clean.exclusive import alone
from dslab.clean.job import Job
from dslab.clean.run import Result, clean_one, execute, finished, prepare
from dslab.clean.shard import clean_shard

KINDS = (".jsonl", ".jsonl.gz", ".parquet")


def cleaned(root: Path, job: Job | None = None, out: str = "out", workers: int = 1, **options) -> Result:
    return execute(prepare([str(root / "in")], str(root / out), job or Job(), **options), workers)


def test_each_shard_is_what_clean_shard_makes_of_it(tmp_path):
    corpora.corpus(tmp_path / "in", shards=3, n=20, kinds=KINDS)
    result = cleaned(tmp_path, audit=True)
    assert corpora.outputs(tmp_path / "out") == {"part0/0.jsonl", "part1/1.jsonl.gz", "part0/2.parquet"}
    for name, counts in result.done.items():
        alone_ = clean_shard(
            tmp_path / "in" / name, tmp_path / "alone" / name, Job(),
            quarantine=tmp_path / f"aside{len(name)}", audit=tmp_path / "audit",
        )  # fmt: skip
        assert alone_ == counts
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    total = result.total
    assert total.rows_in == 20 + 40 + 60 + 2
    assert total.rows_in == total.rows_out + 2
    assert total.spans["EMAIL"] > 5


def test_workers_change_nothing(tmp_path):
    corpora.corpus(tmp_path / "in", shards=5, n=15, kinds=KINDS)
    job = Job(dedup=0.8)
    cleaned(tmp_path, job, "one", audit=True)
    result = cleaned(tmp_path, job, "many", 3, audit=True)
    assert result.is_complete
    assert corpora.tree(tmp_path / "one") == corpora.tree(tmp_path / "many")
    assert not (tmp_path / "many" / "_dslab" / "dedup").exists()


def test_one_file_to_one_file(tmp_path, monkeypatch):
    corpora.corpus(tmp_path / "in", shards=1, n=20)
    source = tmp_path / "in" / "part0" / "0.jsonl"
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / ".part-of-another-run").write_text("")
    plan = prepare([str(source)], str(tmp_path / "o" / "clean.jsonl"), Job(dedup=0.8))
    written = []
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "clean_shard", lambda *args, **o: written.append(args[1]) or clean_shard(*args, **o))
        assert execute(plan).is_complete
    assert {path.parent.name for path in written} == {"clean.jsonl._dslab"}, "temporary files lie in the side folder"
    whole = cleaned(tmp_path, Job(dedup=0.8))
    assert (tmp_path / "o" / "clean.jsonl").read_bytes() == (tmp_path / "out" / "part0" / "0.jsonl").read_bytes()
    side = {"run.json", "manifest.json", "shards/0.jsonl.json", "quarantine/0.jsonl.rows.jsonl"}
    assert set(corpora.tree(tmp_path / "o" / "clean.jsonl._dslab")) == side
    assert (tmp_path / "o" / ".part-of-another-run").exists(), "the folder is the user's"
    assert whole.is_complete
    again = prepare([str(source)], str(tmp_path / "o" / "clean.jsonl"), Job(dedup=0.8), resume=True)
    assert execute(again).reused == 1


@pytest.mark.parametrize(
    ("inputs", "out", "words"),
    [
        (["in"], "clean.jsonl", "looks like a file"),
        (["in/part0/0.jsonl", "in/part1/1.jsonl"], "clean.jsonl", "looks like a file"),
        (["in/part0/0.jsonl"], "clean.parquet", "not converted"),
        (["in/part0/0.jsonl"], "clean.jsonl.gz", "not converted"),
        (["in/part0/0.jsonl"], "taken.jsonl", "is not empty"),
        (["in"], "taken.txt", "is a file"),
        (["in"], "full", "is not empty; --resume continues"),
    ],
)
def test_outputs_that_cannot_be_are_refused(tmp_path, inputs, out, words):
    corpora.corpus(tmp_path / "in", shards=2, n=3)
    for name in ("taken.jsonl", "taken.txt", "full/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = corpora.tree(tmp_path)
    with pytest.raises(CleanError, match=words):
        prepare([str(tmp_path / one) for one in inputs], str(tmp_path / out), Job())
    assert corpora.tree(tmp_path) == before


def test_resume_into_a_folder_that_is_no_run_is_refused(tmp_path):
    corpora.corpus(tmp_path / "in", shards=1, n=3)
    (tmp_path / "out" / "_dslab").mkdir(parents=True)
    (tmp_path / "out" / "_dslab" / ".part-0123").write_text("killed before it began")
    assert cleaned(tmp_path, resume=True).is_complete
    assert not list((tmp_path / "out").rglob(".part-*"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(CleanError, match="no run of dslab clean"):
        cleaned(tmp_path, out="other", resume=True)


def break_gz(root: Path) -> str:
    path = next((root / "in").rglob("*.gz"))
    path.write_bytes(path.read_bytes()[:-20])
    return str(path.relative_to(root / "in"))


@pytest.mark.parametrize(("workers", "dedup"), [(1, None), (1, 0.8), (2, None)])
def test_a_shard_that_fails_does_not_stop_the_others(tmp_path, workers, dedup):
    corpora.corpus(tmp_path / "in", shards=4, n=10, kinds=KINDS)
    name = break_gz(tmp_path)
    result = cleaned(tmp_path, Job(dedup=dedup), workers=workers)
    assert set(result.failed) == {name}
    assert "truncated" in result.failed[name]
    assert corpora.outputs(tmp_path / "out") == set(result.done)
    assert len(result.done) == 3
    assert not list((tmp_path / "out").rglob(".part-*"))
    assert not (tmp_path / "out" / "_dslab" / "manifest.json").exists(), "a manifest says that all of it is there"
    before = corpora.tree(tmp_path / "out")
    again = cleaned(tmp_path, Job(dedup=dedup), workers=workers, resume=True)
    assert (again.reused, set(again.failed)) == (3, {name})
    assert corpora.tree(tmp_path / "out") == before


@pytest.mark.parametrize("dedup", [None, 0.8])
def test_on_error_fail_ends_the_run_at_the_first_bad_row(tmp_path, dedup):
    corpora.corpus(tmp_path / "in", shards=3, n=10)
    result = cleaned(tmp_path, Job(on_error="fail", dedup=dedup))
    assert result.is_stopped
    assert list(result.failed) == ["part0/2.jsonl"]  # the largest is first
    assert "line 31: malformed JSON" in result.failed["part0/2.jsonl"]
    assert not corpora.outputs(tmp_path / "out")


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    corpora.corpus(tmp_path / "in", shards=3, n=3)

    def full(source, target, *args, **options):
        raise CleanError(f"cannot write {target}: no space left on the device")

    monkeypatch.setattr(run_module, "clean_shard", full)
    result = cleaned(tmp_path)
    assert result.is_stopped
    assert len(result.failed) == 1


def test_an_input_that_grows_meanwhile_fails(tmp_path, monkeypatch):
    corpora.corpus(tmp_path / "in", shards=2, n=3)
    real = clean_shard

    def slow(source, target, *args, **options):
        counts = real(source, target, *args, **options)
        if source.name == "1.jsonl":
            with source.open("ab") as file:
                file.write(b"{}\n")
        return counts

    monkeypatch.setattr(run_module, "clean_shard", slow)
    result = cleaned(tmp_path)
    assert "was changed while the run was at work" in result.failed["part1/1.jsonl"]
    assert corpora.outputs(tmp_path / "out") == {"part0/0.jsonl"}


def test_two_runs_in_one_place_are_refused(tmp_path):
    corpora.corpus(tmp_path / "in", shards=1, n=3)
    plan = prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job())
    with alone(plan.layout), pytest.raises(Busy, match="another run is at work"):
        execute(plan)
    assert execute(plan).is_complete


def test_a_missing_key_or_a_bad_test_file_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.delenv("DSLAB_KEY", raising=False)
    corpora.corpus(tmp_path / "in", shards=1, n=3)
    items = tmp_path / "items.jsonl"
    items.write_text('{"question": "no text here"}\n')
    for job, words in (
        (Job(mask="hmac"), "needs a key"),
        (Job(mask="surrogate", key_file=str(tmp_path / "none")), "needs a key"),
        (Job(decontaminate=(str(tmp_path / "none.jsonl"),)), "cannot read"),
        (Job(decontaminate=(str(items),)), "items.jsonl: line 1"),
    ):
        with pytest.raises(CleanError, match=words):
            cleaned(tmp_path, job)
        assert not (tmp_path / "out").exists()


def test_one_shard_at_a_time_on_many_machines_and_a_last_look(tmp_path):
    """What a datatrove step does; `--resume` then verifies all of it and writes the manifest."""
    corpora.corpus(tmp_path / "in", shards=4, n=10, kinds=KINDS)
    cleaned(tmp_path, out="whole")
    for rank in range(2):
        plan = prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(), resume=True)
        plan.start()
        for shard in plan.shards[rank::2]:
            assert finished(plan.recipe, shard) is None
            clean_one(plan.recipe, shard)
            assert finished(plan.recipe, shard) is not None
    assert cleaned(tmp_path, resume=True).reused == 4
    assert corpora.tree(tmp_path / "out") == corpora.tree(tmp_path / "whole")


def test_empty_files_and_files_without_rows(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.jsonl").write_bytes(b"")
    result = cleaned(tmp_path, Job(dedup=0.8))
    assert result.is_complete
    assert result.total.rows_in == 0
    assert corpora.outputs(tmp_path / "out") == {"a.jsonl", "b.jsonl"}


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount a small tmpfs")
@pytest.mark.parametrize("arguments", [[], ["--dedup", "0.8"]])
def test_a_full_disk_for_real(tmp_path, arguments):
    """3 MB of room for 8 MB: exit 1, one line, nothing half written; with more room --resume ends it."""
    corpora.corpus(tmp_path / "in", shards=4, n=2500)
    corpora.dslab_clean(tmp_path / "in", "-o", tmp_path / "whole", *arguments)
    out = tmp_path / "out"
    out.mkdir()
    if os.system(f"mount -t tmpfs -o size=3m tmpfs {out} 2>/dev/null"):
        pytest.skip("mounting is not allowed here")
    try:
        command = [tmp_path / "in", "-o", out, "--workers", "2", *arguments]
        code, _, err = corpora.dslab_clean(*command)
        assert code == 1
        assert "no space left on the device" in err
        assert "Traceback" not in err
        assert not list(out.rglob(".part-*"))
        whole = corpora.tree(tmp_path / "whole")
        for name in corpora.outputs(out):
            assert (out / name).read_bytes() == whole[name]
        assert not os.system(f"mount -o remount,size=100m {out}")
        assert corpora.dslab_clean(*command, "--resume")[0] == 0
        assert corpora.tree(out) == whole
    finally:
        os.system(f"umount {out}")


def test_parquet_and_gzip_keep_what_they_hold(tmp_path):
    corpora.corpus(tmp_path / "in", shards=3, n=20, kinds=KINDS)
    cleaned(tmp_path)
    before, after = (pq.read_table(tmp_path / where / "part0" / "2.parquet") for where in ("in", "out"))
    assert before.schema == after.schema
    assert before.column("score") == after.column("score")
    lines = gzip.decompress((tmp_path / "out" / "part1" / "1.jsonl.gz").read_bytes()).splitlines()
    assert len([json.loads(line) for line in lines]) == 40
