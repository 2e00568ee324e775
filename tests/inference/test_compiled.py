"""Compiled tokens are those computed before, for each kind of weight and model; and where there is no compiler."""

import shutil
import subprocess

import pytest
import torch
from llama_models import tiny, tokens

from dslab.inference import compiled
from dslab.inference.blocks import BlockPool
from dslab.inference.cache import CacheFull, ContiguousCache, DictCache
from dslab.inference.compiled import CompiledLlama
from dslab.inference.decoding import generate
from dslab.inference.llama import Llama
from dslab.inference.paged import PagedCache
from dslab.inference.weights import KINDS, Weight

BARS = {"fp32": 2e-6, "bf16": 0.01, "int8": 0.01, "int4": 0.01}  # torch rounds activations to bf16 with the latter


@pytest.fixture(autouse=True, scope="module")
def cache_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler, and none was found"
)


def one_by_one(llama, ids, cache=None):
    cache = DictCache() if cache is None else cache
    return torch.cat([llama.forward(ids[:, at : at + 1], cache) for at in range(ids.shape[1])], 1)


def apart(a, b):
    return ((a - b).norm() / b.norm()).item()


def fast(llama):
    made = CompiledLlama(llama)
    assert made.why_not is None
    return made


@needs_compiler
@pytest.mark.parametrize("weights", KINDS)
@pytest.mark.parametrize("kind", ["llama", "llama biases", "llama wide heads", "qwen3", "llama tied"])
def test_as_computed_without(kind, weights):
    llama, ids = Llama(tiny(kind), weights), tokens(1, 30)
    assert apart(one_by_one(fast(llama), ids), one_by_one(llama, ids)) < BARS[weights]


@needs_compiler
def test_cheap_weights_against_what_they_mean():
    """Without torch's rounding of activations between: the dense matrix times the same row."""
    for weights, bar in (("bf16", 2e-6), ("int8", 2e-4), ("int4", 2e-4)):  # int8: x as whole numbers
        llama, ids = Llama(tiny(), weights), tokens(1, 20)
        dense = Llama(tiny())
        for ours, theirs in zip(dense.layers, llama.layers, strict=True):
            for name in ("qkv", "out", "gate_up", "down"):
                setattr(ours, name, compiled.Float32(getattr(theirs, name).dense()))
        dense.head, dense.embed = compiled.Float32(llama.head.dense()), llama.embed
        assert apart(one_by_one(fast(llama), ids), one_by_one(dense, ids)) < bar


@needs_compiler
@pytest.mark.parametrize("cache", [ContiguousCache, DictCache, lambda: PagedCache(BlockPool(8, 16))])
def test_any_cache_after_a_prompt_of_many_tokens(cache):
    llama, ids = Llama(tiny()), tokens(1, 40)
    held = cache()
    made = fast(llama)
    parts = [made.forward(ids[:, :25], held, logits="all"), one_by_one(made, ids[:, 25:], held)]
    assert apart(torch.cat(parts, 1), llama.forward(ids, logits="all")) < 2e-6
    assert len(held) == 40
    assert held.tokens == ids[0].tolist()
    held.truncate(30)  # as if the rest had never come
    assert apart(one_by_one(made, ids[:, 30:], held), torch.cat(parts, 1)[:, 30:]) < 2e-6


@needs_compiler
@pytest.mark.parametrize("kind", ["llama biases", "llama one kv head", "llama all kv heads", "qwen3"])
def test_attention_over_a_buffer_is_compiled_too(kind, monkeypatch):
    llama, ids = Llama(tiny(kind)), tokens(1, 200)
    cache, other = ContiguousCache(200), ContiguousCache(200)
    made = fast(llama)
    made.forward(ids[:, :1], cache)
    monkeypatch.setattr(ContiguousCache, "append", None)
    found = one_by_one(made, ids[:, 1:], cache)
    monkeypatch.undo()
    assert apart(found, llama.forward(ids, logits="all")[:, 1:]) < 3e-6
    llama.prefill(ids, other)
    for layer in range(2):
        for mine, theirs in zip(cache.view(layer), other.view(layer), strict=True):
            torch.testing.assert_close(mine, theirs)
    with pytest.raises(CacheFull):
        made.forward(ids[:, :1], cache)
    assert len(cache) == 200


@needs_compiler
def test_a_fork_is_not_written_to():
    made, ids = fast(Llama(tiny())), tokens(1, 20)
    cache = ContiguousCache(32)
    made.prefill(ids, cache)
    copy = cache.fork()
    first = one_by_one(made, ids[:, :5], cache)
    one_by_one(made, ids[:, 5:9], cache)
    assert len(copy) == 20
    assert torch.equal(one_by_one(made, ids[:, :5], copy), first)


@needs_compiler
def test_batches_are_computed_as_before(monkeypatch):
    llama, ids = Llama(tiny()), tokens(3, 10)
    made = fast(llama)
    monkeypatch.setattr(compiled._Compiled, "layers", None)
    assert torch.equal(one_by_one(made, ids), one_by_one(llama, ids))


@needs_compiler
def test_a_request():
    llama = Llama(tiny())
    assert generate(fast(llama), [5, 6, 7], 40, ignore_eos=True) == generate(llama, [5, 6, 7], 40, ignore_eos=True)


@needs_compiler
def test_threads_change_nothing():
    llama, ids, before = Llama(tiny(), "int8"), tokens(1, 20), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(one_by_one(fast(llama), ids))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@needs_compiler
