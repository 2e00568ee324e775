"""Every bad input there is a name for: what becomes of it, in each mode, and that no message quotes it.

The peers, measured on the same files: one bad UTF-8 byte or a BOM, and datatrove returns no row and exit code 0; one
malformed line or an empty file, and a load of Hugging Face datasets ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shards import MARKER, clean, put, refusal

from dslab.clean import CleanError, Job, clean_shard, texts

M = MARKER.encode()
GOOD = b'{"id": 1, "text": "good"}\n'
# name -> (the row, the reason); every row holds the marker
ROWS = {
    "bad UTF-8": (b'{"text": "%s \xff"}' % M, "bad UTF-8"),
    "bad UTF-8 in another column": (b'{"text": "a", "b": "%s \xc3"}' % M, "bad UTF-8"),
    "a surrogate in UTF-8": (b'{"text": "%s \xed\xa0\x80"}' % M, "bad UTF-8"),
    "an overlong form": (b'{"text": "%s \xc0\xaf"}' % M, "bad UTF-8"),
    "raw NUL in the text": (b'{"text": "%s\x00"}' % M, "malformed JSON"),
    "raw NUL between": (b'{"text": "%s"}\x00' % M, "malformed JSON"),
    "NUL only": (b"\x00" * 40 + M, "not a JSON object"),
    "malformed": (b'{"text": "%s"' % M, "malformed JSON"),
    "two in a line": (b'{"text": "%s"}{"text": "b"}' % M, "malformed JSON"),
    "old Mac lines": (b'{"text": "%s"}\r{"text": "b"}' % M, "malformed JSON"),
    "an array": (b'["%s"]' % M, "not a JSON object"),
    "a string": (b'"%s"' % M, "not a JSON object"),
    "plain text": (M + b" is no JSON", "not a JSON object"),
    "a BOM in the middle": (b'\xef\xbb\xbf{"text": "%s"}' % M, "not a JSON object"),
    "no text": (b'{"body": "%s"}' % M, "no text"),
    "null": (b'{"text": null, "b": "%s"}' % M, "text is null"),
    "an integer": (b'{"text": 13800138000, "b": "%s"}' % M, "text is not a string"),
    "a list": (b'{"text": ["%s"]}' % M, "text is not a string"),
    "an object": (b'{"text": {"text": "%s"}}' % M, "text is not a string"),
    "text twice": (b'{"text": "%s", "text": "b"}' % M, "duplicate text key"),
    "text twice, once escaped": (b'{"text": "%s", "\\u0074ext": "b"}' % M, "duplicate text key"),
    "too long": (b'{"text": "%s"}' % (M * 3000), "row too long"),
}
# rows that look bad and are not
FINE = {
    "CRLF": b'{"text": "a"}\r\n',
    "escaped NUL": b'{"text": "a\\u0000b"}\n',
    "lone surrogate": b'{"text": "a\\ud800b"}\n',
    "surrogates the wrong way round": b'{"text": "\\ude00\\ud83d"}\n',
    "an escape for each character": b'{"\\u0074\\u0065\\u0078\\u0074": "\\u4e2d\\u6587"}\n',
    "equal keys, not the text": b'{"a": 1, "a": 2, "text": "a"}\n',
    "a number no float holds": b'{"n": 123456789012345678901234567890.10, "m": 1e999, "text": "a"}\n',
    "a number of 10,000 digits": b'{"n": %s, "text": "a"}\n' % (b"1" * 10_000),
    "NaN": b'{"n": NaN, "m": -Infinity, "text": "a"}\n',
    "nested 5,000 deep": b'{"n": %s, "text": "a"}\n' % (b"[" * 5_000 + b"]" * 5_000),
    "an empty text": b'{"text": ""}\n',
    "line separators of Unicode": '{"text": "a\u2028b\u2029c\x85d"}\n'.encode(),
    "DEL and C1 controls": '{"text": "a\x7fb\x9f"}\n'.encode(),
    "spaces around": b' \t{"text": "a"} \t\n',
    "no line feed": b'{"text": "a"}',
}
LIMIT = {"max_row_bytes": 20_000}


@pytest.fixture(params=ROWS, ids=lambda name: name.replace(" ", "-"))
def bad(request):
    return ROWS[request.param]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["LF", "CRLF", "end"])
def test_quarantine_keeps_the_row_as_it_was(tmp_path, bad, end):
    row, reason = bad
    data = GOOD + row + end + GOOD * bool(end)
    result = clean(tmp_path, data, **LIMIT)
    assert result.out == GOOD * (1 + bool(end))
    assert result.reasons == [(2, reason)]
    assert result.raw == [(row + end).removesuffix(b"\n")]
    assert result.counts.quarantined == {reason: 1}
    assert result.counts.dropped == {}


def test_skip_drops_it_with_its_reason(tmp_path, bad):
    row, reason = bad
    result = clean(tmp_path, GOOD + row + b"\n" + GOOD, on_error="skip", **LIMIT)
    assert result.out == GOOD * 2
    assert result.counts.dropped == {reason: 1}
    assert result.counts.quarantined == {}
    assert not result.kept


def test_fail_names_file_line_and_reason_and_nothing_else(tmp_path, bad):
    row, reason = bad
    message = refusal(tmp_path, GOOD + row + b"\n" + GOOD, on_error="fail", **LIMIT)
    assert message == f"{tmp_path / 'in.jsonl'}: line 2: {reason}"
    with pytest.raises(CleanError) as caught:
        list(texts(tmp_path / "in.jsonl", Job(on_error="fail", **LIMIT)))
    assert str(caught.value) == message
    assert caught.value.__context__ is None


def test_texts_reads_what_clean_shard_lets_out(tmp_path, bad):
    row, _ = bad
    source = put(tmp_path, GOOD + row + b"\n" + GOOD)
    assert list(texts(source, Job(**LIMIT))) == [(0, "good"), (2, "good")]


@pytest.mark.parametrize("name", FINE)
@pytest.mark.parametrize("mask", ["off", "tag"])
def test_what_only_looks_bad_passes_byte_for_byte(tmp_path, name, mask):
    data = GOOD + FINE[name]
    result = clean(tmp_path, data, on_error="fail", mask=mask, **LIMIT)
    assert result.out == data
    assert list(texts(put(tmp_path, data), Job(on_error="fail", **LIMIT)))[1][1] == json.loads(
        FINE[name].replace(b"1" * 10_000, b"1").replace(b"[" * 5_000 + b"]" * 5_000, b"[]")
    ).get("text")


@pytest.mark.parametrize("name", FINE)
def test_masking_touches_nothing_else_in_it(tmp_path, name):
    mail = b"mail " + b"a" + b"@" + b"example.com "
    row = FINE[name]
    at = row.rindex(b'"', 0, row.rindex(b'"'))  # the value's opening quote
    if row.count(b'"') < 4 or b"text" not in row[:at]:
        at = row.rindex(b': "') + 2
    put_in = row[: at + 1] + mail + row[at + 1 :]
    out = clean(tmp_path, GOOD + put_in, on_error="fail", mask="tag", **LIMIT).out
    assert out.startswith(GOOD + row[: at + 1])
    strict = {"parse_int": str, "parse_float": str}
    if "deep" not in name:
        expected = json.loads(row, **strict)
        assert json.loads(out[len(GOOD) :], **strict) == {**expected, "text": "mail <EMAIL> " + expected["text"]}
    tail = row[row.rindex(b'"') :]
    assert out.endswith(tail)


# -- whole files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_error", ["quarantine", "fail", "skip"])
def test_an_empty_file_gives_an_empty_file(tmp_path, on_error):
    result = clean(tmp_path, b"", on_error=on_error)
    assert (result.out, result.counts.rows_in, result.counts.sha256_in) == (b"", 0, result.counts.sha256_out)


@pytest.mark.parametrize("data", [b"\n", b"\n\n\n", b" \t\r\n", b"\r\n" * 3])
def test_blank_lines_are_no_rows_but_are_counted(tmp_path, data):
    result = clean(tmp_path, GOOD + data + GOOD, on_error="fail")
    assert result.out == GOOD * 2
    assert result.counts.dropped == {"blank line": data.count(b"\n")}
    assert result.counts.rows_in == 2 + data.count(b"\n")


@pytest.mark.parametrize("on_error", ["quarantine", "fail", "skip"])
@pytest.mark.parametrize("data", [GOOD * 2, b""])
def test_a_utf8_bom_is_dropped_and_reported(tmp_path, data, on_error):
    result = clean(tmp_path, b"\xef\xbb\xbf" + data, on_error=on_error)
    assert result.out == data
    assert result.counts.notes == {"UTF-8 BOM dropped": 1}
    assert result.counts.rows_out == data.count(b"\n")
    assert [text for _, text in texts(tmp_path / "in.jsonl", Job())] == ["good"] * data.count(b"\n")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("on_error", ["quarantine", "fail", "skip"])
def test_utf16_and_utf32_fail_the_file(tmp_path, encoding, on_error):
    data = ("\ufeff" + f'{{"text": "{MARKER}"}}\n').encode(encoding)
    message = refusal(tmp_path, data, on_error=on_error)
    assert f"is {encoding[:6].upper()} (by its byte order mark); convert it to UTF-8 first" in message


def test_utf16_without_a_mark_is_all_in_quarantine(tmp_path):
    result = clean(tmp_path, f'{{"text": "{MARKER}"}}\n'.encode("utf-16-le"))
    assert result.counts.rows_out == 0
    assert sum(result.counts.quarantined.values()) == result.counts.rows_in


def test_all_of_them_in_one_file(tmp_path):
    """The books balance, the good rows come out in order, and nothing goes to the console."""
    data = b"".join(row + b"\n" + fine.rstrip(b"\n") + b"\n" for (row, _), fine in zip(
        ROWS.values(), [*FINE.values()] * 2, strict=False))  # fmt: skip
    result = clean(tmp_path, b"\xef\xbb\xbf" + data, **LIMIT)
    assert result.counts.rows_in == 2 * len(ROWS)
    assert [reason for _, reason in result.reasons] == [reason for _, reason in ROWS.values()]
    assert result.out == b"".join(
        fine.rstrip(b"\n") + b"\n" for _, fine in zip(ROWS, [*FINE.values()] * 2, strict=False)
    )


def test_a_crash_in_a_worker_prints_no_row(tmp_path):
    """What a pool prints is the traceback with all that is chained to it."""
    for name in ("bad UTF-8", "malformed", "too long"):
        row, reason = ROWS[name]
        source = put(tmp_path, row + b"\n")
        code = (
            "import sys\nfrom concurrent.futures import ProcessPoolExecutor\nfrom dslab.clean import *\n"
            "job = Job(mask='off', on_error='fail', max_row_bytes=20_000)\n"
            "if __name__ == '__main__':\n"
            "    with ProcessPoolExecutor(1) as pool:\n"
            f"        pool.submit(clean_shard, {str(source)!r}, {str(tmp_path / 'o.jsonl')!r}, job).result()\n"
        )
        (tmp_path / "run.py").write_text(code)
        run = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 1
        assert f"line 1: {reason}" in run.stderr
        assert MARKER not in run.stderr + run.stdout


# -- Parquet -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
@pytest.mark.parametrize("write", ["no group", "empty group"])
def test_parquet_without_rows(tmp_path, kind, write):
    schema = pa.schema([("text", kind), ("nested", pa.struct({"a": pa.list_(pa.int8())}))], metadata={"k": "v"})
    with pq.ParquetWriter(tmp_path / "in.parquet", schema) as writer:
        if write == "empty group":
            writer.write_table(schema.empty_table())
    counts = clean_shard(tmp_path / "in.parquet", tmp_path / "out.parquet", Job(on_error="fail"))
    assert (counts.rows_in, counts.rows_out) == (0, 0)
    assert pq.read_schema(tmp_path / "out.parquet").equals(pq.read_schema(tmp_path / "in.parquet"), check_metadata=True)
    assert list(texts(tmp_path / "in.parquet", Job())) == []


# -- sizes -------------------------------------------------------------------------------------------------------------

HUGE = 50_000_000
SHAPES = {
    "a number": b"%s\n",
    "in the text": b'{"text": "%s"}\n',
    "in a column": b'{"n": %s, "text": "a"}\n',
    "a float": b'{"n": 1.%s, "text": "a"}\n',
}
MEASURE = """
import re, sys, time
from dslab.clean import Job, clean_shard
clean_shard("warm.jsonl", "warm-out.jsonl", Job(), quarantine="q.jsonl")
start = time.process_time()
counts = clean_shard("in.jsonl", "out.jsonl", Job(**eval(sys.argv[1])), quarantine="q.jsonl")
seconds = time.process_time() - start
# Not ru_maxrss: a child inherits that from the process that started it.
kilobytes = int(re.search("VmHWM:\\s*([0-9]+) kB", open("/proc/self/status").read())[1])
print(seconds, kilobytes / 1024, counts.rows_out)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [{}, {"mask": "off"}, {"max_row_bytes": 1 << 20}], ids=str)
def test_50_megabytes_of_1(tmp_path, shape, options):
    """Linear time, and less than 1 GB with everything that Python and the detector hold."""
    put(tmp_path, GOOD, "warm.jsonl")
    seconds = {}
    for size in (HUGE // 4, HUGE):
        put(tmp_path, SHAPES[shape] % (b"1" * size) + GOOD)
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, repr(options)], cwd=tmp_path, capture_output=True, text=True, timeout=280,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-2000:]
        seconds[size], megabytes, rows_out = (float(word) for word in run.stdout.split())
        assert rows_out == 1 + (shape != "a number" and "max_row_bytes" not in options)
        assert megabytes < 1000
    assert seconds[HUGE] < 6 * seconds[HUGE // 4] + 0.5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("piece", [b"[],", b'"ab",', b'{"a":1},', b"[[1]],"])
def test_a_row_of_very_many_values(tmp_path, piece):
    """Built, they would take up to forty times the bytes they are written in."""
    put(tmp_path, GOOD, "warm.jsonl")
    put(tmp_path, b'{"n": [%s1], "text": "a"}\n' % (piece * (8_000_000 // len(piece))))
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, repr({"mask": "off"})], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    _, megabytes, rows_out = (float(word) for word in run.stdout.split())
    assert rows_out == 1
    assert megabytes < 250


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """20 MB and 200 MB: the same peak."""
    put(tmp_path, GOOD, "warm.jsonl")
    peaks = []
    for rows in (20_000, 200_000):
        with (tmp_path / "in.jsonl").open("wb") as file:
            for i in range(rows):
                file.write(b'{"id": %d, "text": "%s"}\n' % (i, b"word " * 200))
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, "{'mask': 'off'}"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        peaks.append(float(run.stdout.split()[1]))
    assert peaks[1] < peaks[0] + 20


def test_reading_is_no_slower_than_a_parser(tmp_path):
    """Books, digests and writing included, at least a third of json.loads alone (measured: 0.7)."""
    row = json.dumps({"id": 1, "url": "http://a.invalid", "text": "some words " * 150, "meta": {"n": [1, 2]}}) + "\n"
    source = put(tmp_path, row.encode() * 8000)
    ratios = []
    for _ in range(5):
        start = time.process_time()
        with source.open("rb") as file:
            for line in file:
                json.loads(line)
        parsing = time.process_time() - start
        start = time.process_time()
        clean_shard(source, tmp_path / "out.jsonl", Job(mask="off", on_error="fail"))
        ratios.append(parsing / (time.process_time() - start))
    assert sorted(ratios)[2] > 1 / 3
