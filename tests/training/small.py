"""A tiny model and a tiny tokenizer with a chat template: what the tests of training share."""

from dataclasses import dataclass

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dslab.training import Encoded

LETTERS = "\n abcdefghijklmnopqrstuvwxyz0123456789:?."
SPECIAL = ["<pad>", "<bos>", "<end>", "<turn>"]
TEMPLATE = (
    "<bos>{% if messages[0].role != 'system' %}<turn>system\nbe nice<end>\n{% endif %}"
    "{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)
SMALL = {
    "vocab_size": len(SPECIAL) + len(LETTERS), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 512, "pad_token_id": 2, "bos_token_id": 1, "eos_token_id": 2,
    "initializer_range": 0.3,  # at 0.02 all logits are nearly alike, and mistakes do not show
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    prompt: str
    answer: str


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A token for every letter; pads with the end of turn, as many do."""
    letters = Tokenizer(models.WordLevel({t: i for i, t in enumerate([*SPECIAL, *LETTERS])}, unk_token="."))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    letters.decoder = decoders.Fuse()
    letters.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    made = PreTrainedTokenizerFast(
        tokenizer_object=letters, pad_token="<end>", bos_token="<bos>", eos_token="<end>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    made.chat_template = template
    return made


def llama(seed: int = 0, **config: object) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**(SMALL | {"num_key_value_heads": 2} | config))).eval()


def examples(n: int = 12, seed: int = 0, vocabulary: int = 40) -> list[Encoded]:
    """Random ones with prompts and answers of very different lengths; every answer ends in token 2."""
    draw = torch.Generator().manual_seed(seed)

    def tokens(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (1,), generator=draw))
        return torch.randint(3, vocabulary, (length,), generator=draw).tolist()

    made = []
    for _ in range(n):
        prompt, answer = tokens(1, 20), [*tokens(1, 12), 2]
        made.append(Encoded(prompt + answer, [-100] * len(prompt) + answer))
    return made
