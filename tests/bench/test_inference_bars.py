"""`dslab bench inference`: its parts on a tiny model, and the bars of the saved table."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dslab.bench import inference, inference_batch, inference_llamacpp, inference_quality, inference_speed, report
from dslab.bench import inference_compiled as compiled
from dslab.bench import inference_mla as mla
from dslab.bench import inference_subjects as subjects
from dslab.bench.report import Row, Table
from dslab.paths import data_dir

VOCABULARY = 256
ELSEWHERE = {"compiled", "llama.cpp"}  # these need SmolLM2 itself, a compiler, a wheel


class Tokenizer:
    """As much of one as the bench uses."""

    def apply_chat_template(self, talk: list[dict[str, str]], **settings: Any) -> list[int]:
        return list(talk[0]["content"].encode())

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


@pytest.fixture(scope="module")
def rows() -> Iterator[Table]:
    """All parts but two, measured once each on a model of two layers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=8192, initializer_range=0.1, pad_token_id=0, bos_token_id=None,
        eos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    lm = LlamaForCausalLM(config).eval()
    ids = torch.randint(2, VOCABULARY, (8192,), generator=torch.Generator().manual_seed(0)).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "base", lambda: (lm, Tokenizer()))
        patch.setattr(subjects, "text", lambda n: ids[:n])
        patch.setattr(inference_speed, "ROUNDS", 1)
        patch.setattr(inference_speed, "NEW", {64: 3, 512: 3})
        patch.setattr(inference_quality, "TOKENS", 257)
        patch.setattr(inference_quality, "WINDOW_TOKENS", 769)
        patch.setattr(inference_batch, "REPEATS", 1)
        patch.setattr(inference_batch, "WRITTEN", 8)
        patch.setattr(mla, "REPEATS", 1)
        subjects.llama.cache_clear()
        threads = torch.get_num_threads()
        table = inference.measure([part for part in inference.PARTS if part not in ELSEWHERE])
        assert torch.get_num_threads() == threads
        yield table
    subjects.llama.cache_clear()


def test_every_part_gives_rows_and_figures(rows: Table) -> None:
    assert len(rows.rows) >= 25
    assert len({row.quantity for row in rows.rows}) == len(rows.rows)
    assert [row.quantity for row in rows.rows if row.value is None] == []
    assert all(value > 0 for name, value in rows.seconds.items() if not name.startswith("copying"))


@pytest.mark.parametrize(
    "quantity",
    [
        "batch of 16, requests with the tokens of padded generate",
        "prompt lookup, copying: tokens unlike plain greedy",
        "shared prefix of 96: peak blocks beyond the exact number", "MLA absorbed: difference over the largest output",
    ],
)  # fmt: skip
def test_what_does_not_depend_on_the_machine_holds_on_any_model(rows: Table, quantity: str) -> None:
    assert next(row for row in rows.rows if row.quantity == quantity).holds


def test_ratios_are_of_what_they_say(rows: Table) -> None:
    raw = rows.seconds
    asked = [(len(prompt), new) for prompt, new in inference_batch.requests()]
    padded = len(asked) * (max(prompt for prompt, _ in asked) + max(new for _, new in asked))
    bound = padded / sum(map(sum, asked))
    gain = raw["batch of 16, CPU s, padded generate"] / raw["batch of 16, CPU s, engine"]
    assert inference.value(rows, "batch of 16, share of the padding bound") == pytest.approx(gain / bound)
    assert raw["prefix of 96, peak blocks, shared"] == 6 + 16 * 1  # 96 tokens in common; 12 and 3 of each
    assert inference.value(rows, "int8 cache: bytes over bf16") == pytest.approx((64 + 2) / 128)  # a scale in fp16
    absorbed = raw["ms expanding all latents T=4096"] / raw["ms absorbed T=4096"]
    assert inference.value(rows, "MLA absorbed over transformers' layer, T=4096") == pytest.approx(absorbed)
    assert absorbed > 2


