"""Parquet: the text column is cleaned, every other column, type and word of metadata comes back as it was."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shards import MARKER

from dslab.clean import CleanError, Job, clean_shard, texts

OFF = Job(mask="off")
TEXT_TYPES = [
    pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.string(), ordered=True),
]  # fmt: skip


def put(folder: Path, table: pa.Table, name: str = "in.parquet", **options) -> Path:
    pq.write_table(table, folder / name, **options)
    return folder / name


def clean(folder: Path, source: Path, job: Job = OFF, **options):
    """(counts, output table, quarantine table or None)"""
    target, aside = folder / "out.parquet", folder / "aside.parquet"
    counts = clean_shard(source, target, job, quarantine=aside, **options).check()
    return counts, pq.read_table(target), pq.read_table(aside) if aside.exists() else None


def rich(n: int) -> pa.Table:
    """A column of every kind that corpora hold, with nulls, and metadata on all levels."""
    zone = datetime.timezone(datetime.timedelta(hours=8))
    fields = {
        "id": (pa.int64(), [2**62 + i for i in range(n)]),
        "text": (pa.string(), [f"text {i}" for i in range(n)]),
        "score": (pa.float32(), [0.1 * i if i % 5 else None for i in range(n)]),
        "nested": (pa.struct({"a": pa.list_(pa.int32()), "b": pa.struct({"c": pa.string()})}),
                   [{"a": [i, None], "b": {"c": None}} if i % 3 else None for i in range(n)]),
        "price": (pa.decimal128(20, 4), [decimal.Decimal(i).scaleb(-4) for i in range(n)]),
        "at": (pa.timestamp("us", "Asia/Shanghai"), [datetime.datetime(2024, 1, 1, tzinfo=zone)] * n),
        "tags": (pa.list_(pa.string()), [["x", None] if i % 2 else [] for i in range(n)]),
        "map": (pa.map_(pa.string(), pa.int64()), [[("k", i)] for i in range(n)]),
        "raw": (pa.large_binary(), [bytes([i % 256, 255]) for i in range(n)]),
        "kind": (pa.dictionary(pa.int32(), pa.string()), ["red" if i % 2 else None for i in range(n)]),
        "day": (pa.date32(), [datetime.date(2024, 1, 1)] * n),
        "half": (pa.float16(), [None] * n),
        "vector": (pa.list_(pa.float32(), 3), [[1.0, 2.0, float(i)] for i in range(n)]),
        "nothing": (pa.null(), [None] * n),
    }  # fmt: skip
    schema = pa.schema(
        [pa.field(k, t, metadata={"of": f"field {k}"}, nullable=k != "id") for k, (t, _) in fields.items()],
        metadata={"huggingface": '{"info": {}}', "pandas": "{}"},
    )
    return pa.table([pa.array(values, kind) for kind, values in fields.values()], schema=schema)


@pytest.mark.parametrize("n", [0, 1, 700])
@pytest.mark.parametrize("codec", ["snappy", "zstd", "gzip", "none"])
def test_every_column_passes_with_its_type(tmp_path, n, codec):
    source = put(tmp_path, rich(n), row_group_size=200, compression=codec)
    counts, out, aside = clean(tmp_path, source)
    before = pq.read_table(source)
    assert out.schema.equals(before.schema, check_metadata=True)
    assert out.equals(before)
    assert aside is None
    assert (counts.rows_in, counts.rows_out) == (n, n)
    old, new = pq.ParquetFile(source).metadata, pq.ParquetFile(tmp_path / "out.parquet").metadata
    groups = [[m.row_group(i).num_rows for i in range(m.num_row_groups)] for m in (old, new)]
    assert [size for size in groups[0] if size] == groups[1]  # a writer may leave an empty group in an empty file
    if n:
        assert {new.row_group(0).column(i).compression for i in range(new.num_columns)} == {
            "UNCOMPRESSED" if codec == "none" else codec.upper()
        }


def test_each_column_keeps_its_own_codec(tmp_path):
    source = put(tmp_path, rich(10).select(["id", "text", "tags"]), compression={"id": "zstd", "text": "gzip"})
    clean(tmp_path, source)
    group = pq.ParquetFile(tmp_path / "out.parquet").metadata.row_group(0)
    assert [group.column(i).compression for i in range(3)] == ["ZSTD", "GZIP", "UNCOMPRESSED"]


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
def test_text_of_every_string_type_is_masked_and_keeps_its_type(tmp_path, kind):
    secret = "a" + "@" + "example.com"
    values = ["plain", f"mail {secret}", None, "plain", ""]
    table = pa.table({"text": pa.array(values, pa.string()).cast(kind), "n": range(5)})
    counts, out, aside = clean(tmp_path, put(tmp_path, table), Job(mask="tag"))
    assert out.schema.equals(pq.read_table(tmp_path / "in.parquet").schema, check_metadata=True)
    assert out.to_pydict() == {"text": ["plain", "mail <EMAIL>", "plain", ""], "n": [0, 1, 3, 4]}
    assert aside.to_pylist() == [{"text": None, "n": 2, "_dslab_row": 2, "_dslab_reason": "text is null"}]
    assert aside.schema.field("text").type == out.schema.field("text").type
    assert counts.spans == {"EMAIL": 1}
    assert secret.encode() not in (tmp_path / "out.parquet").read_bytes(), "neither in a page nor in a dictionary"


def test_statistics_give_nothing_away(tmp_path):
    """Parquet keeps the least and the greatest value of a column beside the rows."""
    secret = "a" + "@" + "example.com"
    clean(tmp_path, put(tmp_path, pa.table({"text": [secret] * 3}), compression="none"), Job(mask="tag"))
    assert secret.encode() in (tmp_path / "in.parquet").read_bytes()
    assert secret.encode() not in (tmp_path / "out.parquet").read_bytes()
    column = pq.ParquetFile(tmp_path / "out.parquet").metadata.row_group(0).column(0)
    assert column.statistics.min == column.statistics.max == "<EMAIL>"


@pytest.mark.parametrize("kind", TEXT_TYPES[:3], ids=str)
def test_rows_that_are_no_text_are_kept_with_number_and_reason(tmp_path, kind):
    good = pa.array([b"ok", b"\xff" + MARKER.encode(), None, b"x" * 100, b"fine"], pa.binary())
    text = good.cast(pa.large_binary()).view(pa.large_string()) if kind == pa.large_string() else good.view(pa.string())
    if kind == pa.string_view():
        text = good.cast(pa.binary_view()).view(pa.string_view())
    source = put(tmp_path, pa.table({"text": text, "nested": [{"a": [i]} for i in range(5)]}), write_statistics=False)
    job = Job(mask="off", max_row_bytes=50)
    counts, out, aside = clean(tmp_path, source, job)
    assert out.to_pydict() == {"text": ["ok", "fine"], "nested": [{"a": [0]}, {"a": [4]}]}
    assert counts.quarantined == {"bad UTF-8": 1, "text is null": 1, "row too long": 1}
    assert aside["_dslab_row"].to_pylist() == [1, 2, 3]
    assert aside["_dslab_reason"].to_pylist() == ["bad UTF-8", "text is null", "row too long"]
    assert aside["nested"].to_pylist() == [{"a": [1]}, {"a": [2]}, {"a": [3]}]
    kept = aside["text"].combine_chunks().cast(pa.large_binary())
    assert kept.to_pylist() == [b"\xff" + MARKER.encode(), None, b"x" * 100]
    assert list(texts(source, job)) == [(0, "ok"), (4, "fine")]
    skipped, _, nothing = clean(tmp_path, source, Job(mask="off", max_row_bytes=50, on_error="skip"))
    assert nothing is None
    assert skipped.dropped == counts.quarantined
    for use in (lambda j: clean(tmp_path, source, j), lambda j: list(texts(source, j))):
        with pytest.raises(CleanError, match=r"in.parquet: row 1: bad UTF-8") as caught:
            use(Job(mask="off", max_row_bytes=50, on_error="fail"))
        assert MARKER not in str(caught.value)
        assert caught.value.__context__ is None


def test_duplicates_are_dropped_by_row_number(tmp_path):
    n = 5000
    source = put(tmp_path, pa.table({"text": [f"t{i}" if i % 1000 else None for i in range(n)]}), row_group_size=1300)
    rows = [row for row, _ in texts(source, OFF)]
    assert rows == [i for i in range(n) if i % 1000]
    counts, out, aside = clean(tmp_path, source, duplicates=rows[::2])
    assert out["text"].to_pylist() == [f"t{i}" for i in rows[1::2]]
    assert counts.dropped == {"near-duplicate": len(rows[::2])}
    assert aside["_dslab_row"].to_pylist() == [0, 1000, 2000, 3000, 4000]


def test_again_is_the_same_file(tmp_path):
    source = put(tmp_path, rich(300))
    first, _, _ = clean(tmp_path, source)
    data = (tmp_path / "out.parquet").read_bytes()
    second, _, _ = clean(tmp_path, source)
    assert (tmp_path / "out.parquet").read_bytes() == data
    assert first == second


def test_a_large_row_group_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("dslab.clean.parquet_io.GROUP_BYTES", 100_000)
    source = put(tmp_path, pa.table({"text": ["x" * 1000] * 3000}))
    _, out, _ = clean(tmp_path, source)
    assert len(out) == 3000
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups > 1


@pytest.mark.parametrize(("column", "says"), [
    ("body", "no column 'body'; the columns are text, n, when"),
    ("n", "column 'n' is int64, not a string; the columns are text: string, n: int64, when: list<element: string>"),
    ("when", "column 'when' is list<element: string>, not a string"), ("", "must name a column"),
])  # fmt: skip
@pytest.mark.parametrize("on_error", ["quarantine", "fail", "skip"])
def test_a_column_that_is_not_there_or_no_text(tmp_path, column, says, on_error):
    source = put(tmp_path, pa.table({"text": [MARKER], "n": [1], "when": [[MARKER]]}))
    with pytest.raises(CleanError) as caught:
        clean(tmp_path, source, Job(mask="off", text_column=column, on_error=on_error))
    assert says in str(caught.value)
    assert MARKER not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(CleanError, match="2 columns 'text'"):
        clean(tmp_path, put(tmp_path, table))


def test_a_dot_in_a_name_is_a_dot(tmp_path):
    table = pa.table({"meta": [{"text": "inner"}], "meta.text": ["outer"]})
    job = Job(mask="off", text_column="meta.text")
    source = put(tmp_path, table)
    assert list(texts(source, job)) == [(0, "outer")]
    assert clean(tmp_path, source, job)[1].equals(table)


def test_a_damaged_file_fails_without_a_word_of_its_content(tmp_path):
    whole = put(tmp_path, pa.table({"text": [MARKER * 50] * 1000}), compression="none", write_page_checksum=True)
    whole = whole.read_bytes()
    flipped = whole.replace(MARKER.encode(), MARKER.lower().encode(), 1)  # a page's checksum tells
    for data in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], whole[9:], b"x" * 1000, flipped):
        source = tmp_path / "in.parquet"
        source.write_bytes(data)
        with pytest.raises(CleanError, match=r"in.parquet: not a readable Parquet file") as caught:
            clean(tmp_path, source)
        assert caught.value.__context__ is None
        assert list(tmp_path.iterdir()) == [source]


def test_our_own_pages_carry_a_checksum(tmp_path):
    clean(tmp_path, put(tmp_path, pa.table({"text": [MARKER * 50] * 10}), compression="none"))
    out = tmp_path / "out.parquet"
    out.write_bytes(out.read_bytes().replace(MARKER.encode(), MARKER.lower().encode(), 1))
    with pytest.raises(OSError, match="checksum"):
        pq.ParquetFile(out, page_checksum_verification=True).read()


def test_a_file_that_is_written_to_meanwhile_is_noticed(tmp_path):
    source = put(tmp_path, pa.table({"text": ["a"] * 10}))

    def write(rows, size):
        with source.open("ab") as file:
            file.write(b"more")

    with pytest.raises(CleanError, match="changed while it was read"):
        clean(tmp_path, source, progress=write)
    assert list(tmp_path.iterdir()) == [source]


def test_own_columns_step_aside(tmp_path):
    table = pa.table({"text": [None, "a"], "_dslab_row": ["mine", "mine"]}, schema=pa.schema(
        {"text": pa.string(), "_dslab_row": pa.string()}))  # fmt: skip
    _, _, aside = clean(tmp_path, put(tmp_path, table))
    assert aside.to_pylist() == [
        {"text": None, "_dslab_row": "mine", "__dslab_row": 0, "_dslab_reason": "text is null"}
    ]


@pytest.mark.filterwarnings("error")
def test_a_failed_write_leaves_no_noise(tmp_path):
    """Arrow's writers would write their footer when they are collected."""
    source = put(tmp_path, pa.table({"text": ["a"] * 10 + [None]}))

    def stop(rows, size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean(tmp_path, source, progress=stop)
    assert list(tmp_path.iterdir()) == [source]
