"""Exercise `labels`: what of a conversation is learned, though padding may look like its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise
from dslab.exercises.n04.labels_mistakes import (
    MARKS,
    MISTAKES,
    TOO_LONG,
    Answer,
    Case,
    Ids,
    definition,
    fitting,
    marked_with,
)

TASK = """\
Three faults in the labels make most of the failed fine-tunings: the model learns to write prompts, learns to write
padding, or never learns to stop. None of them raises an error, and the loss falls nicely.

Write `my_labels(prompt_ids, answer_ids, end_id, pad_id, length)`. It returns a tuple of two lists of ints,
`(input_ids, labels)`, each of exactly `length` entries:

- `input_ids` is the prompt, the answer, the end token, and then padding, on the right;
- `labels` says at each position what to learn: the same token on the answer and on the end token behind it, and `-100`
  (which the loss leaves out) on the prompt and on the padding;
- labels stand at their token's own position. The library compares position `i` with the prediction made at `i - 1`; it
  shifts, you do not;
- `pad_id` may be the same number as `end_id`, as with many models. And both may occur inside a prompt or an answer;
- where prompt, answer and end do not fit into `length`, raise `ValueError`: a cut answer teaches to stop anywhere.

Leave the two lists as they are."""

STUB = '''\
def my_labels(prompt_ids, answer_ids, end_id, pad_id, length):
    """(input_ids, labels): the answer and its end are learned, prompt and padding (-100) are not."""
    ...
'''

HINTS = (
    "You know where everything stands, since you put it there. Count positions; never ask a token which number it has. "
    "A pad that looks like an end is told apart by its place alone.",
    "Learned is the list answer_ids + [end_id]. Before it come len(prompt_ids) labels of -100, behind it as many as "
    "there is padding: length - len(prompt_ids) - len(answer_ids) - 1. Below 0 it does not fit; 0 is fine.",
    "learned = answer_ids + [end_id]; room = length - len(prompt_ids) - len(learned); if room < 0: raise "
    "ValueError(...). Then prompt_ids + learned + [pad_id] * room, and [-100] * len(prompt_ids) + learned + [-100] * "
    "room.",
)

SOLUTION = """\
def my_labels(prompt_ids, answer_ids, end_id, pad_id, length):
    learned = answer_ids + [end_id]
    room = length - len(prompt_ids) - len(learned)
    if room < 0:
        raise ValueError(f"prompt, answer and end need {length - room} tokens; there is room for {length}")
    labels = [-100] * len(prompt_ids) + learned + [-100] * room
    return prompt_ids + learned + [pad_id] * room, labels
