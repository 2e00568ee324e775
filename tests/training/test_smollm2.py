"""On the real model: the loss is that of transformers, answers those of `generate`. Skipped where it is not at hand."""

import pytest
import torch

from dslab import models
from dslab.models import resolver
from dslab.training import Collator, answer_loss, encode, encode_rows, evaluate, prompt_ids, turn_end
from dslab.training.evaluation import ends

try:
    resolver.weights()
except resolver.WeightsNotFound as error:
    pytest.skip(str(error), allow_module_level=True)

ROWS = [
    {"prompt": "What is the capital of France?", "answer": "Paris."},
    {"prompt": "Write the date of 5 May 2024.", "answer": "2024-05-05"},
    {"prompt": "Say hi.", "answer": "hi"},
]


class Item:
    def __init__(self, prompt, answer):
        self.prompt, self.answer = prompt, answer


@pytest.fixture(scope="module")
def smollm():
    return models.load("smollm2")


def test_tokens(smollm):
    model, tokenizer = smollm
    row = encode(tokenizer, "Hi", "Yes.", system="")
    assert tokenizer.decode(row.input_ids) == (
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>"
    )
    assert tokenizer.decode([t for t in row.labels if t >= 0]) == "Yes.<|im_end|>"
    assert turn_end(tokenizer) == model.generation_config.eos_token_id == 2
    spared = len(prompt_ids(tokenizer, "Hi")) - len(prompt_ids(tokenizer, "Hi", system=""))
    assert spared == 21 - 5, "what the docstring of encode says an empty system turn saves"


@torch.no_grad()
def test_the_loss_is_that_of_transformers(smollm):
    model, tokenizer = smollm
    batch = Collator(tokenizer.eos_token_id)(encode_rows(ROWS, tokenizer))
    assert answer_loss(model, batch).item() == pytest.approx(model(**batch).loss.item(), abs=1e-6)


def test_answers_are_those_of_generate(smollm):
    model, tokenizer = smollm
    items, shots = [Item(**row) for row in ROWS], [Item("What is 1 + 1?", "2"), Item("And 2 + 2?", "4")]
    theirs = []
    for item in items:
        ids = torch.tensor([prompt_ids(tokenizer, item.prompt, shots=shots)])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)
        theirs.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
    assert ends(model, tokenizer) == {2}
    assert evaluate(model, tokenizer, items, shots=shots, max_new_tokens=12).outputs == theirs
