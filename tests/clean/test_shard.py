"""clean_shard: what stands under a final name is complete, the books balance, and a second run changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shards import MARKER, clean, put

from dslab.clean import CleanError, Job, ShardCounts, atomic_file, clean_shard, texts
from dslab.clean.atomic import remove_parts

OFF = Job(mask="off")
MAIL = MARKER.lower() + "@" + "example.com"
ROWS = b"".join(
    json.dumps({"id": i, "text": f"row {i}" + f" {MAIL}" * (i % 10 == 0)}).encode() + b"\n" for i in range(1000)
)
BAD = b'{"text": null}\n'


def as_parquet(folder: Path) -> Path:
    values = [json.loads(line)["text"] for line in ROWS.splitlines()]
    pq.write_table(pa.table({"text": [*values, None]}), folder / "in.parquet", row_group_size=100)
    return folder / "in.parquet"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def names_after(folder: Path, source: Path, job: Job = OFF, error=CleanError, **options) -> tuple[str, list[str]]:
    """(message, files left but the source) of a shard that fails"""
    with pytest.raises(error) as caught:
        clean_shard(source, folder / f"out{source.suffix}", job, quarantine=folder / "aside", **options)
    assert MARKER.lower() not in str(caught.value).lower()
    return str(caught.value), [name for name in files(folder) if name != source.name]


@pytest.fixture(params=["jsonl", "parquet"])
def source(request, tmp_path):
    return put(tmp_path, ROWS + BAD) if request.param == "jsonl" else as_parquet(tmp_path)


def test_counts_and_digests_are_of_the_files(source, tmp_path):
    out = tmp_path / f"out{source.suffix}"
    seen = []
    counts = clean_shard(source, out, Job(), quarantine=tmp_path / "q", progress=lambda *now: seen.append(now))
    assert (counts.rows_in, counts.rows_out, counts.quarantined, counts.spans) == (
        1001, 1000, {"text is null": 1}, {"EMAIL": 100},
    )  # fmt: skip
    for path, size, digest in (
        (source, counts.bytes_in, counts.sha256_in), (out, counts.bytes_out, counts.sha256_out)
    ):  # fmt: skip
        assert size == path.stat().st_size
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert seen == sorted(seen)
    assert seen[-1] == (1001, counts.bytes_in)
    assert len(seen) > 1
    assert ShardCounts(**json.loads(json.dumps(counts.to_dict()))) == counts


def test_twice_is_once(source, tmp_path):
    """Pure: the same bytes again. Idempotent: cleaning what is clean changes nothing."""
    kinds = {"q": tmp_path / "q", "a": tmp_path / "a", "out": tmp_path / f"out{source.suffix}"}
    first = clean_shard(source, kinds["out"], Job(), quarantine=kinds["q"], audit=kinds["a"])
    before = {name: path.read_bytes() for name, path in kinds.items()}
    again = clean_shard(source, kinds["out"], Job(), quarantine=kinds["q"], audit=kinds["a"])
    assert {name: path.read_bytes() for name, path in kinds.items()} == before
    assert first == again
    once_more = clean_shard(kinds["out"], tmp_path / f"twice{source.suffix}", Job(), quarantine=tmp_path / "q2")
    assert once_more.spans == {}
    assert (tmp_path / f"twice{source.suffix}").read_bytes() == before["out"]


def test_the_audit_says_where_and_why_but_never_what(source, tmp_path):
    clean_shard(source, tmp_path / f"out{source.suffix}", Job(), quarantine=tmp_path / "q", audit=tmp_path / "a.jsonl")
    audit = (tmp_path / "a.jsonl").read_bytes()
    assert MARKER.lower().encode() not in audit.lower()
    unit, first = ("line", 1) if source.suffix == ".jsonl" else ("row", 0)
    read = dict(texts(source, OFF))
    records = [json.loads(line) for line in audit.splitlines()]
    assert [record[unit] - first for record in records] == list(range(0, 1000, 10))
    for record in records:
        assert read[record[unit] - first][record["start"] : record["end"]] == MAIL
        assert (record["type"], record["rule"].partition(":")[0].lower()) == ("EMAIL", "email")


def test_quarantine_is_private_and_gone_when_empty(source, tmp_path):
    aside, out = tmp_path / "sub" / "q", tmp_path / "deep" / "er" / f"out{source.suffix}"
    os.umask(old := os.umask(0o022))
    assert old is not None
    clean_shard(source, out, OFF, quarantine=aside)
    if os.name == "posix":
        assert aside.stat().st_mode & 0o777 == 0o600
        assert out.stat().st_mode & 0o777 == 0o666 & ~old
    clean_shard(source, out, Job(mask="off", on_error="skip"), quarantine=aside)
    assert not aside.exists()


def test_the_output_takes_its_place_last(source, tmp_path, monkeypatch):
    placed = []
    real = os.replace

    def spy(old, new):
        placed.append(Path(new).name)
        real(old, new)

    monkeypatch.setattr(os, "replace", spy)
    clean_shard(source, tmp_path / f"out{source.suffix}", OFF, quarantine=tmp_path / "q", audit=tmp_path / "a")
    assert placed[-1] == f"out{source.suffix}"
    assert sorted(placed[:-1]) == ["a", "q"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_an_interrupt_leaves_nothing(source, tmp_path, error):
    def stop(rows, size):
        raise error

    assert names_after(tmp_path, source, error=error, progress=stop, audit=tmp_path / "a")[1] == []


def test_a_failure_leaves_the_old_file_alone(source, tmp_path):
    out = tmp_path / f"out{source.suffix}"
    out.write_bytes(b"from an earlier run")
    _, left = names_after(tmp_path, source, Job(mask="off", on_error="fail"))
    assert left == [out.name]
    assert out.read_bytes() == b"from an earlier run"


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["same path", "another spelling", "symbolic link", "hard link"])
def test_input_and_output_may_not_be_one_file(source, tmp_path, way):
    target = {
        "same path": source, "another spelling": tmp_path / "x" / ".." / source.name,
    }.get(way, tmp_path / f"link{source.suffix}")  # fmt: skip
    (tmp_path / "x").mkdir()
    if way == "symbolic link":
        target.symlink_to(source)
    elif way == "hard link":
        target.hardlink_to(source)
    before = source.read_bytes()
    with pytest.raises(CleanError, match="the same file"):
        clean_shard(source, target, OFF, quarantine=tmp_path / "q")
    assert source.read_bytes() == before


@pytest.mark.parametrize(("name", "target", "says"), [
    ("a.jsonl", "b.parquet", "not converted"), ("a.parquet", "b.jsonl", "not converted"),
    ("a.json", "b.jsonl", "must end in .jsonl, .jsonl.gz, .jsonl.zst, .ndjson"),
    ("a.jsonl", "b.txt", "must end in"), ("a.jsonl.bz2", "b.jsonl", "must end in"),
])  # fmt: skip
def test_kinds_that_are_not_read(tmp_path, name, target, says):
    with pytest.raises(CleanError, match=says):
        clean_shard(put(tmp_path, ROWS, name), tmp_path / target, OFF, quarantine=tmp_path / "q")


def test_a_quarantine_needs_a_place(source, tmp_path):
    with pytest.raises(CleanError, match="no place for the quarantine"):
        clean_shard(source, tmp_path / f"out{source.suffix}", OFF)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_no_such_input(tmp_path, suffix):
    for make in (lambda p: None, lambda p: p.mkdir()):
        path = tmp_path / f"in{suffix}"
        make(path)
        with pytest.raises(CleanError, match=r"cannot read .*: (no such file or folder|it is a folder)"):
            clean_shard(path, tmp_path / f"out{suffix}", OFF, quarantine=tmp_path / "q")
        with pytest.raises(CleanError, match="cannot read"):
            list(texts(path, OFF))
        assert files(tmp_path) == []


# -- disks that do not take it -----------------------------------------------------------------------------------------


def test_a_target_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / f"folder{source.suffix}").mkdir()
    for target in (tmp_path / "file" / f"out{source.suffix}", tmp_path / f"folder{source.suffix}"):
        with pytest.raises(CleanError, match=r"cannot write .*: (it is a folder|a file is in the way)") as caught:
            clean_shard(source, target, OFF, quarantine=tmp_path / "q")
        assert str(target) in str(caught.value)
    assert files(tmp_path) == sorted(["file", source.name])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(source, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(CleanError, match="permission denied"):
        clean_shard(source, tmp_path / "locked" / f"out{source.suffix}", OFF, quarantine=tmp_path / "q")


@pytest.mark.parametrize("which", ["output", "quarantine", "audit"])
def test_a_file_that_may_not_grow(source, tmp_path, which):
    """The operating system's own limit stands for a full disk: a write is cut short, the next one fails."""
    resource = pytest.importorskip("resource")
    noise = [json.dumps({"text": None, "n": os.urandom(64).hex()}) + "\n" for _ in range(3000)]
    job = OFF
    if which == "output":
        noise = [line.replace("null", '"x"') for line in noise]
    if which == "audit":
        noise, job = [json.dumps({"text": f"{MAIL} " * 40}) + "\n"] * 60, Job()
    if source.suffix == ".jsonl":
        put(tmp_path, "".join(noise).encode())
    else:
        pq.write_table(pa.Table.from_pylist([json.loads(line) for line in noise], pa.schema(
            [("text", pa.string()), ("n", pa.string())])), source)  # fmt: skip
    limit = 100_000 if which != "audit" else 150_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        audit = tmp_path / "audit" if which == "audit" else None
        message, left = names_after(tmp_path, source, job, audit=audit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    name = {"output": f"out{source.suffix}", "quarantine": "aside", "audit": "audit"}[which]
    assert message == f"cannot write {tmp_path / name}: the file would be too large"
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize("which", ["output", "quarantine"])
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_full_or_read_only_disk(source, tmp_path, which, how):
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    options = "size=64k" if how == "full" else "size=64k,ro"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this container may not mount a tmpfs")
    try:
        if source.suffix == ".jsonl":
            put(tmp_path, b"".join(b'{"text": null, "n": "%s"}\n' % os.urandom(400).hex().encode() for _ in range(999)))
        else:
            pq.write_table(
                pa.table({"text": pa.nulls(999, pa.string()), "n": [os.urandom(400) for _ in range(999)]}), source
            )
        if which == "output":  # every row goes out
            column = "text_" if source.suffix == ".parquet" else "n"
            if column == "text_":
                table = pq.read_table(source)
                pq.write_table(table.append_column("text_", pa.array(["a"] * 999)), source)
            job = Job(mask="off", text_column=column)
            place = {"target": disk / f"out{source.suffix}", "quarantine": tmp_path / "q"}
        else:
            job, place = OFF, {"target": tmp_path / f"out{source.suffix}", "quarantine": disk / "q"}
        says = "no space left on the device" if how == "full" else "the file system is read-only"
        with pytest.raises(CleanError, match=rf"cannot write {disk}/.*: {says}"):
            clean_shard(source, place["target"], job, quarantine=place["quarantine"])
        assert files(tmp_path) == [source.name]
    finally:
        subprocess.run(["umount", disk], check=True)


# -- the atomic file itself --------------------------------------------------------------------------------------------


def test_flushed_before_renamed_before_the_folder_is_flushed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda fd, real=os.fsync: (calls.append(Path(os.readlink(f"/proc/self/fd/{fd}"))
        if os.path.exists("/proc/self/fd") else fd), real(fd)))  # fmt: skip
    monkeypatch.setattr(os, "replace", lambda a, b, real=os.replace: (calls.append(("replace", b)), real(a, b)))
    with atomic_file(tmp_path / "a") as sink:
        sink.write(b"one ")
        assert not (tmp_path / "a").exists()
        assert [name.startswith(".part-") for name in files(tmp_path)] == [True]
        sink.write(bytearray(b"two"))
    assert (sink.bytes, sink.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert (tmp_path / "a").read_bytes() == b"one two"
    assert len(calls) == 3
    assert calls[1] == ("replace", tmp_path / "a")
    assert calls[2] == tmp_path or isinstance(calls[2], int)


def test_parts_of_killed_runs_are_swept(tmp_path):
    for name in (".part-1", ".part-2", "a.jsonl"):
        (tmp_path / name).write_bytes(b"")
    assert remove_parts(tmp_path) == 2
    assert files(tmp_path) == ["a.jsonl"]


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["hmac", "surrogate"])
def test_without_a_key_nothing_starts(source, tmp_path, monkeypatch, mask):
    monkeypatch.delenv("DSLAB_KEY", raising=False)
    for key_file in (None, str(tmp_path / "nowhere.key")):
        message, left = names_after(tmp_path, source, Job(mask=mask, key_file=key_file))
        assert f"mask '{mask}' needs a key" in message
        assert ("DSLAB_KEY" if key_file is None else key_file) in message
        assert left == []
        with pytest.raises(CleanError, match="needs a key"):
            Job(mask=mask, key_file=key_file).fingerprint()


