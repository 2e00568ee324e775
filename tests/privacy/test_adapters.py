"""The adapters inside the real libraries: datasets' cache and workers, presidio's engine, datatrove's executor."""

import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dslab.privacy import Detector, Masker, Recognizer

ROOT = Path(__file__).resolve().parents[2]
KEY = bytes(range(32))
TEXTS = ["电话13800138000", None, "mail ann@example.com", "nothing"]
MASKED = ["电话<CN_MOBILE>", None, "mail <EMAIL>", "nothing"]


# -- datasets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets


@pytest.fixture
def jsonl(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(
        "".join(json.dumps({"text": text, "n": i}) + "\n" for i, text in enumerate(TEXTS)), encoding="utf-8"
    )
    return path


def load(datasets, jsonl, tmp_path):
    return datasets.load_dataset("json", data_files=str(jsonl), split="train", cache_dir=str(tmp_path / "cache"))


def test_a_map_masks_its_column_and_leaves_the_others(datasets, jsonl, tmp_path):
    from dslab.privacy.adapters.datasets import map_batch

    data = load(datasets, jsonl, tmp_path)
    out = data.map(map_batch(Masker(Detector()), counts="spans"), batched=True, batch_size=3)
    assert out["text"][:] == MASKED
    assert out["n"][:] == [0, 1, 2, 3]
    assert out["spans"][:] == [1, 0, 1, 0]
    with pytest.raises(KeyError, match="no column 'body'; the batch has n, text"):
        data.map(map_batch(Masker(Detector()), column="body"), batched=True)


def test_the_same_masker_hits_the_cache_and_another_does_not(datasets, jsonl, tmp_path, monkeypatch):
    from dslab.privacy.adapters.datasets import MapBatch, map_batch

    calls = []
    call = MapBatch.__call__
    monkeypatch.setattr(MapBatch, "__call__", lambda self, batch: calls.append(1) or call(self, batch))

    def mapped(**options):
        calls.clear()
        masker = Masker(Detector(**options.pop("detector", {})), **options)
        out = load(datasets, jsonl, tmp_path).map(map_batch(masker), batched=True)
        return out["text"][0], bool(calls)

    assert mapped() == ("电话<CN_MOBILE>", True)
    assert mapped() == ("电话<CN_MOBILE>", False)
    assert mapped(mode="partial") == ("电话138****8000", True)
    assert mapped(detector={"types": ["EMAIL"]}) == ("电话13800138000", True)
    assert mapped(detector={"policy": "precision"})[1]
    assert mapped(mode="hmac", key=KEY)[1]
    assert mapped(mode="hmac", key=KEY[::-1])[1]
    assert not mapped(mode="hmac", key=KEY)[1]


def test_two_workers(datasets, jsonl, tmp_path):
    from dslab.privacy.adapters.datasets import map_batch

    data = load(datasets, jsonl, tmp_path)
    masker = Masker(Detector(types=("CN_MOBILE", "EMAIL", Recognizer("STAFF", "E[0-9]{6}"))))
    assert data.map(map_batch(masker), batched=True, num_proc=2)["text"][:] == MASKED


HASHES = """
import pickle, sys
from dslab.privacy import Detector, Masker, Recognizer
from dslab.privacy.adapters.datasets import map_batch
detector = Detector(types=("IP", "EMAIL", "CARD", "SECRET", Recognizer("STAFF", "E[0-9]{6}")))
sys.stdout.write(pickle.dumps(map_batch(Masker(detector))).hex())
"""


def test_the_fingerprint_does_not_depend_on_the_process():
    """Sets come in another order under another hash seed; datasets hashes the pickle."""
    pickles = {
        subprocess.run(
            [sys.executable, "-c", HASHES], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(pickles) == 1
    assert pickle.loads(bytes.fromhex(pickles.pop()))({"text": ["E204817"]}) == {"text": ["<STAFF>"]}


def test_a_detector_of_your_own_travels_as_it_is():
    from dslab.privacy.adapters.datasets import map_batch

    function = pickle.loads(pickle.dumps(map_batch(Masker(Upper()))))
    assert function({"text": ["abc"]}) == {"text": ["abc"]}


class Upper:
    def find(self, text):
        return []


# -- presidio ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine():
    analyzer = pytest.importorskip("presidio_analyzer")
    from dslab.privacy.adapters.presidio import DslabRecognizer, blank_engine

    registry = analyzer.RecognizerRegistry(supported_languages=["en", "zh"])
    for language in ("en", "zh"):
        registry.add_recognizer(DslabRecognizer(language))
    return analyzer.AnalyzerEngine(
        registry=registry, nlp_engine=blank_engine("en", "zh"), supported_languages=["en", "zh"]
    )


def test_presidio_gets_its_own_names_for_what_it_knows(engine):
    text = "mail ann@example.com, card 4111 1111 1111 1111, server 192.0.2.7, SSN: 219-09-9999, phone +1 212-555-0142"
    found = {(text[r.start : r.end], r.entity_type) for r in engine.analyze(text, language="en")}
    assert found == {
        ("ann@example.com", "EMAIL_ADDRESS"),
        ("4111 1111 1111 1111", "CREDIT_CARD"),
        ("192.0.2.7", "IP_ADDRESS"),
        ("219-09-9999", "US_SSN"),
        ("+1 212-555-0142", "PHONE_NUMBER"),
    }


def test_presidio_reads_chinese(engine):
    text = "身份证11010519491231002X，手机１３８００１３８０００，车牌京A12345"
    found = {(text[r.start : r.end], r.entity_type) for r in engine.analyze(text, language="zh")}
    assert found == {
        ("11010519491231002X", "CN_ID"), ("１３８００１３８０００", "PHONE_NUMBER"), ("京A12345", "CN_PLATE"),
    }  # fmt: skip


def test_presidio_can_ask_for_some_and_for_the_reason(engine):
    text = "mail ann@example.com, server 192.0.2.7"
    results = engine.analyze(text, language="en", entities=["IP_ADDRESS"], return_decision_process=True)
    assert [r.entity_type for r in results] == ["IP_ADDRESS"]
    assert results[0].analysis_explanation.textual_explanation.startswith("ip:")
    assert results[0].analysis_explanation.recognizer == "DslabRecognizer"
    assert "CREDIT_CARD" in engine.get_supported_entities("zh")


def test_presidio_takes_types_of_your_own():
    pytest.importorskip("presidio_analyzer")
    from dslab.privacy.adapters.presidio import DslabRecognizer

    recognizer = DslabRecognizer(types=["EMAIL", Recognizer("STAFF", "E[0-9]{6}")])
    assert recognizer.supported_entities == ["EMAIL_ADDRESS", "STAFF"]
    assert [r.entity_type for r in recognizer.analyze("E204817 or 192.0.2.7", [])] == ["STAFF"]


# -- datatrove --------------------------------------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path):
    """Four files, five rows each; every third row holds a number."""
    (tmp_path / "raw" / "deep").mkdir(parents=True)
    for i in range(4):
        path = tmp_path / "raw" / ("deep" if i == 3 else ".") / f"{i}.jsonl"
        rows = [
            {"text": f"row {i}.{j} " + ("call 13800138000" if j % 3 == 0 else "quiet"), "id": f"{i}-{j}"}
            for j in range(5)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def rows_under(place):
    files = [place] if place.is_file() else sorted(place.rglob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_datatrove_masks_between_its_reader_and_writer(form, corpus):
    pytest.importorskip("datatrove")
    if form == "jsonl":
        pytest.importorskip("orjson", reason="datatrove's JSONL reader and writer need orjson")
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader, ParquetReader
    from datatrove.pipeline.writers import JsonlWriter, ParquetWriter

    from dslab.privacy.adapters.datatrove import MaskFormatter

    if form == "parquet":
        for path in sorted((corpus / "raw").rglob("*.jsonl")):
            pq.write_table(pa.Table.from_pylist(rows_under(path)), path.with_suffix(".parquet"))
    reader, writer = (JsonlReader, JsonlWriter) if form == "jsonl" else (ParquetReader, ParquetWriter)
    stats = LocalPipelineExecutor(
        pipeline=[
            reader(str(corpus / "raw"), glob_pattern=f"**/*.{form}", recursive=True),
            MaskFormatter(Masker(Detector())),
            writer(str(corpus / "out"), output_filename="${rank}." + form, compression=None),
        ],
        tasks=2, workers=1, logging_dir=str(corpus / "logs"),
    ).run()  # fmt: skip
    rows = rows_under(corpus / "out") if form == "jsonl" else pq.read_table(corpus / "out").to_pylist()
    assert len(rows) == 20
    assert sum("<CN_MOBILE>" in row["text"] for row in rows) == 8
    assert "13800138000" not in json.dumps(rows)
    step = next(step for step in stats.stats if "dslab mask" in step.name)
    assert step["masked_CN_MOBILE"].total == 8


def test_datatrove_drops_documents_full_of_values():
    pytest.importorskip("datatrove")
    from datatrove.data import Document

    from dslab.privacy.adapters.datatrove import SpanFilter

    docs = [Document(text=text, id=str(i)) for i, text in enumerate(["quiet", "a@b.cn", "a@b.cn c@d.cn e@f.cn"])]
    step = SpanFilter(Detector(), most=1)
    assert [doc.id for doc in step.run(docs)] == ["0", "1"]
    assert step.stats["dropped_personal_data"].total == 1
    with pytest.raises(ValueError, match="most must be >= 0, got -1"):
        SpanFilter(Detector(), most=-1)


def program():
    """The pipeline for many machines as it stands in the adapter's own text."""
    pytest.importorskip("datatrove")
    from dslab.privacy.adapters import datatrove

    text = inspect.cleandoc(datatrove.__doc__).partition("On many machines:\n\n")[2]
    return inspect.cleandoc(text)


def test_the_pipeline_for_many_machines(corpus):
    """The text of the documentation, run as a program: every row comes out, and a second run does nothing."""
    (corpus / "raw" / "1.jsonl").open("a").write('{"text": 7}\n')
    script = corpus / "many.py"
    # Worker processes import the program again, as they do for any program that starts processes.
    head, start, tail = program().partition("LocalPipelineExecutor(  ")
    script.write_text(f"{head}\nif __name__ == '__main__':\n    {start}{tail}", encoding="utf-8")
    assert len(program().splitlines()) <= 20

    def run():
        done = subprocess.run(
            [sys.executable, str(script)], cwd=corpus, capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return {path: path.stat().st_mtime_ns for path in (corpus / "clean").rglob("*.jsonl")}

    first = run()
    assert sorted(path.relative_to(corpus / "clean").as_posix() for path in first) == [
        "0.jsonl", "1.jsonl", "2.jsonl", "deep/3.jsonl",
    ]  # fmt: skip
    rows = rows_under(corpus / "clean")
    assert len(rows) == 20
    assert sum("<CN_MOBILE>" in row["text"] for row in rows) == 8
    assert (corpus / "clean" / "1.jsonl.quarantine").is_file()
    stats = json.loads((corpus / "logs" / "stats.json").read_text())
    assert stats[0]["stats"]["rows in"]["total"] == 21
    assert stats[0]["stats"]["rows out"]["total"] == 20
    assert run() == first


def test_shards_need_files(tmp_path):
    pytest.importorskip("datatrove")
    from dslab.privacy.adapters.datatrove import ShardStep

    step = ShardStep(lambda source, target: None, str(tmp_path), str(tmp_path / "out"), suffix=".jsonl")
    with pytest.raises(FileNotFoundError, match=r"no file that ends in '\.jsonl' under"):
        list(step.run(None))


# -- without the libraries --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "library"), [("presidio", "presidio-analyzer"), ("datatrove", "datatrove")])
def test_a_missing_library_is_named(module, library, monkeypatch):
    name = f"dslab.privacy.adapters.{module}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    for loaded in [n for n in sys.modules if n.partition(".")[0] == library.replace("-", "_")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library.replace("-", "_"), None)
    with pytest.raises(ImportError, match=rf"needs {library}: pip install {library}.*dslab-course\[bench\]"):
        __import__(name)
