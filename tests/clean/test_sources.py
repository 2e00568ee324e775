"""Which files are input, in what order, under which names; and what is refused with what was looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dslab.clean.errors import CleanError
from dslab.clean.sources import find_shards


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}\n")


def names(inputs: list[object], out: Path) -> list[str]:
    return [shard.name for shard in find_shards([str(one) for one in inputs], out).shards]


def refusal(inputs: list[object], out: Path) -> str:
    with pytest.raises(CleanError) as caught:
        find_shards([str(one) for one in inputs], out)
    return str(caught.value)


def test_a_folder_is_searched_to_the_bottom_in_order_of_names(tmp_path):
    make(
        tmp_path / "in", "b/1.jsonl.gz", "b/0.parquet", "a.ndjson.zst", "B.JSONL", "notes.md", ".hidden.jsonl", "x.json"
    )
    corpus = find_shards([str(tmp_path / "in")], tmp_path / "out")
    assert [shard.name for shard in corpus.shards] == ["B.JSONL", "a.ndjson.zst", "b/0.parquet", "b/1.jsonl.gz"]
    assert corpus.others == 3
    assert corpus.bytes == 12
    assert corpus.shards[0].mtime_ns == (tmp_path / "in" / "B.JSONL").stat().st_mtime_ns


def test_arguments_keep_their_order_and_a_file_counts_once(tmp_path):
    make(tmp_path, "wiki/1.jsonl", "web/0.jsonl", "web/1.jsonl")
    inputs = [tmp_path / "wiki", tmp_path / "web" / "1.jsonl", tmp_path / "web"]
    assert names(inputs, tmp_path / "out") == ["wiki/1.jsonl", "web/1.jsonl", "web/0.jsonl"]


def test_names_start_at_the_root_that_the_arguments_share(tmp_path, monkeypatch):
    make(tmp_path, "in/en/0.jsonl", "in/zh/0.jsonl")
    out = tmp_path / "out"
    assert names([tmp_path / "in" / "en" / "0.jsonl"], out) == ["0.jsonl"]
    assert names([tmp_path / "in"], out) == ["en/0.jsonl", "zh/0.jsonl"]
    assert names([tmp_path / "in" / "en", tmp_path / "in" / "zh"], out) == ["en/0.jsonl", "zh/0.jsonl"]
    assert names([tmp_path / "in" / "*" / "0.jsonl"], out) == ["en/0.jsonl", "zh/0.jsonl"]
    assert names([tmp_path / "in" / "**" / "*.jsonl"], out) == ["en/0.jsonl", "zh/0.jsonl"]
    assert names([tmp_path / "in" / "z*"], out) == ["zh/0.jsonl"]
    monkeypatch.chdir(tmp_path / "in")
    assert names(["en"], out) == ["0.jsonl"]
    assert names(["."], out) == ["en/0.jsonl", "zh/0.jsonl"]


def test_a_name_with_glob_characters_that_exists_is_that_file(tmp_path):
    make(tmp_path, "part[1].jsonl", "part1.jsonl")
    assert names([tmp_path / "part[1].jsonl"], tmp_path / "out") == ["part[1].jsonl"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("in/*.parquet", ["no file matches", "looked in"]),
        ("in/*.md", ["nothing found that ends in .jsonl", "1 other file there"]),
        ("empty", ["nothing found that ends in .jsonl"]),
        ("nowhere.jsonl", ["no such file or folder"]),
        ("in/notes.md", ["must end in .jsonl"]),
        ("in/.hidden.jsonl", ["not begin with a dot"]),
    ],
)
def test_no_match_is_refused_with_what_was_looked_for(tmp_path, argument, words):
    make(tmp_path, "in/0.jsonl", "in/notes.md", "in/.hidden.jsonl")
    (tmp_path / "empty").mkdir()
    said = refusal([tmp_path / argument], tmp_path / "out")
    assert str(tmp_path / argument) in said
    for word in words:
        assert word in said


def test_input_that_is_the_output_or_lies_in_it_is_refused(tmp_path):
    make(tmp_path, "in/raw/0.jsonl")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "in")
    for out in (tmp_path / "in", link, tmp_path / "in" / "raw" / ".."):
        assert "input and output at once" in refusal([tmp_path / "in"], out)
    assert "input and output at once" in refusal([tmp_path / "in/raw/0.jsonl"], tmp_path / "in/raw/0.jsonl")
    for inputs in (["in/raw"], ["in/raw/0.jsonl"], ["in/raw/*.jsonl"]):
        assert "lies in the output" in refusal([tmp_path / inputs[0]], tmp_path / "in")


def test_an_output_inside_the_input_is_never_read(tmp_path):
    make(tmp_path, "in/0.jsonl", "in/clean/0.jsonl", "in/clean/_dslab/quarantine/0.jsonl")
    for argument in ("in", "in/**/*.jsonl", "in/*"):
        assert names([tmp_path / argument], tmp_path / "in" / "clean") == ["0.jsonl"]


def test_side_files_of_an_earlier_run_are_no_input(tmp_path):
    make(tmp_path, "first/0.jsonl", "first/_dslab/quarantine/0.jsonl", "first/a.jsonl._dslab/audit/a.jsonl")
    for argument in ("first", "first/**/*.jsonl"):
        assert names([tmp_path / argument], tmp_path / "out") == ["0.jsonl"]
    said = refusal([tmp_path / "first", tmp_path / "first/_dslab/quarantine/0.jsonl"], tmp_path / "out")
    assert "kept for the side files" in said


def test_linked_folders_are_followed_once(tmp_path):
    make(tmp_path, "store/0.jsonl", "in/1.jsonl")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "up").symlink_to(tmp_path / "in")
    assert names([tmp_path / "in"], tmp_path / "out") == ["1.jsonl", "linked/0.jsonl"]


def test_a_dangling_link_and_a_pipe_are_errors(tmp_path):
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert "cannot read" in refusal([tmp_path], tmp_path / "out")
    (tmp_path / "gone.jsonl").unlink()
    os.mkfifo(tmp_path / "pipe.jsonl")
    for argument in ("pipe.jsonl", ".", "*.jsonl"):
        assert "no regular file" in refusal([tmp_path / argument], tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    make(tmp_path, "in/0.jsonl", "in/secret/1.jsonl")
    (tmp_path / "in" / "secret").chmod(0)
    try:
        assert "permission denied" in refusal([tmp_path / "in"], tmp_path / "out")
    finally:
        (tmp_path / "in" / "secret").chmod(0o700)