def test_a_key_that_is_too_short_is_not_repeated(source, tmp_path):
    (tmp_path / "k").write_bytes(MARKER.encode())
    (tmp_path / "k").chmod(0o600)
    message, left = names_after(tmp_path, source, Job(mask="hmac", key_file=str(tmp_path / "k")))
    assert "32" in message
    assert left == ["k"]


def test_another_key_in_the_same_process_is_another_key(tmp_path):
    source, outputs = put(tmp_path, ROWS), []
    for n in (1, 2, 1):
        (tmp_path / "k").write_bytes(hashlib.sha256(bytes([n])).digest())
        (tmp_path / "k").chmod(0o600)
        job = Job(mask="hmac", key_file=str(tmp_path / "k"))
        outputs.append((job.fingerprint(), clean_shard(source, tmp_path / "o.jsonl", job, quarantine=tmp_path / "q")))
    assert outputs[0] == outputs[2]
    assert outputs[0][0] != outputs[1][0]
    assert outputs[0][1].sha256_out != outputs[1][1].sha256_out


# -- the job -----------------------------------------------------------------------------------------------------------


def test_everything_that_changes_the_output_changes_the_fingerprint(tmp_path):
    tests = put(tmp_path, b'{"text": "one two three"}\n', "t.jsonl")
    other = put(tmp_path, b'{"text": "four five six"}\n', "u.jsonl")
    jobs = [
        {}, {"text_column": "body"}, {"mask": "off"}, {"mask": "partial"}, {"types": ("CARD",)}, {"quality": True},
        {"policy": "precision"}, {"on_error": "skip"}, {"dedup": 0.8}, {"dedup": 0.9}, {"ngram": 5},
        {"max_row_bytes": 1000}, {"decontaminate": (str(tests),)}, {"decontaminate": (str(other),)},
        {"decontaminate": (str(tests), str(other))}, {"decontaminate_min_words": 3},
    ]  # fmt: skip
    prints = [Job(**options).fingerprint() for options in jobs]
    assert len(set(prints)) == len(jobs)
    assert prints == [pickle.loads(pickle.dumps(Job(**options))).fingerprint() for options in jobs]
    shutil.copy(tests, tmp_path / "moved.jsonl")
    assert Job(decontaminate=(str(tmp_path / "moved.jsonl"),)).fingerprint() == prints[12], "content, not place"
    with pytest.raises(CleanError, match=r"cannot read .*nowhere.jsonl"):
        Job(decontaminate=(str(tmp_path / "nowhere.jsonl"),)).fingerprint()


