"""The plug-in against eager attention with the same 4-D mask, on tiny models of five architectures."""

import pytest
import torch
from torch.nn import functional as F

from dslab.attention import blocks, causal, document, global_tokens, local_window, register, sinks

transformers = pytest.importorskip("transformers")
NAME, VOCAB, LENGTH = "dslab_test", 64, 70
MASK = causal() & (local_window(9) | sinks(3))
TINY = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 4096, "pad_token_id": 0, "eos_token_id": None,
    "bos_token_id": 1,
}  # fmt: skip
MLA = {
    "num_key_value_heads": 4, "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "q_lora_rank": 16, "kv_lora_rank": 16,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12, "first_k_dense_replace": 1, "head_dim": 8,
}  # fmt: skip
ARCHITECTURES = {
    "llama": {},
    "qwen3": {},
    "mistral": {"sliding_window": 6},
    "gemma3_text": {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"],
                    "query_pre_attn_scalar": 20},
    "deepseek_v3": MLA,
}  # fmt: skip


def build(kind, **changes):
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **{**TINY, **ARCHITECTURES.get(kind, {}), **changes})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():  # default initialisation makes attention nearly uniform, which hides errors
        for name, parameter in model.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight", "q_b_proj.weight", "kv_b_proj.weight")):
                parameter.mul_(20)
    return model


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    return build(request.param)


@pytest.fixture(scope="module")
def llama():
    return build("llama")


def tokens(batch=2, length=LENGTH, seed=0):
    return torch.randint(1, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))


def use(model, mask=MASK):
    model.set_attn_implementation(register(mask, NAME))
    return model


def eager(model, ids, mask=MASK, **options):
    """Logits with the dense mask of the definition, and the model's own window where a layer has one."""
    model.set_attn_implementation("eager")
    size, batch = ids.shape[1], len(ids)
    full = mask.lenient() & causal()
    window = getattr(model.config, "sliding_window", None)
    narrow = full & local_window(window) if window else full
    full, narrow = (m.bias(size)[None, None].expand(batch, 1, -1, -1) for m in (full, narrow))
    if model.config.model_type == "gemma3_text":
        return model(ids, attention_mask={"full_attention": full, "sliding_attention": narrow}, **options)
    return model(ids, attention_mask=narrow, **options)


def error(ours, theirs):
    return float((ours - theirs).abs().max())


@torch.no_grad()
def test_logits_equal_eager_with_the_same_mask(model):
    ids = tokens()
    expected = eager(model, ids).logits
    everything = eager(model, ids, causal()).logits
    assert error(use(model)(ids).logits, expected) <= 1e-5
    assert error(model(ids, attention_mask=torch.ones_like(ids)).logits, expected) <= 1e-5
    if model.config.model_type != "mistral":  # whose own window is narrower than ours
        assert error(everything, expected) > 1e-2  # the mask matters, so the equality above says something


@torch.no_grad()
def test_long_input_takes_the_sparse_path(llama, monkeypatch):
    import dslab.attention.sparse as sparse

    taken = []
    kernel = sparse.block_sparse_attention
    monkeypatch.setattr(sparse, "block_sparse_attention", lambda *a, **kw: (taken.append(1), kernel(*a, **kw))[1])
    ids = tokens(1, 1500)
    assert error(use(llama)(ids).logits, eager(llama, ids).logits) <= 1e-5
    assert taken == [1, 1]  # once in each layer


def padded(ids, left, right):
    """Each row of ids between its own paddings, cut so that all rows have one length; attention_mask; position_ids."""
    width = ids.shape[1]
    real = torch.zeros_like(ids)
    out = torch.zeros_like(ids)
    for row, (before, after) in enumerate(zip(left, right, strict=True)):
        out[row, before : width - after] = ids[row, : width - before - after]
        real[row, before : width - after] = 1
    return out, real, (real.cumsum(1) - 1).clamp(min=0)


