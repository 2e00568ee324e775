"""Our caches in transformers' generate: its own cache's tokens, whatever it does with them; other prompts noticed."""

import copy
from functools import cache

import pytest
import torch
from kv_data import ROPE, data, feed
from lora_models import deepseek
from tiny_llamas import VOCABULARY, prompt, tiny_llama, tiny_lm
from transformers import DynamicCache, MistralConfig, MistralForCausalLM

from dslab.inference.adapter import as_transformers
from dslab.inference.cache import CacheError, CacheFull, CacheMismatch, ContiguousCache, DictCache
from dslab.inference.latent import LatentCache
from dslab.inference.paged import PagedCache
from dslab.inference.quantized import QuantizedCache
from dslab.inference.sliding import SinkCache

EXACT = {
    "dict": DictCache,
    "contiguous": lambda: ContiguousCache(256),
    "paged": PagedCache,
    "wide": lambda: SinkCache(256, 2, ROPE),
}
WAYS = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "several beams": {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.5},
    "sampled": {"do_sample": True, "temperature": 1.1, "top_k": 30},
    "sampled beams": {"do_sample": True, "num_beams": 3, "top_k": 0},
    "several samples": {"do_sample": True, "num_return_sequences": 3, "top_k": 0},
    "copied": {"prompt_lookup_num_tokens": 4},
    "in chunks": {"prefill_chunk_size": 5},
}


def said(model, ids, kv, new=12, **more):
    torch.manual_seed(5)
    return model.generate(ids, past_key_values=kv, **{"max_new_tokens": new, "do_sample": False, **more})


def ids_of(length: int, seed: int, rows: int = 1) -> torch.Tensor:
    return torch.tensor([prompt(length, seed + row) for row in range(rows)])


@cache
def theirs(way):
    return said(tiny_lm(), ids_of(7, 3).repeat(1, 2), DynamicCache(), **WAYS[way])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", EXACT)
def test_tokens_are_those_of_transformers_own_cache(kind, way):
    watched = kind != "dict"
    kv = as_transformers(EXACT[kind](), model=tiny_lm() if watched else None)
    ours = said(tiny_lm(), ids_of(7, 3).repeat(1, 2), kv, **WAYS[way])
    assert torch.equal(ours, theirs(way))
    if watched and kv.batch_size == 1:
        assert kv.cache.tokens == ours[0, : len(kv.cache)].tolist()


def padded(rows, to: int):
    """Left-padded ids and their mask."""
    ids = torch.tensor([[0] * (to - len(row)) + row for row in rows])
    return ids, (ids != 0).long()


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("way", ["greedy", "beams"])
def test_left_padding_with_its_mask(kind, way):
    lm, rows = tiny_lm(), [prompt(13, 1), prompt(4, 2), prompt(9, 3)]
    ids, mask = padded(rows, 13)
    ours = said(lm, ids, as_transformers(EXACT[kind](), lm), attention_mask=mask, **WAYS[way])
    assert torch.equal(ours, said(lm, ids, DynamicCache(), attention_mask=mask, **WAYS[way]))
    if way == "greedy":
        for row, tokens in zip(rows, ours, strict=True):
            alone = said(lm, torch.tensor([row]), as_transformers(EXACT[kind](), lm))[0, len(row) :]
            assert tokens[13 : 13 + len(alone)].tolist() == alone.tolist()


LOSSY = {
    "int8": lambda: QuantizedCache(8),
    "kivi4": lambda: QuantizedCache(4, "kivi", group=8, residual=8),
    "window": lambda: SinkCache(16),
    "sinks": lambda: SinkCache(16, 3, tiny_lm().model.rotary_emb),
}


@pytest.mark.parametrize("kind", LOSSY)
def test_what_loses_something_loses_the_same_in_both_models(kind):
    lm, ids, ours, n = tiny_lm(eos=None), ids_of(70, 7), LOSSY[kind](), 0
    kv, full = as_transformers(LOSSY[kind](), lm), lm(ids).logits
    bar = 1e-2 if kind in ("int8", "kivi4") else 1e-4  # the last bit of a sum may be a step of a code
    for T in (30, 1, 5, 1, 20, 1, 12):
        part = ids[:, n : n + T]
        with torch.no_grad():
            theirs = lm(part, past_key_values=kv).logits
        assert (theirs - tiny_llama(eos=None).forward(part, ours, logits="all")).abs().max() < bar
        n += T
    assert (theirs - full[:, -12:]).abs().max() > (0 if kind == "int8" else 3 * bar)  # and it loses something