"""

SAYS = {
    "type": "my_labels should return a tuple (input_ids, labels) of two lists of ints; for {call} it returned {came}.",
    "changed": "You change `{name}`, which the caller still needs: += and append work in place. Write a new list, "
    "prompt_ids + answer_ids.",
    "swapped": "input_ids come first, then labels. {case}",
    "unpadded": "You do not pad. Rows of a batch need the same length, here {length}. {case}",
    "lengths": "Both lists need {length} entries, and yours have {n_ids} and {n_labels}. {case}",
    "all_learned": "You take input_ids as labels: the model learns to write prompts, and padding. {case}",
    "prompt_learned": "The prompt is learned as well. {case}",
    "padding_learned": "The padding is learned as well. {case}",
    "end_masked": "You mask by number: every token that looks like padding. Where pad_id equals end_id that takes the "
    "end token too, and the model never learns to stop. Go by position. {case}",
    "end_never": "The end token is not learned, so the model never learns to stop. {case}",
    "no_end": "The end token is missing behind the answer, so the model never learns to stop. {case}",
    "end_last": "The end token stands behind the padding; it belongs directly behind the answer. {case}",
    "end_early": "The end token stands between prompt and answer. {case}",
    "shifted": "You shift the labels to the left. The library does that once more, and each token would learn the one "
    "after the next. {case}",
    "shifted_right": "You shift the labels to the right; each belongs at its own token's position. {case}",
    "one_late": "You mask one too many: the first token of the answer is not learned. Its prediction is made at the "
    "last token of the prompt, but its label stands at itself. {case}",
    "one_early": "You mask one too few: the last token of the prompt is learned. {case}",
    "left": "You pad on the left. That is for generating; the task asks for the right. {case}",
    "pads_with_end": "You pad with the end token, and pad_id may be another. {case}",
    "mask_in_ids": "-100 is no token. It belongs in the labels; input_ids get pad_id. {case}",
    "mask_pad": "You mark what is not learned with pad_id. The loss leaves out -100 and nothing else. {case}",
    "mask_value": "You mark what is not learned with {mark}. The loss leaves out -100 and nothing else. {case}",
    "no_answer": "Nothing is learned at all. {case}",
    "other": "{case}",
    "case": "For {call} your {which} are {got}, and they should be {want}.",
    "strict": "{call} fits exactly, prompt, answer and end; and you raise ValueError.",
    "raises": "{call} fits, and you raise ValueError: {error}.",
    "cut": "{call} does not fit: it needs {need} tokens. You cut the answer and say nothing; it would teach the model "
    "to stop anywhere. Raise ValueError.",
    "end_cut": "{call} does not fit: the end token needs a place too. Yours is cut off, or the padding. Raise "
    "ValueError.",
    "overlong": "{call} does not fit: it needs {need} tokens. You return {n_ids}, which is longer than all the others. "
    "Raise ValueError.",
    "other_error": "{call} does not fit, and you raise {error}. Raise ValueError, which callers expect.",
    "call": "my_labels({prompt}, {answer}, end_id={end}, pad_id={pad}, length={length})",
}


def check(my_labels: Any) -> str | None:
    """None when right, else what is wrong."""
    return _check_fitting(my_labels) or _check_too_long(my_labels)


def _check_fitting(my_labels: Any) -> str | None:
    answers: list[Answer] = []
    for case in fitting():
        try:
            got, diagnosis = _ask(my_labels, case)
        except ValueError as error:
            is_full = len(case[0]) + len(case[1]) + 1 == case[4]
            return SAYS["strict" if is_full else "raises"].format(call=_call(case), error=str(error)[:80])
        if got is None:
            return diagnosis
        answers.append(got)
    cases = fitting()
    for case, got in zip(cases, answers, strict=True):
        if got != definition(*case):
            known = probe.recognise(cases, answers, MISTAKES, lambda a, b: tuple(a) == b)
            if known is not None:
                return _say(known[0], case, got)
            marks = [mark for mark in MARKS if answers == [marked_with(mark)(*each) for each in cases]]
            if marks:
                return _say("mask_value", case, got, mark=marks[0])
            return _say(_length_fault(case, got), case, got)
    return None


def _length_fault(case: Case, got: Answer) -> str:
    want = len(case[0]) + len(case[1]) + 1
    if {len(got[0]), len(got[1])} == {case[4]}:
        return "other"
    return "unpadded" if len(got[0]) == len(got[1]) == want else "lengths"


def _check_too_long(my_labels: Any) -> str | None:
    for case in TOO_LONG:
        need = len(case[0]) + len(case[1]) + 1
        facts = {"call": _call(case), "need": need}
        try:
            got, diagnosis = _ask(my_labels, case)
        except ValueError:
            continue
        except NotImplementedError:
            raise
        except Exception as error:
            return SAYS["other_error"].format(error=type(error).__name__, **facts)
        if got is None:
            return diagnosis
        if need == case[4] + 1 and len(got[0]) <= case[4]:
            return SAYS["end_cut"].format(**facts)
        return SAYS["overlong" if len(got[0]) > case[4] else "cut"].format(n_ids=len(got[0]), **facts)
    return None


def _ask(my_labels: Any, case: Case) -> tuple[Answer | None, str | None]:
    """The two lists, or None and why there are none."""
    prompt, answer, end, pad, length = case
    given = {"prompt_ids": list(prompt), "answer_ids": list(answer)}
    came = my_labels(*given.values(), end, pad, length)
    for name, before in zip(given, (prompt, answer), strict=True):
        if given[name] != before:
            return None, SAYS["changed"].format(name=name)
    rows = [_as_ids(part) for part in came] if isinstance(came, tuple | list) and len(came) == 2 else [None, None]
    if rows[0] is None or rows[1] is None:
        return None, SAYS["type"].format(call=_call(case), came=shown(came))
    return (rows[0], rows[1]), None


def _as_ids(value: Any) -> Ids | None:
    """A list of ints from a list, a tuple, or a tensor or array of integers; None for anything else."""
    if isinstance(value, Tensor | np.ndarray):
        tensor = probe.as_tensor(value)
        value = None if tensor is None or tensor.is_meta or tensor.ndim != 1 else tensor.tolist()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    ids = [probe.as_integer(item) for item in value]
    return None if None in ids else [item for item in ids if item is not None]


def _say(name: str, case: Case, got: Answer, mark: int = 0) -> str:
    """A diagnosis, with the list that differs."""
    want = definition(*case)
    which = 0 if got[0] != want[0] else 1
    shown_lists = {"which": ("input_ids", "labels")[which], "got": _short(got[which]), "want": want[which]}
    facts = {"length": case[4], "n_ids": len(got[0]), "n_labels": len(got[1]), "mark": mark}
    return SAYS[name].format(case=SAYS["case"].format(call=_call(case), **shown_lists), **facts)


def _short(ids: Ids) -> str:
    return str(ids) if len(str(ids)) < 120 else f"{str(ids)[:120]} …"


def _call(case: Case) -> str:
    prompt, answer, end, pad, length = case
    return SAYS["call"].format(prompt=prompt, answer=answer, end=end, pad=pad, length=length)


exercise = Exercise(name="labels", notebook="04", task=TASK, hints=HINTS, solution=SOLUTION, check=check)
