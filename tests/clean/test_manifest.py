"""What a run remembers, and that every change of configuration or input is named when it is resumed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import corpora
import pytest

from dslab.clean import manifest
from dslab.clean.atomic import sha256_of
from dslab.clean.errors import CleanError
from dslab.clean.job import Job
from dslab.clean.run import Plan, execute, prepare

KEY = "0123456789abcdef" * 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with a small corpus in `in` and a finished run over it in `out`; tests work on copies."""
    root = tmp_path_factory.mktemp("finished")
    corpora.corpus(root / "in", shards=3, n=10)
    execute(prepare([str(root / "in")], str(root / "out"), Job()))
    return root


@pytest.fixture
def root(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path / "root")
    return tmp_path / "root"


def resumed(root: Path, job: Job | None = None, inputs: list[str] | None = None, **options) -> Plan:
    names = inputs or [str(root / "in")]
    return prepare(names, str(root / "out"), job or Job(), resume=True, **options)


def refusal(root: Path, *args, **options) -> str:
    with pytest.raises(CleanError, match="cannot be resumed") as caught:
        resumed(root, *args, **options)
    return str(caught.value)


def test_the_same_command_resumes(root):
    result = execute(resumed(root))
    assert (result.reused, result.redone, len(result.done)) == (3, 0, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text_column": "body"}, "--text-column was text, is body"),
        ({"mask": "partial"}, "--mask was tag, is partial"),
        ({"types": ("EMAIL", "IP")}, "--types was all, is EMAIL,IP"),
        ({"policy": "precision"}, "--policy was recall, is precision"),
        ({"on_error": "skip"}, "--on-error was quarantine, is skip"),
        ({"quality": True}, "--quality was off, is on"),
        ({"dedup": 0.8}, "--dedup was not given, is 0.8"),
        ({"max_row_bytes": 99}, "--max-row-bytes was 67108864, is 99"),
    ],
)
def test_a_changed_option_is_named(root, change, words):
    said = refusal(root, replace(Job(), **change))
    assert words in said
    assert said.count(" was ") == 1


def test_several_changes_are_all_named(root):
    said = refusal(root, Job(mask="off", quality=True), audit=True)
    for option in ("--mask", "--quality", "--audit"):
        assert option in said


def test_another_key_is_noticed_and_never_shown(tmp_path, monkeypatch):
    corpora.corpus(tmp_path / "in", shards=1, n=5)
    job = Job(mask="hmac")
    monkeypatch.setenv("DSLAB_KEY", KEY)
    execute(prepare([str(tmp_path / "in")], str(tmp_path / "out"), job))
    written = b"".join(corpora.tree(tmp_path / "out" / "_dslab").values())
    assert KEY.encode() not in written
    assert KEY.encode().hex().encode() not in written
    other = KEY[::-1]
    monkeypatch.setenv("DSLAB_KEY", other)
    said = refusal(tmp_path, job)
    assert "the key is another one" in said
    assert KEY not in said
    assert other not in said
    (tmp_path / "key").write_text(KEY)  # the same key from elsewhere is no change
    (tmp_path / "key").chmod(0o600)
    assert execute(resumed(tmp_path, replace(job, key_file=str(tmp_path / "key")))).reused == 1


def test_a_test_file_with_other_content_is_noticed(tmp_path):
    corpora.corpus(tmp_path / "in", shards=1, n=5)
    items = tmp_path / "items.jsonl"
    items.write_text('{"text": "one two three"}\n')
    job = Job(decontaminate=(str(items),), decontaminate_min_words=3)
    execute(prepare([str(tmp_path / "in")], str(tmp_path / "out"), job))
    renamed = items.rename(tmp_path / "renamed.jsonl")
    assert execute(resumed(tmp_path, Job(decontaminate=(str(renamed),), decontaminate_min_words=3))).reused == 1
    items.write_text('{"text": "one two four"}\n')
    assert "--decontaminate was items.jsonl (" in refusal(tmp_path, job)
    assert "is none" in refusal(tmp_path, Job())


def test_other_library_versions_are_noticed(root, monkeypatch):
    monkeypatch.setattr("dslab.clean.job._version", lambda name: "0.0")
    assert "of another version" in refusal(root)


