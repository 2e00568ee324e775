"""Answers in batches are those that `generate` gives one by one, and the count of right ones has an honest interval."""

import pytest
import torch
from small import SMALL, Item, llama, tokenizer
from transformers import AutoModelForCausalLM, DeepseekV3Config, GPT2Config, MambaConfig, MistralConfig

from dslab.training import evaluate, prompt_ids, wilson
from dslab.training.evaluation import ends, greedy

ITEMS = [
    Item(p, "x") for p in ("a", "what is 1 and 2?", "b c d", "the date of may 5: 2024", "z?", "zz", "say 7 7 7 7 7")
]
SHOTS = [Item("one", "1"), Item("two", "2")]


CONFIGS = {
    "learned positions": lambda: GPT2Config(vocab_size=45, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3),
    "windows": lambda: MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=24),
    "latent attention and experts": lambda: DeepseekV3Config(
        **SMALL, num_key_value_heads=4, moe_intermediate_size=16, n_routed_experts=4, num_experts_per_tok=2, n_group=1,
        topk_group=1, first_k_dense_replace=1, q_lora_rank=16, kv_lora_rank=8, qk_rope_head_dim=8, qk_nope_head_dim=8,
        v_head_dim=8,
    ),
    "a state, no keys": lambda: MambaConfig(
        vocab_size=45, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.3, use_mambapy=False
    ),
}  # fmt: skip


def one_by_one(model, tok, items, stops, n, **options):
    said = []
    for item in items:
        ids = torch.tensor([prompt_ids(tok, item.prompt, **options)])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=n,
                             eos_token_id=sorted(stops), pad_token_id=2)  # fmt: skip
        said.append(tok.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
    return said


@pytest.fixture(scope="module")
def tok():
    return tokenizer()


@pytest.mark.parametrize(("kind", "shots"), [("llama", ()), ("llama", SHOTS), *((kind, SHOTS[:1]) for kind in CONFIGS)])
def test_equal_to_generate_one_by_one(kind, shots, tok):
    """The random models say something else to each prompt, so that a shifted position shows within a few tokens."""
    torch.manual_seed(0)
    model = llama() if kind == "llama" else AutoModelForCausalLM.from_config(CONFIGS[kind]()).eval()
    theirs = one_by_one(model, tok, ITEMS, ends(model, tok), 6, shots=shots)
    assert len(set(theirs)) > 2, "a model that always says the same would prove nothing"
    for batch in (3, 25):
        assert evaluate(model, tok, ITEMS, shots=shots, max_new_tokens=6, batch=batch).outputs == theirs


def test_the_shared_prefix_is_run_once(tok):
    model, seen = llama(), []
    handle = model.model.embed_tokens.register_forward_hook(lambda module, args, out: seen.append(tuple(args[0].shape)))
    evaluate(model, tok, ITEMS, shots=SHOTS, max_new_tokens=1, batch=4)
    handle.remove()
    ids = [prompt_ids(tok, item.prompt, shots=SHOTS) for item in ITEMS]
    shared = next(i for i, column in enumerate(zip(*ids, strict=False)) if len(set(column)) > 1)
    assert shared > 60
    assert seen[0] == (1, shared)
    assert [rows for rows, _ in seen[1:]] == [4, 3]
    assert max(width for _, width in seen[1:]) == max(map(len, ids)) - shared


def test_it_stops_when_all_have_ended(tok):
    """A model that says 'b' after 'a' or a line break, and ends after 'b'."""

    class Chain(torch.nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.some = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, attention_mask=None, use_cache=True):
            Chain.calls += 1
            b = tok.convert_tokens_to_ids("b")
            token = torch.where(input_ids == b, tok.eos_token_id, b)
            logits = torch.nn.functional.one_hot(token, 45).float()
            return type("Output", (), {"logits": logits})

    result = evaluate(Chain(), tok, [Item("a", "b"), Item("c d", "no")], max_new_tokens=40)
    assert result.outputs == ["b", "b"]
    assert result.rights == [True, False]
    assert Chain.calls < 5


def test_rows_that_have_ended_leave_the_batch_and_nothing_else_changes(tok):
    """Any of the first eight tokens ends an answer, so that rows end one after the other."""
    model, prompts, rows = llama(), [prompt_ids(tok, item.prompt, shots=SHOTS) for item in ITEMS], []
    stops = set(range(8))
    alone = [greedy(model, [ids], stops, 20)[0] for ids in prompts]
    assert len({len(answer) for answer in alone}) > 2, "answers of one length would prove nothing"
    handle = model.model.embed_tokens.register_forward_hook(lambda module, args, out: rows.append(len(args[0])))
    assert greedy(model, prompts, stops, 20) == alone
    handle.remove()
    assert rows[1] == len(ITEMS) > rows[-1]


def test_equal_prompts_and_single_ones(tok):
    model = llama()
    alone = evaluate(model, tok, ITEMS[1:2], max_new_tokens=5).outputs
    assert evaluate(model, tok, [ITEMS[1]] * 3, max_new_tokens=5).outputs == alone * 3
    assert greedy(model, [[5], [6]], set(), 3) == [greedy(model, [[i]], set(), 3)[0] for i in (5, 6)]


def test_dropout_is_off_and_modes_come_back(tok):
    noisy = llama(attention_dropout=0.8).train()
    noisy.model.layers[1].eval()
    assert (
        evaluate(noisy, tok, ITEMS, max_new_tokens=8).outputs == evaluate(llama(), tok, ITEMS, max_new_tokens=8).outputs
    )
    assert noisy.training
    assert not noisy.model.layers[1].training


def test_no_graph_is_kept_and_parameters_stay_usable(tok):
    model = llama()
    evaluate(model, tok, ITEMS[:2], max_new_tokens=2)
    model(torch.tensor([[5, 6]]), labels=torch.tensor([[5, 6]])).loss.backward()


def test_the_score_is_the_callers_and_the_interval_is_wilsons(tok):
    result = evaluate(llama(), tok, ITEMS, max_new_tokens=2, score=lambda output, answer: answer == "x")
    assert (result.accuracy, result.n) == (1.0, len(ITEMS))
    assert (result.low, result.high) == wilson(7, 7)
    assert str(result) == "1.00 [0.65, 1.00], n = 7"
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    for right, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(right, n) == pytest.approx((low, high), abs=6e-5)


def test_nothing_to_ask_is_refused(tok):
    with pytest.raises(ValueError, match="got 0 items"):
        evaluate(llama(), tok, [])
    with pytest.raises(ValueError, match="max_new_tokens=0"):
        evaluate(llama(), tok, ITEMS, max_new_tokens=0)
