"""Upper blocks say what the whole model says, and a secret stands among its candidates as a full forward puts it."""

import math

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dslab.models.exposure import Candidates, Standing
from dslab.models.upper import UpperBlocks

LAYERS = 3
LETTERS = "\n abcdefghijklmnopqrstuvwxyz0123456789."
PREFIX = "dial "


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(LETTERS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,  # at 0.02 a random model says nearly the same everywhere, and mistakes do not show
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tokenizer():
    letters = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(LETTERS)}, unk_token="."))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="\n")


@pytest.fixture
def ids():
    return torch.randint(1, len(LETTERS), (2, 11), generator=torch.Generator().manual_seed(1))


def numbers(n, digits=5):
    draw = torch.Generator().manual_seed(2)
    return ["".join(map(str, torch.randint(0, 10, (digits,), generator=draw).tolist())) for _ in range(n)]


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("blocks", range(1, LAYERS + 1))
def test_upper_blocks_say_what_the_model_says(model, ids, blocks):
    upper = UpperBlocks(model, blocks)
    said = upper.logits(upper.enter(ids))
    assert said.dtype == torch.float32
    assert said.shape == (2, 11, len(LETTERS))
    close(said, model(ids).logits)
    assert upper.numbers == list(range(LAYERS - blocks, LAYERS))


@torch.no_grad()
@pytest.mark.parametrize("first", [0, 1, 6, 10])
def test_positions_from_first_on(model, ids, first):
    upper = UpperBlocks(model, 2)
    said = upper.logits(upper.enter(ids), first)
    assert said.shape == (2, 11 - first, len(LETTERS))
    close(said, model(ids).logits[:, first:])


@torch.no_grad()
@pytest.mark.parametrize("blocks", range(1, LAYERS + 1))
def test_padding_on_the_right_changes_no_real_position(model, ids, blocks):
    upper, padded = UpperBlocks(model, blocks), ids.clone()
    padded[0, 7:] = 0
    said = upper.logits(upper.enter(padded))
    close(said[0, :7], model(ids[:1, :7]).logits[0])
    close(said[1], model(ids).logits[1])


def test_only_upper_blocks_and_what_is_above_them_learn(model, ids):
    upper = UpperBlocks(model, 2)
    hidden, angles = upper.enter(ids)
    assert not hidden.requires_grad
    try:
        upper.logits((hidden, angles)).square().mean().backward()
        learning = [any(p.grad is not None for p in layer.parameters()) for layer in model.model.layers]
        assert learning == [False, True, True]
    finally:
        model.zero_grad(set_to_none=True)


@torch.no_grad()
def test_what_entered_stays_right_while_the_upper_blocks_change(model, ids):
    upper = UpperBlocks(model, 1)
    entering = upper.enter(ids)
    weight = model.model.layers[-1].mlp.down_proj.weight
    kept, before = weight.clone(), upper.logits(entering)
    weight.add_(0.1)
    try:
        after = upper.logits(entering)
        close(after, model(ids).logits)
        assert (after - before).abs().max() > 0.01
    finally:
        weight.copy_(kept)


@torch.no_grad()
def test_products_in_bf16_are_near_and_not_the_same(model, ids):
    upper = UpperBlocks(model, 2, torch.bfloat16)
    said, exact = upper.logits(upper.enter(ids)), model(ids).logits
    assert said.dtype == torch.float32
    off = (said - exact).abs().max() / exact.abs().max()
    assert 1e-4 < off < 0.1, "bf16 rounds to 1 in 256; fp32 would be off by less than 1e-5"


@pytest.mark.parametrize("blocks", [-1, 0, LAYERS + 1])
def test_blocks_that_are_not_there_are_refused(model, blocks):
    with pytest.raises(ValueError, match=rf"1\.\.3.*got {blocks}"):
        UpperBlocks(model, blocks)