def test_inputs_that_came_went_or_changed_are_named(root):
    names = sorted(str(path.relative_to(root / "in")) for path in (root / "in").rglob("*.jsonl"))
    first, second, third = (root / "in" / name for name in names)
    first.write_bytes(first.read_bytes() + b"\n")
    second.rename(root / "in" / "new.jsonl")
    content = third.read_bytes()
    third.write_bytes(content[:-2] + b" \n")  # the same length
    os.utime(third, ns=(1, 1))
    said = refusal(root)
    assert f"inputs changed: {names[0]}, {names[2]}" in said
    assert f"input gone: {names[1]}" in said
    assert "input new: new.jsonl" in said


def test_many_changed_inputs_are_counted(root):
    for number in range(9):
        (root / "in" / f"extra{number}.jsonl").write_text("{}\n")
    assert "inputs new: extra0.jsonl, extra1.jsonl, extra2.jsonl and 6 more" in refusal(root)


def test_another_order_is_noticed(tmp_path):
    for name in ("a", "b"):
        corpora.corpus(tmp_path / name, shards=1, n=5)
    inputs = [str(tmp_path / "a"), str(tmp_path / "b")]
    execute(prepare(inputs, str(tmp_path / "out"), Job()))
    assert "another order" in refusal(tmp_path, inputs=inputs[::-1])


def test_a_copy_of_the_inputs_elsewhere_resumes_by_its_content(root):
    moved = root / "moved"
    shutil.copytree(root / "in", moved)
    for path in moved.rglob("*.jsonl"):
        os.utime(path)
    assert execute(resumed(root, inputs=[str(moved)])).reused == 3


def test_a_time_that_changed_is_refused_where_nothing_was_recorded(root):
    shard = next((root / "in").rglob("*.jsonl"))
    record = root / "out" / "_dslab" / "shards" / f"{shard.relative_to(root / 'in')}.json"
    record.unlink()
    os.utime(shard)
    assert "input changed" in refusal(root)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "quarantine gone", "record cut", "record of another run"])
def test_what_no_longer_stands_is_done_again(root, damage):
    before = corpora.tree(root / "out")
    target = root / "out" / "part0" / "0.jsonl"
    record = root / "out" / "_dslab" / "shards" / "part0" / "0.jsonl.json"
    if damage == "flip":
        stat = target.stat()
        target.write_bytes(target.read_bytes()[:-3] + b"!}\n")
        os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # neither size nor time tells
    elif damage == "cut":
        target.write_bytes(target.read_bytes()[:-9])
    elif damage == "gone":
        target.unlink()
    elif damage == "quarantine gone":
        (root / "out" / "_dslab" / "quarantine" / "part0" / "0.jsonl.rows.jsonl").unlink()
    elif damage == "record cut":
        record.write_bytes(record.read_bytes()[:20])
    else:
        record.write_text(json.dumps({**json.loads(record.read_bytes()), "fingerprint": "0"}))
    result = execute(resumed(root))
    assert (result.reused, result.redone) == (2, 1)
    assert corpora.tree(root / "out") == before


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": 99}', b"\xff"])
def test_a_damaged_run_file_is_refused(root, content):
    (root / "out" / "_dslab" / "run.json").write_bytes(content)
    with pytest.raises(CleanError, match="damaged"):
        resumed(root)


def test_records_hold_no_time_and_no_path(root):
    kept = manifest.read_run(prepare([str(root / "in")], str(root / "else"), Job()).layout)
    assert kept is None
    for name, content in corpora.tree(root / "out" / "_dslab").items():
        if not name.startswith("quarantine"):
            assert str(root).encode() not in content, name
            assert b"seconds" not in content


def test_the_manifest_has_every_digest_and_the_sums(root):
    content = json.loads((root / "out" / "_dslab" / "manifest.json").read_bytes())
    assert content["sums"]["rows_in"] == 10 + 20 + 30 + 3
    assert content["sums"]["quarantined"] == {"malformed JSON": 3}
    for name, counts in content["shards"].items():
        assert counts["sha256_in"] == sha256_of(root / "in" / name)
        assert counts["sha256_out"] == sha256_of(root / "out" / name)
