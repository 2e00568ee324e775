"""The cache notices damage, survives interruption, and lets one process build at a time."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from dslab.models import cache


def fill(folder: Path) -> dict[str, object]:
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 400)
    (folder / "config.json").write_text("{}")
    return {"source": "a test", "pinned": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "models" / "tiny"
    with cache.locked(place):
        cache.build(place, fill)
    return place


def test_built_folder_is_whole(folder):
    manifest, fault = cache.check(folder)
    assert fault == ""
    assert set(manifest["files"]) == {"model.safetensors", "config.json"}
    assert manifest["source"] == "a test"
    assert not list(folder.parent.glob("*.part-*"))


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "one bit": lambda f: flip_a_byte(f / "model.safetensors"),
    "truncated": lambda f: os.truncate(f / "model.safetensors", 1000),
    "empty": lambda f: os.truncate(f / "model.safetensors", 0),
    "removed": lambda f: (f / "config.json").unlink(),
    "no manifest": lambda f: (f / cache.MANIFEST).unlink(),
    "half a manifest": lambda f: os.truncate(f / cache.MANIFEST, 40),
    "manifest is a list": lambda f: (f / cache.MANIFEST).write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_damage_is_noticed_and_rebuilt(folder, damage):
    DAMAGE[damage](folder)
    manifest, fault = cache.check(folder)
    assert manifest is None
    assert fault
    cache.build(folder, fill)
    assert cache.check(folder)[1] == ""


def test_damage_with_the_old_time_is_found_by_a_thorough_check(folder):
    path = folder / "model.safetensors"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    flip_a_byte(path)
    os.utime(path, ns=times)
    assert cache.check(folder, thorough=True)[1] == "model.safetensors is damaged"


def test_a_touched_but_equal_file_is_hashed_once_more_and_then_trusted(folder, monkeypatch):
    os.utime(folder / "model.safetensors")
    assert cache.check(folder)[0]
    monkeypatch.setattr(cache, "sha256_of", lambda path: pytest.fail("hashed again"))
    assert cache.check(folder)[0]


def test_an_interrupted_build_leaves_the_old_folder_and_nothing_else(folder):
    def interrupted(temporary: Path) -> dict[str, object]:
        (temporary / "half").write_bytes(b"x" * 1000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.build(folder, interrupted)
    assert cache.check(folder)[1] == ""
    assert not list(folder.parent.glob("*.part-*"))


def test_what_a_killed_build_left_is_removed(folder):
    left = folder.parent / f".{folder.name}.part-killed"
    left.mkdir()
    (left / "half").write_bytes(b"x")
    cache.build(folder, fill)
    assert not left.exists()


def _build_slowly(place: str, record: str) -> None:
    folder = Path(place)

    def slow(temporary: Path) -> dict[str, object]:
        with Path(record).open("a") as file:
            file.write("built\n")
        time.sleep(0.3)
        return fill(temporary)

    with cache.locked(folder):
        if cache.check(folder)[0] is None:
            cache.build(folder, slow)


def test_two_processes_build_once(tmp_path):
    place, record = tmp_path / "models" / "tiny", tmp_path / "record"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_build_slowly, args=(str(place), str(record))) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert record.read_text() == "built\n"
    assert json.loads((place / cache.MANIFEST).read_text())["files"]
