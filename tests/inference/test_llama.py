"""Equal to transformers: each kind of the family, through each way of feeding it; and what is refused."""

import pytest
import torch
from llama_models import KINDS, logits, tiny, tokens

from dslab.inference.cache import ContiguousCache, DictCache
from dslab.inference.llama import Llama

CLOSE = 2e-5  # of logits around 5


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_transformers(kind):
    model, ids = tiny(kind), tokens(2, 100)
    theirs = logits(model, ids)
    assert theirs.abs().max() > 1
    ours = Llama(model)
    assert (ours.forward(ids, logits="all") - theirs).abs().max() < CLOSE

    cache = ContiguousCache(128)  # a prompt in pieces, then token by token
    parts = [ours.forward(piece, cache, logits="all") for piece in (ids[:, :50], ids[:, 50:57])]
    parts += [ours.forward(ids[:, at : at + 1], cache) for at in range(57, 100)]
    assert (torch.cat(parts, 1) - theirs).abs().max() < CLOSE


@pytest.mark.parametrize("kind", ["llama3", "yarn"])
def test_a_scaled_rope_is_not_the_plain_one(kind):
    scaled, plain, ids = tiny(f"llama rope {kind}"), tiny("llama"), tokens(1, 100)
    assert (logits(scaled, ids) - logits(plain, ids)).abs().max() > 0.1


@pytest.mark.parametrize("leave_out", ["bias", "q_norm", "k_norm", "head", "positions", "eps"])
def test_a_part_left_out_shows(leave_out):
    model, ids = tiny("qwen3" if "_norm" in leave_out else "llama biases"), tokens(1, 60)
    ours = Llama(model)
    for layer in ours.layers:
        if leave_out == "bias":
            layer.qkv.bias = None
        elif leave_out == "eps":
            layer.mlp_norm.eps += 2
        elif leave_out != "positions" and leave_out != "head":
            setattr(layer, leave_out, ours.norm.__class__(torch.ones(32), 1e-5))
    if leave_out == "head":
        ours.head.weight = ours.embed
    places = torch.zeros(60, dtype=torch.long) if leave_out == "positions" else None
    assert (ours.forward(ids, logits="all", positions=places) - logits(model, ids)).abs().max() > 0.02


def test_what_comes_back():
    ours, ids = Llama(tiny()), tokens(2, 9)
    every = ours.forward(ids, logits="all")
    assert every.shape == (2, 9, 128)
    assert every.dtype == torch.float32
    last = ours.forward(ids)
    assert last.shape == (2, 1, 128)
    torch.testing.assert_close(last[:, 0], every[:, -1])
    hidden = ours.forward(ids, logits=None)
    assert hidden.shape == (2, 9, 64)
    torch.testing.assert_close(ours.scores(hidden), every)


def test_prefill_in_pieces_and_what_the_cache_is_told():
    ours, ids, cache = Llama(tiny()), tokens(1, 50), DictCache()
    got = ours.prefill(ids, cache, chunk=16)
    torch.testing.assert_close(got, ours.forward(ids)[:, -1])
    assert len(cache) == 50
    assert cache.tokens == ids[0].tolist()


def test_places_of_rows_may_differ():
    ours, ids = Llama(tiny()), tokens(1, 5)
    places = torch.stack([torch.arange(5), torch.arange(5) + 3])
    both = ours.forward(ids.repeat(2, 1), logits="all", positions=places)
    for row, position in enumerate(places):
        torch.testing.assert_close(both[row], ours.forward(ids, logits="all", positions=position)[0])
    torch.testing.assert_close(both[0], both[1])  # only distances count


def test_one_memory_for_both():
    model, ids = tiny("llama biases"), tokens()
    before = logits(model, ids)
    ours = Llama(model, share=True)
    assert (ours.forward(ids, logits="all") - before).abs().max() < CLOSE
    torch.testing.assert_close(logits(model, ids), before)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_proj.weight"):
                parameter.zero_()
    assert not any(layer.qkv.dense().any() or layer.down.dense().any() for layer in ours.layers)


def test_sharing_can_be_saved_again(tmp_path):
    model, ids = tiny(), tokens()
    before = logits(model, ids)
    Llama(model, share=True)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(again, ids), before)


def test_without_sharing_the_model_is_left_alone():
    model = tiny()
    addresses = [parameter.data_ptr() for parameter in model.parameters()]
    ours = Llama(model)
    assert [parameter.data_ptr() for parameter in model.parameters()] == addresses
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight.zero_()
    assert ours.layers[0].qkv.dense().abs().min() > 0


def test_sizes():
    c = Llama(tiny("qwen3")).config
    assert (c.layers, c.heads, c.kv_heads, c.head_dim, c.hidden, c.vocab, c.max_positions) == (
        2,
        4,
        2,
        32,
        64,
        128,
        256,
    )
    assert isinstance(c.eos_ids, tuple)
    assert Llama(tiny("mistral", sliding_window=32)).config.max_positions == 32  # up to there a window hides nothing


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.zeros(1, 0, dtype=torch.long), "at least one token"),
        (torch.zeros(3, dtype=torch.long), "at least one token"),
        (torch.tensor([[3, 128]]), "128 .*outside 0..127"),
        (torch.tensor([[-1, 3]]), "-1.*outside 0..127"),
        (torch.zeros(1, 257, dtype=torch.long), "place 256 is beyond the context of 256"),
    ],
)
def test_bad_tokens(ids, message):
    cache = DictCache()
    with pytest.raises(ValueError, match=message):
        Llama(tiny()).forward(ids, cache)
    assert len(cache) == 0


def test_the_context_counts_what_is_cached():
    ours, cache = Llama(tiny()), DictCache()
    ours.forward(tokens(1, 256), cache)
    with pytest.raises(ValueError, match="place 256 is beyond"):
        ours.forward(tokens(1, 1), cache)
    assert len(cache) == 256


def test_other_models_are_refused_by_name():
    import transformers

    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=8))
    with pytest.raises(ValueError, match="gpt2"):
        Llama(gpt2)
    with pytest.raises(ValueError, match="str"):
        Llama("smollm2")
    with pytest.raises(ValueError, match="dynamic"):
        Llama(tiny(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}))
    with pytest.raises(ValueError, match="silu"):
        Llama(tiny(hidden_act="gelu"))
    with pytest.raises(ValueError, match="weights must be one of fp32, bf16, int8, int4; got 'int3'"):
        Llama(tiny(), weights="int3")
    for model, weights in [(tiny(), "int8"), (tiny().bfloat16(), "fp32")]:
        with pytest.raises(ValueError, match="share=True needs"):
            Llama(model, weights=weights, share=True)


def test_loaded_from_a_folder(tmp_path):
    model, ids = tiny("qwen2"), tokens()
    model.save_pretrained(tmp_path)
    from llama_models import smollm2  # any tokenizer: the folder needs one

    smollm2()[1].save_pretrained(tmp_path)
    for weights in ("fp32", "int8"):
        made, loaded = Llama(model, weights), Llama.load(str(tmp_path), weights)
        assert loaded.config == made.config
        torch.testing.assert_close(loaded.forward(ids), made.forward(ids))


def test_adapters_are_to_be_merged_first():
    from dslab.lora import inject

    model = tiny()
    inject(model, "attention", r=2)
    with pytest.raises(ValueError, match="merge"):
        Llama(model)