def test_large_numbers_stay_numbers():
    model = tiny()
    with torch.no_grad():
        model.model.layers[0].mlp.gate_proj.weight.mul_(1e4)  # silu of thousands, on both sides
    llama, ids = Llama(model), tokens(1, 10)
    assert apart(one_by_one(fast(llama), ids), one_by_one(llama, ids)) < 1e-5


@needs_compiler
def test_compiled_once(monkeypatch):
    fast(Llama(tiny()))
    compiled._library.cache_clear()  # as in another process
    monkeypatch.setattr(subprocess, "run", None)
    fast(Llama(tiny("qwen3"), "int4"))


@pytest.fixture
def empty(monkeypatch, tmp_path):
    monkeypatch.setenv("DSLAB_CACHE", str(tmp_path))
    compiled._library.cache_clear()
    yield tmp_path
    compiled._library.cache_clear()


def test_no_compiler(monkeypatch, empty):
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.delenv("CC", raising=False)
    llama, ids = Llama(tiny()), tokens()
    made = CompiledLlama(llama)
    assert "no C compiler was found" in made.why_not
    assert torch.equal(one_by_one(made, ids), one_by_one(llama, ids))


@needs_compiler
def test_a_compiler_that_refuses(monkeypatch, empty):
    broken = empty / "kernels.c"
    broken.write_text("int between( { }")
    monkeypatch.setattr(compiled, "SOURCE", broken)
    why = CompiledLlama(Llama(tiny())).why_not
    assert "said" in why
    assert "error" in why
    assert not list(empty.glob("compiled/*"))


@needs_compiler
@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_matrices_move_and_are_not_held_twice(weights, monkeypatch):
    llama = Llama(tiny(), weights)
    before = [getattr(llama.layers[0], name).dense() for name in ("qkv", "out", "gate_up", "down")]
    made = fast(llama)
    for name, was in zip(("qkv", "out", "gate_up", "down"), before, strict=True):
        weight = getattr(llama.layers[0], name)
        data = weight.codes if weights == "int8" else weight.weight
        assert data.data_ptr() in [getattr(made._c._layers[0], each).data for each in ("qkv", "out", "gate_up", "down")]
        assert data.data_ptr() % compiled.ALIGNED == 0
        assert torch.equal(weight.dense(), was)
    monkeypatch.delattr(compiled.mmap, "MADV_HUGEPAGE", raising=False)  # a system without
    again, ids = fast(llama), tokens(1, 9)
    assert torch.equal(one_by_one(again, ids), one_by_one(made, ids))


@needs_compiler
def test_what_it_can_not_read():
    class Odd(Weight):
        shape, __call__, dense, nbytes = torch.Size([64, 64]), None, None, lambda self: 0

    llama = Llama(tiny())
    llama.layers[0].out = Odd()
    assert "kind Odd" in CompiledLlama(llama).why_not
    assert "72 columns" in CompiledLlama(Llama(tiny(intermediate_size=72))).why_not


@needs_compiler
@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_weights_elsewhere_are_refused_and_stay_there(weights):
    llama = Llama(tiny(), weights)
    name, weight = "codes" if weights == "int8" else "weight", llama.layers[0].gate_up
    setattr(weight, name, getattr(weight, name).to("meta"))
    assert "the weights are on meta" in CompiledLlama(llama).why_not
    assert getattr(weight, name).device.type == "meta"


FAULTS = [
    ("(mean + other) / sum", "mean + other"),
    ("if (t < n) mean", "if (t + 1 < n) mean"),
    ("memcpy(k + n * width, key", "memcpy(k + n * width, query"),
    ("i % shared == 0", "i == 0"),
    ("t < n ? k + t * width : key", "t < n ? k : key"),
    ("width, value, width", "width, qkv, width"),
    ("for (int64_t t = 0; t <= n; t++) sum", "for (int64_t t = 0; t < n; t++) sum"),
    ("store = i / shared", "store = 0"),
    ("half + i < m->rows", "half + i + 1 < m->rows"),
    ("? &next->q_norm : &next->k_norm", "? &next->k_norm : &next->k_norm"),
    ("i < next->heads + next->kv_heads", "i < next->heads"),
    ("b * cosine[j + half] + a *", "b * cosine[j + half] - a *"),
    ("(both >> 4)", "(both & 15)"),
    ("- 8 * step[g]", "- 7 * step[g]"),
    ("whole, k) * by->unit", "whole, k) * 1.02f * by->unit"),
    ("h[j] += fed[j]", "h[j] = fed[j]"),
    ("? y + m->bias[i] : y", "? y : y"),
    ("if (n->gain) normalise", "if (0) normalise"),
    ("for (; j < k; j += 16)", "for (; j + 16 < k; j += 16)"),
    ("squares + n->eps", "squares + 0 * n->eps"),
    ("both[j] / (1 +", "both[j] / (2 +"),
]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(("right", "wrong"), FAULTS)
def test_planted_faults_are_seen(right, wrong, monkeypatch, empty):
    source = compiled.SOURCE.read_text("utf-8")
    assert source.count(right) == 1
    planted = empty / "kernels.c"
    planted.write_text(source.replace(right, wrong))
    monkeypatch.setattr(compiled, "SOURCE", planted)
    seen = 0
    for kind in ("llama biases", "qwen3"):
        for weights in KINDS:
            llama, ids = Llama(tiny(kind, rms_norm_eps=0.05), weights), tokens(1, 20)
            for cache in (DictCache, ContiguousCache):
                seen += not apart(one_by_one(fast(llama), ids, cache()), one_by_one(llama, ids)) < BARS[weights]
    assert seen
