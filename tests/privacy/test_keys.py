"""Keys: from a file or the environment, long enough, and never in a message."""

import os
import warnings

import pytest

from dslab.privacy.keys import check_key, load_key

KEY = b"\x00\xff secret bytes, no text \n\r and a line break at the end\n"


@pytest.fixture
def key_file(tmp_path):
    def make(content, mode=0o600):
        path = tmp_path / "a.key"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return make


def test_a_file_is_taken_as_bytes_without_the_editors_line_break(key_file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_key(key_file(b"k1" * 16 + b"\r\n")) == b"k1" * 16
        assert load_key(str(key_file(KEY))) == KEY[:-1]
        # 32 random bytes that happen to end in a line break are a key.
        assert load_key(key_file(bytes(range(1, 32)) + b"\n")) == bytes(range(1, 32)) + b"\n"


def test_the_environment(monkeypatch):
    monkeypatch.setenv("DSLAB_KEY", "0123456789abcdef" * 2)
    assert load_key() == b"0123456789abcdef" * 2
    monkeypatch.setenv("MY_KEY", "fedcba9876543210" * 2)
    assert load_key(variable="MY_KEY") == b"fedcba9876543210" * 2


def test_a_named_file_wins_over_the_environment_and_its_absence_is_an_error(monkeypatch, tmp_path, key_file):
    monkeypatch.setenv("DSLAB_KEY", "0123456789abcdef" * 2)
    assert load_key(key_file(b"k1" * 16)) == b"k1" * 16
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_key(tmp_path / "nowhere")


def test_no_key_at_all(monkeypatch):
    monkeypatch.delenv("DSLAB_KEY", raising=False)
    with pytest.raises(LookupError, match=r"name a key file, or set the environment variable DSLAB_KEY; make one with"):
        load_key()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n\n \n", "is empty"),
        (b"hunter2-hunter2", "has 15 bytes; at least 32"),
        (b"x" * 31, "has 31 bytes"),
        (b"x" * 64, "is one byte repeated"),
    ],
)
def test_keys_that_cannot_serve(content, problem, key_file, monkeypatch):
    with pytest.raises(ValueError, match=problem) as error:
        load_key(key_file(content))
    assert "a.key" in str(error.value)
    assert "hunter" not in str(error.value)
    monkeypatch.setenv("DSLAB_KEY", content.decode())
    with pytest.raises(ValueError, match=problem) as error:
        load_key()
    assert "hunter" not in str(error.value)


@pytest.mark.skipif(os.name != "posix", reason="mode bits")
def test_a_file_that_others_can_read_warns(key_file):
    with pytest.warns(UserWarning, match=r"can be read by others \(mode 0644\); chmod 600"):
        load_key(key_file(b"k1" * 16, mode=0o644))
    with pytest.warns(UserWarning, match="mode 0640"):
        load_key(key_file(b"k1" * 16, mode=0o640))


def test_a_key_is_bytes():
    assert check_key(bytearray(b"k1" * 16)) == b"k1" * 16
    with pytest.raises(TypeError, match="must be bytes"):
        check_key("k1" * 16)
    with pytest.raises(ValueError, match="empty"):
        check_key(None)