@pytest.mark.parametrize("kind", LOSSY)
def test_beams_and_copying_over_what_loses_something(kind):
    kv = as_transformers(LOSSY[kind](), tiny_lm(eos=None))
    said(tiny_lm(eos=None), ids_of(30, 7), kv, num_beams=3)
    assert kv.get_seq_length() == 30 + 12 - 1
    kv.reset()
    said(tiny_lm(eos=None), ids_of(15, 7).repeat(1, 2), kv, prompt_lookup_num_tokens=4)
    assert kv.get_seq_length() == 30 + 12 - 1


@pytest.mark.parametrize("kind", [*EXACT, *LOSSY])
def test_cropped_and_gone_on(kind):
    lm = tiny_lm(eos=None)
    make, ids = {**EXACT, **LOSSY}[kind], ids_of(12, 4)
    kv = as_transformers(make(), lm)
    with torch.no_grad():
        lm(ids, past_key_values=kv)
        once = lm(ids[:, :5], past_key_values=kv).logits
        never = as_transformers(make())
        lm(ids, past_key_values=never)
        other = lm(ids[:, 4:8], past_key_values=never).logits
        kv.crop(-5)
        assert kv.get_seq_length() == 12
        assert torch.equal(lm(ids[:, 4:8], past_key_values=kv).logits, other)
        kv.crop(-1)
        kv.crop(0)
        assert kv.get_seq_length() == 15
        last = lm(ids[:, 7:8], past_key_values=kv).logits
        assert torch.allclose(last, other[:, -1:], atol=1e-4) or kind in ("kivi4", "window", "sinks")
        kv.reset()
        lm(ids, past_key_values=kv)
        assert torch.equal(lm(ids[:, :5], past_key_values=kv).logits, once)
    with pytest.raises(ValueError, match="minus"):
        kv.crop(3)
    with pytest.raises(ValueError, match="0 <= n"):
        kv.crop(-99)


@pytest.mark.parametrize("kind", EXACT)
def test_rows_repeated_and_chosen(kind):
    lm, ids, caches = tiny_lm(), ids_of(9, 2, rows=2), (as_transformers(EXACT[kind]()), DynamicCache())
    with torch.no_grad():
        for kv in caches:
            lm(ids, past_key_values=kv)
            kv.batch_repeat_interleave(2)
        assert caches[0].batch_size == 4
        for where in (torch.tensor([True, False, True, True]), torch.tensor([2, 0])):
            for kv in caches:
                kv.batch_select_indices(where)
        a, b = (lm(ids[:, :2], past_key_values=kv).logits for kv in caches)
    assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("kind", EXACT)
def test_a_prompt_that_goes_on_is_taken_up(kind):
    lm, ids, ends = tiny_lm(eos=None), ids_of(9, 2), []
    for kv in (as_transformers(EXACT[kind](), lm), DynamicCache()):
        talk = torch.cat([said(lm, ids, kv), ids], 1)
        assert kv.get_seq_length() == 9 + 12 - 1
        prefix = copy.deepcopy(kv)
        longer = [said(lm, talk, again) for again in (kv, prefix)]
        assert torch.equal(*longer)
        new = torch.cat([longer[0], ids], 1)
        rest = new[:, kv.get_seq_length() :]  # only what is new, with the whole mask
        ends.append(torch.cat([longer[0], said(lm, rest, kv, attention_mask=torch.ones_like(new))], 1))
    assert torch.equal(*ends)


@pytest.mark.parametrize("kind", ["contiguous", "sinks"])
@pytest.mark.parametrize("other", ["longer", "as long", "shorter", "the same", "one row more"])
def test_another_prompt_is_noticed_and_nothing_changes(kind, other):
    lm, ids = tiny_lm(eos=None), ids_of(9, 2)
    kv = as_transformers({**EXACT, **LOSSY}[kind](), lm)
    held = said(lm, ids, kv, 8)[:, :-1]
    came = {
        "longer": torch.cat([held[:, :4], ids_of(20, 50)], 1),
        "as long": ids_of(held.shape[1], 50),
        "shorter": ids_of(5, 50),
        "the same": held,
        "one row more": torch.cat([held, held[:, :3]], 1).repeat(2, 1),
    }[other]
    for _ in range(2):
        with pytest.raises(CacheMismatch, match="place 4 of row 0 it holds" if other == "longer" else r"reset\(\)"):
            said(lm, came, kv)
    assert kv.get_seq_length() == held.shape[1]
    assert kv.cache.tokens == held[0].tolist()
    go_on = torch.cat([held, ids], 1)
    if kind in EXACT:
        assert torch.equal(said(lm, go_on, kv), said(lm, go_on, DynamicCache()))