def test_the_weights_table_has_speed_and_quality_of_the_same_weights(rows: Table) -> None:
    lines = inference.weights_rows(rows)
    assert [line["weights"] for line in lines] == [*subjects.KINDS, subjects.FOLDED]
    assert lines[0]["change in %"] == 0
    assert lines[0]["MB"] == pytest.approx(2 * lines[1]["MB"])
    assert lines[3]["MB"] == lines[4]["MB"] < lines[2]["MB"]
    speed = inference.value(rows, "eager int8 over transformers, P=64")
    assert lines[2]["times transformers' speed"] == pytest.approx(speed)


def test_folding_gains_into_matrices_is_the_same_function() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    lm = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in lm.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 2)
    ids = torch.randint(50, (1, 9))
    changed = subjects.folded(lm)
    torch.testing.assert_close(changed(ids).logits, lm(ids).logits)
    assert not torch.equal(changed.model.layers[0].mlp.up_proj.weight, lm.model.layers[0].mlp.up_proj.weight)


def test_both_ways_of_latent_attention_leave_their_cache_as_it_was() -> None:
    calls = mla.mla_step(33)
    first = {name: call() for name, call in calls.items()}
    for name, call in calls.items():
        torch.testing.assert_close(call(), first[name], rtol=0, atol=0)
    torch.testing.assert_close(*first.values())


def test_parts_go_into_the_saved_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Table] = {}

    def old(name: str) -> Table:
        if name not in kept:
            raise FileNotFoundError
        return kept[name]

    monkeypatch.setattr(inference, "load", old)
    first = Table("inference", [Row("a", 1.0, ">=", 0), Row("b", 1.0, ">=", 0)], {"x": 1.0, "y": 1.0})
    assert inference.merged(first, ["mla"]) is first
    kept["inference"] = first
    new = Table("inference", [Row("b", 2.0, ">=", 0), Row("c", 2.0, ">=", 0)], {"y": 2.0}, {"date": "today"})
    both = inference.merged(new, ["mla"])
    assert [(row.quantity, row.value) for row in both.rows] == [("a", 1.0), ("b", 2.0), ("c", 2.0)]
    assert both.seconds == {"x": 1.0, "y": 2.0}
    assert both.machine == {"date": "today"}
    assert inference.merged(new, inference.PARTS) is new  # a whole run leaves nothing of an older one


def test_a_part_is_saved_before_the_next_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(parts: list[str], say: Any) -> Table:
        if parts == ["mla"]:
            raise KeyboardInterrupt
        return Table("inference", [Row(f"of {parts[0]}", 1.0, ">=", 0)], {parts[0]: 1.0})

    monkeypatch.setattr(inference, "measure", measure)
    monkeypatch.setattr(report, "data_dir", lambda: tmp_path)
    with pytest.raises(KeyboardInterrupt):
        inference.main(["--part", "speed", "batch", "mla", "--save"])
    assert [row.quantity for row in inference.saved().rows] == ["of speed", "of batch"]
    assert inference.main(["--part", "batch", "windows"]) == 0
    assert [row.quantity for row in inference.saved().rows] == ["of speed", "of batch"]


def test_compiled_rows_follow_what_the_processes_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"ours": 0.01, "theirs": 0.05, "bandwidth": 12e9, "bytes": 108e6, "ready": 30.0}
    monkeypatch.setattr(compiled, "_child", lambda task, kind: {"first": 9.0} if task == "first" else found)
    table = Table("inference")
    compiled.compiled(table)
    values = {row.quantity: row.value for row in table.rows}
    assert values["compiled int8 over transformers fp32, two threads"] == pytest.approx(5)
    assert values["compiled int8, share of the roofline"] == pytest.approx(0.9)
    assert values["compiled int8: seconds to the first token, warm cache"] == 9
    monkeypatch.setattr(compiled, "_child", lambda task, kind: {"why": "no compiler"})
    none = Table("inference")
    compiled.compiled(none)
    assert [row.quantity for row in none.rows] == list(values)
    assert {(row.value, row.why) for row in none.rows} == {(None, "no compiler")}


