"""A question and its answer as tokens and labels, in the form the model was made for.

    tokens   <the template around the prompt> <answer> <end of turn>
    labels    -100 for each of these           answer   end of turn

-100 is what cross_entropy leaves out. Prompt and answer are cut into tokens apart, as they are when the model is used:
there the prompt is given and the answer starts with a token of its own. The end of turn is learned, or the model would
never stop; the line break that templates put after it is not, since nothing is read past the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

IGNORED = -100
_PROBE = "0answer0"


class Shot(Protocol):
    """A question with its answer, shown before the real question."""

    @property
    def prompt(self) -> str: ...
    @property
    def answer(self) -> str: ...


@dataclass(frozen=True)
class Encoded:
    """One example. input_ids, labels: of equal length; labels[t] is input_ids[t] or -100, not shifted."""

    input_ids: list[int]
    labels: list[int]


def encode(
    tokenizer: Any, prompt: str, answer: str, *, system: str | None = None, max_length: int | None = None
) -> Encoded:
    """One question and answer.

    system:      None leaves the first turn to the template, so that the tuned model is right for whoever uses the
                 template as it is: SmolLM2's opens with "You are a helpful AI assistant named SmolLM, ...", 21 tokens.
                 "" is an empty system turn, 5 tokens there. Use the same one to train and to evaluate.
    max_length:  tokens; the rest of a longer example is cut off, its end of turn first.
    Raises       TypeError for what is not text; ValueError for an empty answer, for a prompt that alone fills
                 max_length, and where the template knows no system turn.
    """
    for name, value in (("prompt", prompt), ("answer", answer)):
        if not isinstance(value, str):
            raise TypeError(f"the {name} must be a str, got {type(value).__name__}: {value!r:.60}")
    if not answer.strip():
        raise ValueError("the answer is empty: there is nothing to learn; leave this row out")
    before = prompt_ids(tokenizer, prompt, system=system)
    if max_length is not None and len(before) >= max_length:
        raise ValueError(
            f"the prompt alone has {len(before)} tokens and max_length is {max_length}: nothing of the answer would be "
            "left to learn; raise max_length or shorten the prompt"
        )
    after = [*tokenizer(answer, add_special_tokens=False)["input_ids"], turn_end(tokenizer)]
    return Encoded((before + after)[:max_length], ([IGNORED] * len(before) + after)[:max_length])


def encode_rows(
    rows: Iterable[Any], tokenizer: Any, prompt: str = "prompt", answer: str = "answer", *,
    system: str | None = None, max_length: int | None = None,
) -> list[Encoded]:  # fmt: skip
    """All rows, or an error that names the first bad one: before training starts, not an hour into it.

    rows:            mappings (also a `datasets.Dataset`) or objects such as a task's items.
    prompt, answer:  the names of the two columns.
    Warns            once, with the number of rows whose answer is cut at max_length: they do not teach to stop.
    Raises           as `encode`, and ValueError for no rows and for a row without the columns.
    """
    encoded = []
    for number, row in enumerate(rows):
        try:
            encoded.append(
                encode(tokenizer, _cell(row, prompt), _cell(row, answer), system=system, max_length=max_length)
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"row {number}: {error}") from None
    if not encoded:
        raise ValueError("no rows: there is nothing to learn from (was an iterator used up?)")
    end = turn_end(tokenizer)
    if cut := sum(row.labels[-1] != end for row in encoded):
        warnings.warn(
            f"{cut} of {len(encoded)} answers are cut at max_length={max_length}; they do not teach the model to stop",
            stacklevel=2,
        )
    return encoded


def prompt_ids(tokenizer: Any, prompt: str, *, system: str | None = None, shots: Sequence[Shot] = ()) -> list[int]:
    """The tokens after which the model is to answer.

    With a chat template: its turns, up to and with the opening of the answer. Without: the texts, a line break after
    the prompt and an empty line after each shot.
    """
    if not tokenizer.chat_template:
        text = f"{system}\n\n" if system else ""
        text += "".join(f"{shot.prompt}\n{shot.answer}\n\n" for shot in shots) + f"{prompt}\n"
        ids = list(tokenizer(text)["input_ids"])
        return ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids  # some put an end after every text
    turns = [{"role": "system", "content": system}] if system is not None else []
    for shot in shots:
        turns += [{"role": "user", "content": shot.prompt}, {"role": "assistant", "content": shot.answer}]
    text = _rendered(tokenizer, [*turns, {"role": "user", "content": prompt}], add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])  # the template has written them already


def turn_end(tokenizer: Any) -> int:
    """The token that ends an answer: the first special one that the template puts there, else the tokenizer's eos.

    Raises ValueError where there is neither: such a model could not be taught to stop.
    """
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}]
        tail = _rendered(tokenizer, turns).rpartition(_PROBE)[2]
        special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        for token in tokenizer(tail, add_special_tokens=False)["input_ids"]:
            if token in special:
                return int(token)
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no end token, neither in a chat template nor as eos_token: set tokenizer.eos_token"
        )
    return int(tokenizer.eos_token_id)


def _rendered(tokenizer: Any, turns: list[dict[str, str]], **options: Any) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, **options))
    except TemplateError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise ValueError(
            f"the model's chat template refuses turns of {roles}: {error}; without a system turn, put it in the prompt"
        ) from error


def _cell(row: Any, name: str) -> Any:
    if isinstance(row, Mapping):
        if name in row:
            return row[name]
    elif hasattr(row, name):
        return getattr(row, name)
    has = f"has {', '.join(map(str, row)) or 'none'}" if isinstance(row, Mapping) else f"is a {type(row).__name__}"
    raise ValueError(f"expected the column {name!r}; the row {has}. Name the columns with prompt= and answer=")
