"""The audit never holds a value; the map that does is private from its first instant."""

import json
import os
import stat

import pytest

from dslab.privacy import Detector, Masker
from dslab.privacy.audit import ReversibleMap, records

KEY = bytes(range(32))
DETECTOR = Detector()
TEXT = "邮箱ann@example.com，电话138-0013-8000，手机 +86 13800138000。"
posix = pytest.mark.skipif(os.name != "posix", reason="mode bits")


@pytest.fixture
def wide_open():
    old = os.umask(0)
    yield
    os.umask(old)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_records_say_where_and_why_and_not_what():
    _, spans = Masker(DETECTOR).apply(TEXT)
    rows = list(records("shard-0:17", spans))
    assert [sorted(row) for row in rows] == [["end", "row", "rule", "start", "type"]] * 3
    assert [row["type"] for row in rows] == ["EMAIL", "CN_MOBILE", "CN_MOBILE"]
    written = json.dumps(rows)
    assert not any(piece in written for piece in ("ann", "example", "138", "8000"))


@pytest.mark.parametrize("mode", ["surrogate", "hmac"])
def test_what_was_masked_comes_back(mode, tmp_path):
    masker = Masker(DETECTOR, mode=mode, key=KEY)
    path = tmp_path / "originals.map"
    with ReversibleMap(path) as originals:
        masked = originals.apply(masker, TEXT)
        assert masked == masker.apply(TEXT)[0] != TEXT
        if mode == "surrogate":
            assert originals.restore(masked) == TEXT
    with ReversibleMap(path) as again:  # another day
        other = again.apply(masker, "call 13900139000")
        if mode == "surrogate":
            assert again.restore(f"{masked} {other} 15499999999") == f"{TEXT} call 13900139000 15499999999"
        size = path.stat().st_size
        again.apply(masker, TEXT)  # known pairs are not written twice
        assert path.stat().st_size == size
        assert len(again) == len(path.read_text("utf-8").splitlines()) - (mode == "hmac")


def test_two_values_behind_one_mask_are_not_guessed(tmp_path):
    masker = Masker(DETECTOR, mode="hmac", key=KEY)
    with ReversibleMap(tmp_path / "m") as originals:
        # One number in two spellings has one tag: which spelling it was is not known any more.
        masked = originals.apply(masker, "电话13800138000，手机+86 13800138000，mail ann@example.com")
        restored = originals.restore(masked)
    assert restored.count("<CN_MOBILE:") == 2
    assert restored.endswith("mail ann@example.com")


@pytest.mark.parametrize("mode", ["tag", "partial"])
def test_masks_that_cannot_be_undone_are_refused(mode, tmp_path):
    with ReversibleMap(tmp_path / "m") as originals, pytest.raises(ValueError, match="cannot be undone"):
        originals.apply(Masker(DETECTOR, mode=mode), TEXT)
    assert (tmp_path / "m").read_bytes() == b""


@posix
def test_the_file_is_private_whatever_the_umask(tmp_path, wide_open):
    path = tmp_path / "m"
    with ReversibleMap(path):
        assert mode_of(path) == 0o600


@posix
def test_it_is_never_wider_even_for_an_instant(tmp_path, wide_open, monkeypatch):
    path, seen, opened = tmp_path / "m", [], os.open

    def watched(name, flags, mode=0o777, **more):
        descriptor = opened(name, flags, mode, **more)
        seen.append((flags, stat.S_IMODE(os.fstat(descriptor).st_mode)))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    monkeypatch.setattr(os, "chmod", lambda *a, **k: pytest.fail("a mode set later is a mode too late"))
    monkeypatch.setattr(os, "fchmod", lambda *a, **k: pytest.fail("a mode set later is a mode too late"))
    with ReversibleMap(path):
        pass
    assert seen[0][1] == 0o600
    assert seen[0][0] & os.O_EXCL


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o606, 0o601])
def test_an_existing_wider_file_is_refused_and_left_as_it_is(mode, tmp_path):
    path = tmp_path / "m"
    path.write_text("something of somebody's\n")
    path.chmod(mode)
    with pytest.raises(PermissionError, match=rf"mode 0{mode:o}\); a reversible map must be 0600"):
        ReversibleMap(path)
    assert path.read_text() == "something of somebody's\n"
    assert mode_of(path) == mode


@posix
def test_links_and_pipes_are_refused(tmp_path):
    (tmp_path / "real").touch(mode=0o600)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="link"):
        ReversibleMap(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(OSError, match="no regular file"):
        ReversibleMap(tmp_path / "pipe")


def test_a_map_prints_no_value(tmp_path):
    with ReversibleMap(tmp_path / "m") as originals:
        originals.apply(Masker(DETECTOR, mode="surrogate", key=KEY), TEXT)
        assert "3 entries" in repr(originals)
        assert "138" not in repr(originals)
