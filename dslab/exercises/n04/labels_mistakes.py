"""Exercise `labels`: its cases, and what the usual mistakes make of them."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

Ids = list[int]
Case = tuple[Ids, Ids, int, int, int]  # prompt, answer, end, pad, length
Answer = tuple[Ids, Ids]  # input_ids, labels
IGNORED = -100


@functools.cache
def fitting() -> tuple[Case, ...]:
    """The first are read by people; the drawn ones are there so that no list of known ones gets through."""
    cases: list[Case] = [
        ([11, 12, 13], [21, 22], 2, 0, 8),
        ([11, 12, 13], [21, 22], 2, 2, 8),
        ([1, 11, 2, 1, 12], [21, 22, 23], 2, 2, 12),  # the prompt holds ends of turns
        ([11, 12], [21, 0, 22, 0], 2, 0, 9),  # the answer holds what pads
        ([11], [21, 2, 22], 2, 2, 7),
        ([11, 12], [21, 22, 23], 2, 0, 6),  # fits exactly
        ([], [21, 22], 2, 2, 5),
        ([11, 11, 12], [11, 12], 2, 0, 7),  # the answer repeats the prompt
    ]
    dice = random.Random(4)
    for _ in range(12):
        prompt, answer = ([dice.randint(0, 9) for _ in range(dice.randint(1, 6))] for _ in range(2))
        end, pad = dice.choice([(3, 3), (3, 4), (0, 9)])
        cases.append((prompt, answer, end, pad, len(prompt) + len(answer) + 1 + dice.randint(1, 5)))
    return tuple(cases)


TOO_LONG: tuple[Case, ...] = (
    ([11, 12, 13], [21, 22, 23, 24], 2, 0, 6),
    ([11, 12, 13], [21, 22], 2, 2, 5),  # all but the end token fits
    ([11, 12, 13, 14], [21], 2, 0, 3),  # not even the prompt
)


def definition(prompt: Ids, answer: Ids, end: int, pad: int, length: int) -> Answer:
    """Position by position."""
    begin, stop = len(prompt), len(prompt) + len(answer)
    text = [*prompt, *answer, end]
    ids = [text[i] if i <= stop else pad for i in range(length)]
    return ids, [ids[i] if begin <= i <= stop else IGNORED for i in range(length)]


# ---------------------------------------------------------------- mistakes

Labels = Callable[[Ids, Ids, int, int, int], Answer]


def _labelled(label: Callable[[Case, int, int], bool]) -> Labels:
    """The right input_ids; a label where the function says so, given the case, the position and the token."""

    def labels(*case: Any) -> Answer:
        ids, _ = definition(*case)
        return ids, [token if label(case, i, token) else IGNORED for i, token in enumerate(ids)]

    return labels


def _marked(mark: Callable[[Case], int]) -> Labels:
    def labels(*case: Any) -> Answer:
        ids, right = definition(*case)
        return ids, [mark(case) if label == IGNORED else label for label in right]

    return labels


def marked_with(mark: int) -> Labels:
    """Another number than -100 for what is not learned."""
    return _marked(lambda case: mark)


def _end(case: Case) -> int:
    return len(case[0]) + len(case[1])


def _moved(by: int) -> Labels:
    def labels(*case: Any) -> Answer:
        ids, right = definition(*case)
        return ids, [*right[1:], IGNORED] if by < 0 else [IGNORED, *right[:-1]]

    return labels


def _shifted_all(*case: Any) -> Answer:
    ids, _ = definition(*case)
    return ids, [*ids[1:], IGNORED]


def _rows(build: Callable[[Ids, Ids, int, int, int], tuple[Ids, Ids]]) -> Labels:
    """Other rows: built from prompt, answer, end, pad and the room that is left for padding."""
    return lambda prompt, answer, end, pad, length: build(prompt, answer, end, pad, length - len(prompt + answer) - 1)


_N = IGNORED
MISTAKES: tuple[tuple[str, Labels], ...] = (
    ("swapped", lambda *case: definition(*case)[::-1]),
    ("all_learned", _labelled(lambda case, i, token: True)),
    ("prompt_learned", _labelled(lambda case, i, token: i <= _end(case))),
    ("padding_learned", _labelled(lambda case, i, token: i >= len(case[0]))),
    ("end_masked", _labelled(lambda case, i, token: i >= len(case[0]) and token != case[3])),
    ("end_masked", _labelled(lambda case, i, token: token != case[3])),
    ("end_masked", _labelled(lambda case, i, token: len(case[0]) <= i <= _end(case) - (case[2] == case[3]))),
    ("end_masked", _labelled(lambda case, i, token: len(case[0]) <= i <= _end(case) and token != case[2])),
    ("end_never", _labelled(lambda case, i, token: len(case[0]) <= i < _end(case))),
    ("end_never", _labelled(lambda case, i, token: i < _end(case))),
    ("no_end", _rows(lambda p, a, end, pad, n: (p + a + [pad] * (n + 1), [_N] * len(p) + a + [_N] * (n + 1)))),
    ("no_end", _rows(lambda p, a, end, pad, n: (p + a + [pad] * (n + 1), p + a + [_N] * (n + 1)))),
    ("end_last", _rows(lambda p, a, end, pad, n: (p + a + [pad] * n + [end], [_N] * len(p) + a + [_N] * n + [end]))),
    ("end_early", _rows(lambda p, a, e, pad, n: (p + [e] + a + [pad] * n, [_N] * len(p) + [e] + a + [_N] * n))),
    ("end_early", _rows(lambda p, a, e, pad, n: (p + [e] + a + [pad] * n, [_N] * (len(p) + 1) + a + [_N] * n))),
    ("shifted", _moved(-1)),
    ("shifted", _shifted_all),
    ("shifted_right", _moved(1)),
    ("one_late", _labelled(lambda case, i, token: len(case[0]) < i <= _end(case))),
    ("one_early", _labelled(lambda case, i, token: len(case[0]) - 1 <= i <= _end(case))),
    ("left", _rows(lambda p, a, e, pad, n: ([pad] * n + p + a + [e], [_N] * (n + len(p)) + a + [e]))),
    ("left", _rows(lambda p, a, e, pad, n: ([pad] * n + p + a + [e], [_N] * len(p) + a + [e] + [_N] * n))),
    ("pads_with_end", _rows(lambda p, a, e, pad, n: (p + a + [e] * (n + 1), [_N] * len(p) + a + [e] + [_N] * n))),
    ("mask_in_ids", _rows(lambda p, a, e, pad, n: (p + a + [e] + [_N] * n, [_N] * len(p) + a + [e] + [_N] * n))),
    ("mask_in_ids", _rows(lambda p, a, e, pad, n: ([_N] * len(p) + a + [e] + [_N] * n,) * 2)),
    ("mask_pad", _marked(lambda case: case[3])),
    ("no_answer", _labelled(lambda case, i, token: False)),
)
MARKS = (-1, 0, 100, -1000)  # instead of -100
