"""The loss is that of the answers, each token once, whatever stands around it."""

import pytest
import torch
import torch.nn.functional as F
from small import examples, llama, tokenizer
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from dslab.training import Collator, Encoded, answer_loss, batches, encode, mean_loss
from dslab.training.collate import order


def by_hand(model, rows):
    """Summed loss and its tokens: every row alone, without padding, token by token."""
    total, n = 0.0, 0
    for row in rows:
        said = model(torch.tensor([row.input_ids])).logits[0].double().log_softmax(-1)
        for t, label in enumerate(row.labels):
            if label != -100:
                total, n = total - said[t - 1, label].item(), n + 1
    return total, n


@pytest.fixture(scope="module")
def model():
    return llama()


@torch.no_grad()
def test_equal_to_the_sum_by_hand_and_to_transformers(model):
    rows = examples()
    batch = Collator(pad_id=2)(rows)
    total, n = by_hand(model, rows)
    assert answer_loss(model, batch).item() == pytest.approx(total / n, rel=1e-6)
    assert answer_loss(model, batch).item() == pytest.approx(model(**batch).loss.item(), rel=1e-6)
    assert answer_loss(model, batch, 10).item() == pytest.approx(total / 10, abs=1e-5)


def test_equal_gradients(model):
    batch = Collator()(examples(4))
    answer_loss(model, batch).backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model(**batch).loss.backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(ours[name], p.grad, rtol=1e-5, atol=1e-6)
    model.zero_grad()


@torch.no_grad()
def test_any_causal_model(model):
    """One with learned positions, one that puts out every logit whatever it is asked, one within peft."""
    from peft import LoraConfig, get_peft_model

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = llama()

        def forward(self, input_ids, attention_mask):
            return self.inner(input_ids, attention_mask)

    batch = Collator()(examples(5))
    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=45, n_embd=16, n_layer=1, n_head=2, initializer_range=0.3)).eval()
    assert answer_loss(gpt, batch).item() == pytest.approx(gpt(**batch).loss.item(), rel=1e-6)
    usual = answer_loss(model, batch).item()
    assert answer_loss(Whole(), batch).item() == pytest.approx(usual, rel=1e-6)
    adapted = get_peft_model(llama(), LoraConfig(target_modules=["q_proj"])).eval()
    assert answer_loss(adapted, batch).item() == pytest.approx(usual, rel=1e-6)


@torch.no_grad()
def test_the_head_runs_where_an_answer_is_predicted(model):
    rows = [Encoded(list(range(3, 33)), [-100] * 27 + [30, 31, 32]), Encoded([5] * 30, [-100] * 28 + [5, 5])]
    seen = []
    handle = model.lm_head.register_forward_hook(lambda module, args, out: seen.append(out.shape[1]))
    answer_loss(model, Collator()(rows))
    handle.remove()
    assert seen == [3]


@torch.no_grad()
def test_the_loss_knows_its_tokens(model):
    """Changing a prompt's token changes what is predicted, never what is counted; no label is a neighbour's."""
    sure = llama()
    successor = F.one_hot((torch.arange(45) + 1) % 45, 45).float() * 50

    class Counting(torch.nn.Module):
        """After token t comes t + 1, for certain."""

        def __init__(self):
            super().__init__()
            self.some = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, attention_mask):
            return sure.config and type("Output", (), {"logits": successor[input_ids]})

    right = Encoded([9, 30, 5, 6, 7, 8], [-100, -100, -100, 6, 7, 8])
    assert answer_loss(Counting(), Collator()([right])).item() < 1e-6
    assert answer_loss(Counting(), Collator()([Encoded([9, 30, 5], [-100, 30, 5])])).item() > 10


def test_the_end_of_turn_stays_learned_where_it_is_also_the_padding():
    tok = tokenizer()
    assert tok.pad_token_id == tok.eos_token_id
    long, short = encode(tok, "a", "b c d e f"), encode(tok, "a", "b")
    batch = Collator(tok.pad_token_id)([long, short])
    last = len(short.input_ids) - 1
    assert batch["labels"][1, last] == tok.eos_token_id
    assert (batch["labels"][1, last + 1 :] == -100).all()
    assert batch["attention_mask"][1].tolist() == [1] * (last + 1) + [0] * (len(long.input_ids) - last - 1)


def test_a_model_with_padding_equal_to_the_end_learns_to_stop():
    model, rows = (
        llama(initializer_range=0.02),
        [Encoded([5, 6, 2], [-100, 6, 2]), Encoded([7, 8, 9, 2], [-100, 8, 9, 2])],
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        answer_loss(model, Collator(2)(rows)).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert model.generate(torch.tensor([[5]]), do_sample=False, max_new_tokens=6).tolist() == [[5, 6, 2]]


@torch.no_grad()
def test_mean_loss_weighs_tokens_and_switches_dropout_off():
    model, rows = llama(attention_dropout=0.5), examples(7)
    model.train()
    model.model.layers[0].eval()
    total, n = by_hand(llama(), rows)
    assert mean_loss(model, rows, batch=3) == pytest.approx(total / n, abs=1e-5)
    assert model.training
    assert not model.model.layers[0].training, "each module's own mode comes back"


def test_nothing_to_learn_is_refused(model):
    with pytest.raises(ValueError, match="no answer token"):
        answer_loss(model, Collator()([Encoded([4, 5], [-100, -100])]))


def test_batches_take_every_example_before_any_comes_again():
    rows = examples(10)
    taken = list(batches(rows, steps=5, batch=4, seed=3))
    assert [len(step) for step in taken] == [4] * 5
    flat = [id(row) for step in taken for row in step]
    assert set(flat[:10]) == set(flat[10:]) == {id(row) for row in rows}
    assert flat[:10] != flat[10:]
    assert order(10, 20, 3) == order(10, 20, 3) != order(10, 20, 4)
    assert order(10, 12, 3) == order(10, 20, 3)[:12], "a longer run begins like a shorter one"
    for steps, batch, some in [(0, 4, rows), (1, 0, rows), (1, 1, [])]:
        with pytest.raises(ValueError, match="1 or more"):
            batches(some, steps, batch)


@torch.no_grad()
def test_fp32_from_bf16(model):
    batch = Collator()(examples(3))
    assert answer_loss(model, batch).dtype == answer_loss(llama().bfloat16(), batch).dtype == torch.float32


@torch.no_grad()
def test_soft_capped_logits_are_the_models_own():
    """Gemma squashes its logits after the head; a loss that took hidden states and head apart would miss it."""
    from transformers import Gemma2Config

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=45, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.5, initializer_range=0.3, sliding_window=4,
    )  # fmt: skip
    gemma = AutoModelForCausalLM.from_config(config).eval()
    batch = Collator()(examples(4))
    assert answer_loss(gemma, batch).item() == pytest.approx(gemma(**batch).loss.item(), rel=1e-6)