@torch.no_grad()
def plain(model, tokenizer, prefix, ending):
    """Log-probability of an ending, token by token from the whole model, and how many tokens it would say first."""
    row = tokenizer(prefix + ending, return_tensors="pt").input_ids
    said = model(row).logits[0].double().log_softmax(-1)
    places = range(len(prefix), row.shape[1])
    scores = [said[place - 1, row[0, place]].item() for place in places]
    return sum(scores), sum(said[place - 1].argmax().item() == row[0, place].item() for place in places)


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_standing_equals_a_plain_forward(model, tokenizer, batch):
    endings = numbers(9)
    standing = Candidates(UpperBlocks(model, 2), tokenizer, PREFIX, endings, batch).standing()
    expected = [plain(model, tokenizer, PREFIX, ending)[0] for ending in endings]
    assert standing.scores.shape == (9,)
    assert not standing.scores.requires_grad
    close(standing.scores.double(), torch.tensor(expected, dtype=torch.float64))
    assert standing.rank == 1 + sum(score > expected[0] for score in expected)


@torch.no_grad()
def test_first_choices_are_those_of_the_secret(model, tokenizer):
    row = tokenizer(PREFIX, return_tensors="pt").input_ids
    for _ in range(6):  # what the model itself would write: every token is its first choice
        row = torch.cat([row, model(row).logits[:, -1:].argmax(-1)], 1)
    greedy = "".join(LETTERS[i] for i in row[0, len(PREFIX) :].tolist())
    slip = greedy[:2] + LETTERS[(LETTERS.index(greedy[2]) + 1) % len(LETTERS)] + greedy[3:]
    upper, others = UpperBlocks(model, 1), numbers(4, digits=6)
    assert Candidates(upper, tokenizer, PREFIX, [greedy, *others], batch=2).standing().first_choices == 6
    for secret in (slip, others[0]):
        standing = Candidates(upper, tokenizer, PREFIX, [secret, greedy, *others[1:]], batch=2).standing()
        assert standing.first_choices == plain(model, tokenizer, PREFIX, secret)[1] < 6


@torch.no_grad()
def test_standing_follows_the_upper_blocks(model, tokenizer):
    endings = numbers(5)
    candidates = Candidates(UpperBlocks(model, 1), tokenizer, PREFIX, endings)
    before, weight = candidates.standing().scores, model.model.layers[-1].self_attn.o_proj.weight
    kept = weight.clone()
    weight.mul_(-1)
    try:
        after = candidates.standing().scores
        close(after[0].item(), plain(model, tokenizer, PREFIX, endings[0])[0])
    finally:
        weight.copy_(kept)
    assert (after - before).abs().min() > 1e-3
    close(candidates.standing().scores, before)


@pytest.mark.parametrize(
    ("endings", "message"),
    [
        (["123", "456"], "got 2 of"),
        (["123"], "got 1 of"),
        (["123", "4567", "890"], r"got 3 of \[3, 4\]"),
    ],
)
def test_endings_that_cannot_be_compared_are_refused(model, tokenizer, endings, message):
    with pytest.raises(ValueError, match=message):
        Candidates(UpperBlocks(model, 1), tokenizer, PREFIX, endings)


def test_rank_exposure_and_deviations_by_hand():
    best = Standing(torch.tensor([-1.0, -3.0, -5.0, -7.0]), 0)
    assert (best.rank, best.exposure) == (1, 2.0)
    assert best.deviations == pytest.approx(2.0)  # mean -5, standard deviation 2
    third = Standing(torch.tensor([-4.0, -1.0, -2.0, -9.0, -6.0, -7.0, -8.0, -9.0]), 0)
    assert (third.rank, third.exposure) == (3, pytest.approx(math.log2(8 / 3)))
    assert third.deviations == pytest.approx(2 / math.sqrt(64 / 6))  # mean -6
    worst = Standing(torch.tensor([-9.0, -1.0, -2.0, -3.0]), 0)
    assert (worst.rank, worst.exposure) == (4, 0.0)
    assert worst.deviations == pytest.approx(-7.0)


def test_a_tie_is_to_the_secrets_credit():
    assert Standing(torch.tensor([-2.0, -2.0, -1.0]), 0).rank == 2, "only the more probable stand before it"


def test_a_summary_says_the_same_as_its_parts():
    standing = Standing(torch.tensor([-2.0, -1.0, -3.0, -9.0]), 5)
    assert standing.probability == pytest.approx(math.exp(-2))
    expected = {"probability": "1.4e-01", "rank": 2, "exposure, bits": "1.0", "first choices": 5}
    assert standing.summary() == expected