@pytest.mark.parametrize(("options", "says"), [
    ({"mask": "blur"}, "mask must be one of off, tag"), ({"on_error": "ignore"}, "on_error must be one of quarantine"),
    ({"policy": "f1"}, "policy must be one of recall"), ({"dedup": 0.0}, "0 < dedup <= 1"), ({"dedup": 80}, "dedup"),
    ({"types": ("CN_ID", "NAME")}, "types must be some of CN_ID, .* got NAME"), ({"types": ()}, "got none"),
    ({"ngram": 0}, "ngram"), ({"decontaminate_min_words": 0}, "decontaminate_min_words must be >= 1"),
    ({"max_row_bytes": 0}, "max_row_bytes"), ({"text_column": ""}, "text_column"),
])  # fmt: skip
def test_a_job_says_what_it_may_be(options, says):
    with pytest.raises(CleanError, match=says):
        Job(**options)


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(CleanError("in.jsonl: line 3: bad UTF-8")))
    assert isinstance(error, CleanError)
    assert str(error) == "in.jsonl: line 3: bad UTF-8"


def test_books_that_do_not_balance_are_an_error():
    good = ShardCounts(rows_in=6, rows_out=3, quarantined={"a": 1}, dropped={"b": 2})
    assert good.check() is good
    for change in ({"rows_in": 7}, {"rows_out": 2}, {"quarantined": {}}, {"dropped": {"b": 3}}):
        with pytest.raises(CleanError, match=r"do not add up: \d in, but \d out"):
            ShardCounts(**{**good.to_dict(), **change}).check()
    total = ShardCounts.total([good, good, ShardCounts(dropped={"c": 1}, rows_in=1)]).check()
    assert (total.rows_in, total.dropped) == (13, {"b": 4, "c": 1})