@torch.no_grad()
@pytest.mark.parametrize(("left", "right"), [((0, 11, 3), (0, 0, 0)), ((0, 0, 0), (0, 11, 3)), ((5, 0, 5), (0, 9, 2))])
def test_padded_rows_have_the_logits_of_unpadded_ones(model, left, right):
    ids = tokens(3)
    batch, real, position_ids = padded(ids, left, right)
    logits = use(model)(batch, attention_mask=real, position_ids=position_ids).logits
    assert logits.isfinite().all()
    for row in range(3):
        size = LENGTH - left[row] - right[row]
        alone = eager(model, ids[row : row + 1, :size]).logits
        assert error(logits[row : row + 1, left[row] : left[row] + size], alone) <= 1e-5


def greedy(model, ids, steps):
    """Teacher-forced greedy decoding: eager attention over the whole prefix at each step, no cache."""
    for _ in range(steps):
        ids = torch.cat([ids, eager(model, ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return ids


@torch.no_grad()
@pytest.mark.parametrize("cache", ["dynamic", "static", None])
def test_generate_with_left_padding(model, cache):
    # Prompts both shorter and longer than the windows; the sinks lie outside the window by the end.
    steps, lengths, ids = 8, (2, 25, 17), tokens(3, 25)
    batch, real, _ = padded(ids, [25 - n for n in lengths], (0, 0, 0))
    options = {"use_cache": False} if cache is None else {"cache_implementation": cache}
    out = use(model).generate(batch, attention_mask=real, max_new_tokens=steps, do_sample=False, **options)
    for row, size in enumerate(lengths):
        expected = greedy(model, ids[row : row + 1, :size], steps)
        assert out[row, 25:].tolist() == expected[0, size:].tolist(), f"row {row} of {size} tokens"


@torch.no_grad()
@pytest.mark.parametrize("kind", ["dynamic", "static", "sliding"])
def test_chunked_prefill_and_decoding_with_a_cache(kind, llama):
    """Pieces of 30, 1 and several tokens through one cache give the logits of one pass, also with left padding."""
    model = build("mistral", sliding_window=12) if kind == "sliding" else llama
    mask = causal() & (local_window(9) | sinks(3) | global_tokens([5, 40]))
    ids = tokens(2)
    batch, real, position_ids = padded(ids, (0, 7), (0, 0))
    static = transformers.StaticCache(config=model.config, max_cache_len=LENGTH + 13)
    cache = static if kind == "static" else transformers.DynamicCache(config=model.config)
    use(model, mask)
    pieces, at = [], 0
    for size in (30, 1, 20, 1, 1, 17):
        here = slice(at, at + size)
        at += size
        pieces.append(
            model(batch[:, here], attention_mask=real[:, :at], position_ids=position_ids[:, here],
                  past_key_values=cache).logits
        )  # fmt: skip
    logits = torch.cat(pieces, dim=1)
    for row, pad in enumerate((0, 7)):
        alone = eager(model, ids[row : row + 1, : LENGTH - pad], mask).logits
        assert error(logits[row : row + 1, pad:], alone) <= 1e-5


@torch.no_grad()
def test_a_hole_in_the_attention_mask_is_not_attended(llama):
    ids = tokens(2)
    real = torch.ones_like(ids)
    real[1, [0, 1, 30, 31]] = 0
    logits = use(llama)(ids, attention_mask=real).logits
    llama.set_attn_implementation("eager")
    place = torch.arange(LENGTH)
    for row, first in ((0, 0), (1, 2)):
        allowed = MASK.allowed(place[:, None] - first, place[None] - first) & real[row].bool()
        bias = torch.zeros(LENGTH, LENGTH).masked_fill(~allowed, float("-inf"))
        bias[real[row] == 0] = 0  # padded queries: anything finite
        expected = llama(ids[row : row + 1], attention_mask=bias[None, None]).logits[0]
        assert error(logits[row][real[row] == 1], expected[real[row] == 1]) <= 1e-5


def test_a_row_of_padding_and_training(model):
    """Gradients equal eager's; a row that holds no token gives finite gradients."""
    ids = tokens(2, 40)
    eager(model, ids).logits.square().mean().backward()
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    use(model).train()
    model(ids).logits.square().mean().backward()
    model.eval()
    for name, parameter in model.named_parameters():
        if name in expected:
            bound = 1e-5 * max(1.0, float(expected[name].abs().max()))
            assert error(parameter.grad, expected[name]) <= bound, name
    model.zero_grad(set_to_none=True)
    real = torch.ones_like(ids)
    real[1] = 0
    model(ids, attention_mask=real).logits.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    model.zero_grad(set_to_none=True)


@torch.no_grad()
def test_masks_that_name_places(llama):
    """Global tokens that do not exist yet are absent; tables that end too early are refused in the forward pass."""
    ids = tokens(1, 20)
    late = causal() & (local_window(4) | global_tokens([0, 500]))
    early = causal() & (local_window(4) | global_tokens([0]))
    assert error(use(llama, late)(ids).logits, eager(llama, ids, early).logits) <= 1e-5
    with pytest.raises(ValueError, match="16"):
        use(llama, causal() & document([0] * 16))(ids)
    with pytest.raises(ValueError, match="16"):
        use(llama, causal() & blocks(torch.ones(1, 1, dtype=torch.bool), 16))(ids)


@torch.no_grad()
def test_a_mask_that_forgets_causality_stays_causal(llama):
    ids = tokens(1, 30)
    assert error(use(llama, local_window(5))(ids).logits, eager(llama, ids, causal() & local_window(5)).logits) <= 1e-5


def test_what_cannot_be_honoured_is_refused(llama):
    ids = tokens(1, 12)
    use(llama)
    with pytest.raises(ValueError, match="2-D attention_mask"):
        llama(ids, attention_mask=torch.zeros(1, 1, 12, 12))
    with pytest.raises(ValueError, match="packed sequences"):
        llama(ids, position_ids=torch.tensor([[*range(7), *range(5)]]), use_cache=False)
    past = llama(ids).past_key_values
    with pytest.raises(ValueError, match="cached ones too"):
        llama(ids[:, :1], attention_mask=torch.ones(1, 1), past_key_values=past)
    with pytest.raises(ValueError, match="register takes a"):
        register(torch.ones(3, 3))
    for name in ("my_sdpa", "flex_attention_2", "", "flash_x"):
        with pytest.raises(ValueError, match="choose one like"):
            register(MASK, name)


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("llama", {"attention_dropout": 0.1}, "attention_dropout to 0"),
        ("gemma2", {"attn_logit_softcapping": 50.0}, "softcap"),
        ("gpt_oss", {"num_local_experts": 2, "num_experts_per_tok": 1}, "s_aux"),
        ("deepseek_v32", {**MLA, "index_topk": 8, "index_head_dim": 16, "index_n_heads": 2}, "index_topk"),
    ],
)
def test_models_that_need_more_are_refused(kind, changes, says):
    model = use(build(kind, **changes)).train()
    with pytest.raises(ValueError, match=says):
        model(tokens(1, 12))


def test_heads_share_keys_and_the_output_layout_is_by_token():
    """The function itself: grouped heads, its own scale, value width unlike key width, [B, L, H, D] out."""
    register(MASK, NAME)
    attend = transformers.AttentionInterface()[NAME]
    layout = transformers.AttentionMaskInterface()[NAME](1, 20, 20)
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, 20, width, generator=g) for heads, width in ((6, 8), (2, 8), (2, 5)))
    out, weights = attend(torch.nn.Identity(), q, k, v, layout, scaling=0.7)
    expected = F.scaled_dot_product_attention(
        q, k.repeat_interleave(3, 1), v.repeat_interleave(3, 1), attn_mask=MASK.dense(20), scale=0.7
    )
    assert weights is None
    assert out.shape == (1, 20, 6, 5)
    assert error(out, expected.transpose(1, 2)) <= 1e-6
