"""How many answers are right: greedy, in batches, without reading the examples again for every question.

The prompts of a task begin alike: the system turn, the examples, the instructions. These tokens are run once; their
keys and values are then repeated for every row of a batch. What differs is padded on the left, so that all rows end
where the answers begin, and every token keeps the position that it has without padding.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch

from dslab.training.chat import Shot, prompt_ids, turn_end
from dslab.training.loss import arguments, evaluating

Score = Callable[[str, str], bool]


def exact_match(output: str, answer: str) -> bool:
    """Whether the two are the same text, white space around them aside.

    >>> exact_match(" 2024-02-29 ", "2024-02-29"), exact_match("2024-02-29.", "2024-02-29")
    (True, False)
    """
    return output.strip() == answer.strip()


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, which stays inside 0 to 1 and does not shrink to nothing at either end.

        (p + z^2/2n  -+  z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n),    p = right/n, z = 1.96

    Wilson 1927, doi.org/10.1080/01621459.1927.10502953.

    >>> [round(x, 4) for x in wilson(81, 263)], wilson(0, 10)[0]
    ([0.2553, 0.3662], 0.0)
    """
    z = 1.959963984540054
    p, shrink = right / n, 1 + z * z / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / shrink), min(1.0, (middle + half) / shrink)


@dataclass(frozen=True)
class Evaluation:
    """accuracy: share of right answers of n; low, high: its 95 % interval. outputs, rights: for each item, in order."""

    accuracy: float
    low: float
    high: float
    n: int
    outputs: list[str] = field(repr=False)
    rights: list[bool] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.accuracy:.2f} [{self.low:.2f}, {self.high:.2f}], n = {self.n}"


def evaluate(
    model: Any, tokenizer: Any, items: Sequence[Shot], *, shots: Sequence[Shot] = (), system: str | None = None,
    max_new_tokens: int = 48, score: Score = exact_match, batch: int = 25,
) -> Evaluation:  # fmt: skip
    """Answer every item and count.

    items, shots:  with .prompt and .answer; the shots are shown before each item as turns of their own.
    system:        as in `encode`; the one that the model was tuned with.
    score:         score(output, answer) -> whether it is right. The output is what comes before the end of turn.
    batch:         rows at a time; the memory goes with it.
    Dropout is off; every module's mode is put back. Raises ValueError for no items or max_new_tokens below 1.
    """
    if not items or max_new_tokens < 1:
        raise ValueError(f"expected items and max_new_tokens of 1 or more; got {len(items)} items, {max_new_tokens=}")
    prompts = [prompt_ids(tokenizer, item.prompt, system=system, shots=shots) for item in items]
    answers = greedy(model, prompts, ends(model, tokenizer), max_new_tokens, batch)
    outputs = [tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
    rights = [bool(score(output, item.answer)) for output, item in zip(outputs, items, strict=True)]
    low, high = wilson(sum(rights), len(rights))
    return Evaluation(sum(rights) / len(rights), low, high, len(rights), outputs, rights)


def ends(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer: those of the model's generation settings, and the one that `encode` teaches."""
    settings = getattr(model, "generation_config", None)
    own = getattr(settings, "eos_token_id", None)
    return {turn_end(tokenizer), *(own if isinstance(own, list) else [own] if own is not None else [])}


@torch.inference_mode()
def greedy(
    model: Any, prompts: Sequence[list[int]], ends: set[int], max_new_tokens: int, batch: int = 25
) -> list[list[int]]:
    """The most probable next token, again and again, for each prompt; up to its end, which is left out."""
    with evaluating(model):
        shared, cache = _prefix(model, prompts)
        answers: list[list[int]] = [[] for _ in prompts]
        by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # the less padding
        for at in range(0, len(prompts), batch):
            rows = by_length[at : at + batch]
            made = _batch(model, [prompts[i][shared:] for i in rows], shared, cache, ends, max_new_tokens)
            for i, ids in zip(rows, made, strict=True):
                answers[i] = list(takewhile(lambda token: token not in ends, ids))
    return answers


def _prefix(model: Any, prompts: Sequence[list[int]]) -> tuple[int, Any]:
    """Length of what all prompts begin with, and its keys and values for one row."""
    shortest = min(len(ids) for ids in prompts)
    same = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts, strict=False))
    shared = min(sum(1 for _ in same), shortest - 1)  # one token at least is each row's own, to go on from
    if not shared or len(prompts) == 1:
        return 0, None
    ids = torch.tensor([prompts[0][:shared]], device=next(model.parameters()).device)
    cache: Any = model(input_ids=ids, use_cache=True, **_last_only(model))
    cache = getattr(cache, "past_key_values", None)
    return (shared, cache) if _is_plain(cache) else (0, None)


def _batch(
    model: Any, rows: list[list[int]], shared: int, cache: Any, ends: set[int], max_new_tokens: int
) -> list[list[int]]:
    device = next(model.parameters()).device
    width, n = max(map(len, rows)), len(rows)
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows], device=device)
    here = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    mask = torch.cat([here.new_ones(n, shared), here], 1)
    if cache is not None:
        cache = copy.deepcopy(cache)
        cache.batch_repeat_interleave(n)
    options, stops = _last_only(model), torch.tensor(sorted(ends), device=device)
    by_position = "position_ids" in arguments(model)
    answers, going = [list[int]() for _ in rows], list(range(n))  # whose answer each row of the batch is
    ended = torch.zeros(n, dtype=torch.bool, device=device)
    while True:
        if by_position:
            options["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if cache is not None:
            options["past_key_values"] = cache
        out = model(input_ids=ids, attention_mask=mask, use_cache=True, **options)
        chosen = out.logits[:, -1].argmax(-1)
        for i, token in zip(going, chosen.tolist(), strict=True):
            answers[i].append(token)
        ended |= torch.isin(chosen, stops)
        if len(answers[going[0]]) == max_new_tokens or bool(ended.all()):
            return answers
        mask = torch.cat([mask, mask.new_ones(len(going), 1)], 1)
        cache = getattr(out, "past_key_values", None)  # a model without one reads everything again
        ids = chosen[:, None] if cache is not None else torch.cat([ids, chosen[:, None]], 1)
        if 4 * int(ended.sum()) >= len(going) and (cache is None or _is_plain(cache)):  # rows that ended leave
            rest = (~ended).nonzero()[:, 0]
            going, ids, mask, ended = [going[i] for i in rest.tolist()], ids[rest], mask[rest], ended[rest]
            if cache is not None:
                cache.batch_select_indices(rest)


def _is_plain(cache: Any) -> bool:
    """Whether a cache holds the keys and values of all positions, row by row, and nothing else.

    Windows and states of other kinds count places, not positions: padding inside would shift them.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)


def _last_only(model: Any) -> dict[str, Any]:
    """The head on the last position only, where the model can do that."""
    return {"logits_to_keep": 1} if "logits_to_keep" in arguments(model) else {}