# -- rows that are dropped ---------------------------------------------------------------------------------------------


def test_low_quality_and_contaminated_rows_are_dropped_with_their_reason(tmp_path):
    question = "what is the name of the river that runs past the oldest library of this city"
    prose = (
        "The library stands by the river. It was built of stone, and it has a tower that you can see from afar. " * 8
    )
    rows = ["buy buy buy", prose, f"{prose} We ask: {question}?", f"{prose} Write to {MAIL}."]
    tests = put(tmp_path, json.dumps({"text": question}).encode() + b"\n", "test.jsonl")
    data = b"".join(json.dumps({"text": row}).encode() + b"\n" for row in rows)
    result = clean(tmp_path, data, mask="tag", decontaminate=(str(tests),))
    assert result.counts.dropped == {"contaminated": 1}
    assert result.counts.spans == {"EMAIL": 1}
    result = clean(tmp_path, data, quality=True)
    assert "quality: gopher_word_count" in result.counts.dropped
    tests.write_bytes(b'{"text": "nothing of this stands in any of the rows above"}\n')
    assert clean(tmp_path, data, decontaminate=(str(tests),)).counts.dropped == {}, "the file is read again"


def test_a_test_item_that_cannot_be_read_is_not_passed_over(tmp_path):
    tests = put(tmp_path, b'{"text": "one two three"}\n{"question": "%s"}\n' % MARKER.encode(), "test.jsonl")
    with pytest.raises(CleanError, match=r"test.jsonl: line 2: no text") as caught:
        clean(tmp_path, ROWS, decontaminate=(str(tests),))
    assert MARKER not in str(caught.value)


