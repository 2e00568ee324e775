"""JSON lines as files: what is clean comes back byte for byte, what is cut short is noticed, gzip has no memory."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import MARKER, clean, put, refusal

from dslab.clean import Job, clean_shard, texts

NAMES = ["in.jsonl", "in.jsonl.gz", "in.jsonl.zst"]
LINES = [
    b'{"text": "one", "n": 1.10}\n',
    b'{"text":"\xe4\xb8\xad\xe6\x96\x87"}\r\n',
    b' {"id":2, "text": "\\ud83d"} \n',
]


def packed(data: bytes, name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(data)
    return zstandard.compress(data) if name.endswith(".zst") else data


def unpacked(data: bytes, name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read() if name.endswith(".zst") else data


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", [b"", b'{"text": "no line feed"}'])
@pytest.mark.parametrize("times", [0, 1, 2000])
def test_a_clean_file_comes_back_byte_for_byte(tmp_path, name, end, times):
    data = b"".join(LINES * times) + end
    result = clean(tmp_path, packed(data, name), name)
    assert unpacked(result.out, name) == data
    assert result.counts.rows_in == result.counts.rows_out == 3 * times + bool(end)
    assert not result.kept


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.sampled_from([b"\n", b"\r\n", b" \n", b"\n"]))), st.booleans())
def test_whatever_the_text(tmp_path_factory, rows, cut):
    folder = tmp_path_factory.mktemp("any")
    data = b"".join(json.dumps({"text": t}, ensure_ascii=len(t) % 2 == 0).encode() + end for t, end in rows)
    data = data.rstrip(b"\r\n") if cut else data
    assert clean(folder, data).out == data
    assert [t for _, t in texts(put(folder, data), Job())] == [t for t, _ in rows]


@pytest.mark.parametrize("name", NAMES)
def test_again_is_the_same_file(tmp_path, name):
    """A gzip header that holds the time or the file's name would differ; so would threads of Zstandard."""
    data = packed(b"".join(LINES * 500), name)
    first, second = clean(tmp_path, data, name), clean(tmp_path, data, name, text_column="text")
    assert first.out == second.out
    assert first.counts == second.counts
    other = clean(tmp_path, data, "other-" + name)
    assert other.out == first.out
    if name.endswith(".gz"):
        assert first.out[3:8] == b"\0\0\0\0\0", "no name, no comment, no time"