def test_the_advice_of_the_error_works():
    lm, ids = tiny_lm(eos=None), ids_of(9, 2)
    kv = as_transformers(DictCache(), lm)
    said(lm, ids, kv, 8)
    other = torch.cat([ids[:, :7], ids_of(5, 60)], 1)
    with pytest.raises(CacheMismatch, match=r"crop\(-9\) keeps the common part"):
        said(lm, other, kv)
    kv.crop(-9)
    assert torch.equal(said(lm, other, kv), said(lm, other, DynamicCache()))
    kv.crop(-5)
    same = other[:, :8]
    with pytest.raises(CacheMismatch, match=r"crop\(-11\) leaves"):
        said(lm, same, kv)
    kv.crop(-11)
    assert torch.equal(said(lm, same, kv), said(lm, same, DynamicCache()))


def test_a_cache_filled_by_our_model_is_taken_up_and_checked():
    from dslab.inference.llama import Llama

    lm, ids = tiny_lm(eos=None), ids_of(9, 2)
    cache = ContiguousCache(64)
    Llama(lm).forward(ids, cache)
    longer = torch.cat([ids, ids], 1)
    assert torch.equal(said(lm, longer, as_transformers(cache.fork(), lm)), said(lm, longer, DynamicCache()))
    with pytest.raises(CacheMismatch, match="place 0"):
        said(lm, longer + 1 - 2 * (longer == VOCABULARY - 1), as_transformers(cache, lm))
    cache.tokens = None
    with pytest.raises(CacheMismatch, match="not known which"):
        said(lm, longer, as_transformers(cache, lm))


def test_a_window_refuses_padding():
    lm, (ids, mask) = tiny_lm(eos=None), padded([prompt(13, 1), prompt(4, 2)], 13)
    with pytest.raises(CacheError, match="padded rows do not go with a window"):
        said(lm, ids, as_transformers(LOSSY["sinks"](), lm), attention_mask=mask)


def test_a_full_buffer_says_so():
    with pytest.raises(CacheFull, match="room for 12"):
        said(tiny_lm(eos=None), ids_of(9, 2), as_transformers(ContiguousCache(12)))


def test_another_models_caches_notice_nothing_of_the_watch():
    lm, ids = copy.deepcopy(tiny_lm()), ids_of(9, 2)
    expected = said(lm, ids, DynamicCache())
    for _ in range(3):
        as_transformers(DictCache(), lm)
    assert torch.equal(said(lm, ids, DynamicCache()), expected)
    assert torch.equal(lm.generate(ids, max_new_tokens=12, do_sample=False), expected)


@pytest.mark.parametrize("make", [DictCache, LatentCache])
def test_latents_are_kept_as_transformers_keeps_them(make):
    model, ids = deepseek(), torch.randint(2, 61, (1, 9), generator=torch.Generator().manual_seed(0))
    kv = as_transformers(make(), model)
    assert torch.equal(said(model, ids, kv), said(model, ids, DynamicCache()))
    assert [x.shape[-1] for x in kv.cache.view(0)] == [12, 8]


def test_a_model_with_windows_of_its_own():
    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, sliding_window=8, initializer_range=0.3, pad_token_id=0, eos_token_id=None,
        )
    ).eval()  # fmt: skip
    ids = ids_of(13, 1)
    ours = said(model, ids, as_transformers(ContiguousCache(64), model))
    assert torch.equal(ours, said(model, ids, DynamicCache(config=model.config)))
    assert not torch.equal(ours, said(tiny_lm(), ids, DynamicCache()))


def test_what_it_is_not_for():
    with pytest.raises(TypeError, match="a cache of dslab"):
        as_transformers(DynamicCache())
    with pytest.raises(CacheError, match="attention in every layer"):
        as_transformers(DictCache()).update_conv_state(torch.zeros(1), 0)
    kv = as_transformers(DictCache())
    assert kv.batch_size == -1
    assert not kv.is_initialized
    feed(kv.cache, data(), 0, 3)
    assert kv.is_initialized
    assert kv.is_croppable
    assert "3 tokens" in repr(kv)