@pytest.mark.parametrize("on_error", ["quarantine", "skip", "fail"])
def test_a_row_that_a_recogniser_stumbles_over_never_goes_out_unmasked(source, tmp_path, monkeypatch, on_error):
    from dslab.privacy import Masker

    real = Masker.apply

    def stumble(self, text):
        if text == "row 7":
            raise ValueError(f"cannot make sense of {text} {MARKER}")
        return real(self, text)

    monkeypatch.setattr(Masker, "apply", stumble)
    job = Job(on_error=on_error)
    if on_error == "fail":
        at = "line 8" if source.suffix == ".jsonl" else "row 7"
        message, left = names_after(tmp_path, source, job)
        assert message == f"{source}: {at}: cleaning failed (ValueError)"
        assert left == []
        return
    counts = clean_shard(source, tmp_path / f"out{source.suffix}", job, quarantine=tmp_path / "q")
    booked = counts.quarantined if on_error == "quarantine" else counts.dropped
    assert booked == {"cleaning failed (ValueError)": 1, "text is null": 1}
    assert "row 7" not in [text for _, text in texts(tmp_path / f"out{source.suffix}", OFF)]
    assert (tmp_path / "q").exists() == (on_error == "quarantine")


def test_a_library_that_is_missing_stops_the_run(source, tmp_path, monkeypatch):
    from dslab.privacy import Masker

    def missing(self, text):
        raise ImportError(f"no module for {text}")

    monkeypatch.setattr(Masker, "apply", missing)
    message, left = names_after(tmp_path, source, Job())
    assert message == "cleaning is not possible: ImportError"
    assert left == []