def test_a_process_that_breaks_is_no_missing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = subprocess.CompletedProcess([], 1, stdout="", stderr="ImportError")
    monkeypatch.setattr(compiled.subprocess, "run", lambda *a, **k: broken)
    with pytest.raises(RuntimeError, match="ended with 1: ImportError"):
        compiled._child("measure", "int8")


def test_what_cannot_be_measured_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("inference", [Row("a", None, ">=", 1.0, why="no compiler")], {"b": 2.0})
    with pytest.raises(ValueError, match="no compiler"):
        inference.value(table, "a")
    assert inference.value(table, "b") == 2
    with pytest.raises(KeyError):
        inference.value(table, "c")
    monkeypatch.setattr(inference_llamacpp.importlib.util, "find_spec", lambda name: None)
    inference_llamacpp.beside(table)
    assert (table.rows[-1].value, table.rows[-1].why) == (None, "the wheel xllamacpp is not installed")


def test_a_part_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        inference.main(["--part", "sped"])
    assert "invalid choice: 'sped'" in capsys.readouterr().err


SHOWN = inference_llamacpp.QUANTITY

saved = pytest.mark.skipif(
    not (data_dir() / "bench" / "inference.json").is_file(), reason="no saved table: `dslab bench inference --save`"
)


@saved
def test_the_saved_table_is_whole(rows: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the rows and figures that the bench would make today, and no others."""
    monkeypatch.setattr(compiled, "_child", lambda task, kind: {"why": "not here"})
    monkeypatch.setattr(inference_llamacpp.importlib.util, "find_spec", lambda name: None)
    today = Table("inference", list(rows.rows), dict(rows.seconds))
    compiled.compiled(today)
    inference_llamacpp.beside(today)
    kept = inference.saved()
    bars = {(row.quantity, row.bound, row.must, row.aim) for row in kept.rows}
    assert bars == {(row.quantity, row.bound, row.must, row.aim) for row in today.rows}
    assert set(today.seconds) - set(kept.seconds) == set()
    assert {"processor", "threads", "torch", "date"} <= set(kept.machine)


@saved
def test_the_saved_table_reaches_its_bars() -> None:
    kept = inference.saved()
    unmeasured = {row.quantity for row in kept.rows if row.value is None}
    assert unmeasured <= {SHOWN}
    assert not [row.quantity for row in kept.rows if row.holds is False]


@saved
def test_the_saved_table_shows_what_breaks() -> None:
    """The contrasts of the notebook: int4 off its grid, a cache of naive int4, two bits."""
    raw = inference.saved().seconds
    assert raw[f"perplexity {subjects.FOLDED}"] > 1.2 * raw["perplexity int4"]
    assert raw["perplexity int4 cache, a scale a token"] > 1.2 * raw["perplexity full cache"]
    assert raw["perplexity kivi2 cache"] > 1.1 * raw["perplexity full cache"]
    assert raw[f"ms/token {subjects.FOLDED} P=64"] < 1.2 * raw["ms/token int4 P=64"]


@saved
def test_what_notebook_05_says_of_the_compiled_rows() -> None:
    """Of them only these words stand in its prose, and no claim: the share falls with the bytes, int4 is the slower."""
    kept = inference.saved()
    share = {kind: inference.value(kept, f"compiled {kind}, share of the roofline") for kind in ("bf16", "int8")}
    assert share["bf16"] > share["int8"]
    assert round(share["int8"], 1) == 0.8
    ms = {kind: kept.seconds[f"wall ms/token compiled {kind} two threads"] for kind in ("int8", "int4")}
    assert ms["int4"] > ms["int8"]