@pytest.mark.parametrize("name", NAMES[1:])
def test_members_and_frames_written_one_after_the_other_are_read_whole(tmp_path, name):
    parts = [b"".join(LINES), LINES[0][:10], LINES[0][10:], b""]
    data = b"".join(packed(part, name) for part in parts)
    result = clean(tmp_path, data, name)
    assert unpacked(result.out, name) == b"".join(LINES) + LINES[0]


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("on_error", ["quarantine", "fail", "skip"])
def test_a_file_cut_anywhere_is_noticed(tmp_path, name, on_error):
    row = json.dumps({"text": MARKER, "noise": list(range(300))}).encode() + b"\n"
    whole = packed(row * 3, name)
    two = whole + whole
    cuts = {1, 3, 9, len(whole) // 2, len(whole) - 9, len(whole) - 1, len(whole) + 1, len(whole) + 5, len(two) - 1}
    for cut in sorted(cuts):
        assert "truncated" in refusal(tmp_path, two[:cut], name, on_error=on_error), cut
    assert "empty, not even a" in refusal(tmp_path, b"", name, on_error=on_error)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_cut_file_fails_the_reading_of_texts_too(tmp_path, name):
    data = packed(b"".join(LINES * 100), name)
    with pytest.raises(RuntimeError, match="truncated"):
        list(texts(put(tmp_path, data[:-1], name), Job()))


@pytest.mark.parametrize("name", NAMES[1:])
def test_damage_is_noticed(tmp_path, name):
    data = b"".join(LINES * 100)
    whole = (
        zstandard.ZstdCompressor(write_checksum=True).compress(data) if name.endswith(".zst") else packed(data, name)
    )
    for bad in (whole + b"rubbish", b"rubbish" + whole, whole[:-3] + b"abc", data):
        assert "damaged" in refusal(tmp_path, bad, name)


def test_our_own_files_carry_a_checksum(tmp_path):
    out = clean(tmp_path, packed(b"".join(LINES), "in.jsonl.zst"), "in.jsonl.zst").out
    assert zstandard.get_frame_parameters(out).has_checksum
    out = clean(tmp_path, packed(b"".join(LINES), "in.jsonl.gz"), "in.jsonl.gz").out
    assert int.from_bytes(out[-8:-4], "little") == zlib.crc32(b"".join(LINES))


@pytest.mark.parametrize(("source", "target"), [
    ("a.jsonl", "b.jsonl.gz"), ("a.jsonl.gz", "b.jsonl.zst"), ("a.jsonl.zst", "b.ndjson"), ("A.JSONL.GZ", "B.JSONL"),
])  # fmt: skip
def test_each_file_is_packed_as_its_own_name_says(tmp_path, source, target):
    path = put(tmp_path, packed(b"".join(LINES), source.lower()), source)
    clean_shard(path, tmp_path / target, Job(mask="off", on_error="fail"))
    assert unpacked((tmp_path / target).read_bytes(), target.lower()) == b"".join(LINES)


def test_rows_have_the_same_numbers_everywhere(tmp_path):
    data = b'{"text": "a"}\n\n{"text": 1}\n{"text": "b"}\n' + b'{"text": "' + b"x" * 100 + b'"}\n{"text": "c"}'
    options = {"max_row_bytes": 60}
    assert list(texts(put(tmp_path, data), Job(**options))) == [(0, "a"), (3, "b"), (5, "c")]
    result = clean(tmp_path, data, **options)
    assert result.reasons == [(3, "text is not a string"), (5, "row too long")]
    counts = clean_shard(
        tmp_path / "in.jsonl", tmp_path / "o.jsonl", Job(mask="off", on_error="skip", **options), duplicates=[3]
    )
    assert (tmp_path / "o.jsonl").read_bytes() == b'{"text": "a"}\n{"text": "c"}'
    assert counts.dropped == {"blank line": 1, "text is not a string": 1, "row too long": 1, "near-duplicate": 1}


@pytest.mark.parametrize("extra", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_longest_row(tmp_path, extra, end):
    """max_row_bytes counts the row, not the line's end."""
    row = b'{"text": "' + b"x" * (88 + extra) + b'"}'
    limit = 100
    result = clean(tmp_path, row + end + b'{"text": "next"}\n' * bool(end), max_row_bytes=limit)
    assert result.counts.rows_in == 1 + bool(end)
    assert [reason for _, reason in result.reasons] == ["row too long"] * (len(row) > limit)
    assert result.raw == ([(row + end).removesuffix(b"\n")] if len(row) > limit else [])


@pytest.mark.parametrize("limit", [1, 5, 6, 7, 12, 20])
def test_a_long_row_is_kept_whole_whatever_its_pieces(tmp_path, monkeypatch, limit):
    monkeypatch.setattr("dslab.clean.jsonl.PIECE_BYTES", 6)
    rows = [bytes(range(65, 65 + n)) for n in range(limit + 1, limit + 20)]
    for end in (b"", b"\n", b"\r\n"):
        result = clean(tmp_path, b"\n".join(rows) + end, max_row_bytes=limit)
        assert result.raw == [*rows[:-1], rows[-1] + end.removesuffix(b"\n")]
        assert result.counts.quarantined == {"row too long": len(rows)}


@pytest.mark.parametrize("ends", [b"\r", b"\r\r", b"\r\r\r", b"\r\rx", b"\rx"])
def test_carriage_returns_at_the_limit_end_no_row(tmp_path, ends):
    result = clean(tmp_path, b"x" * 10 + ends + b"\n" + b"[]\n", max_row_bytes=10)
    assert result.counts.rows_in == 2
    assert result.raw[0] == b"x" * 10 + ends


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("on_error", ["quarantine", "skip"])
def test_a_row_that_is_too_long_is_never_held(tmp_path, name, on_error):
    """Nor is what a small compressed file unpacks to: 40 MB of `1` are a few kB."""
    long = b'{"text": "' + b"1" * 40_000_000 + b'"}\n'
    source, aside = put(tmp_path, packed(LINES[0] + long + LINES[1], name), name), tmp_path / "aside"
    del long
    job = Job(mask="off", on_error=on_error, max_row_bytes=100_000)
    clean_shard(source, tmp_path / ("warm" + name), job, quarantine=aside)
    tracemalloc.start()
    counts = clean_shard(source, tmp_path / ("out" + name), job, quarantine=aside)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts.rows_out == 2
    assert peak < 10_000_000
    assert aside.exists() == (on_error == "quarantine")
    if aside.exists():
        record = aside.read_bytes()
        assert record.count(b"\n") == 1
        assert len(json.loads(record)["base64"]) == -(-(40_000_012) // 3) * 4
