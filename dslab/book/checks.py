"""Exercises: whether an answer is still a stub, wrong (and why) or right.

Nothing a learner writes may end a run: a stub is `todo`, an exception is told with its line, a wrong answer with its
diagnosis. Exercises are duck-typed: `.name`, `.hints`, `.solution`, `.check(answer) -> str | None`.
"""

from __future__ import annotations

import dis
import functools
import linecache
import traceback
from collections.abc import Callable
from html import escape
from types import CodeType
from typing import Any

from dslab.book import cards, text

_STUB_STEPS = {
    "RESUME", "NOP", "LOAD_CONST", "LOAD_SMALL_INT", "RETURN_VALUE", "RETURN_CONST", "COPY_FREE_VARS", "MAKE_CELL",
}  # fmt: skip


class _Unsolved(BaseException):
    """Carries "still a stub" through a checker, past its `except Exception`."""


class _Watched:
    """A learner's function that tells whether it is a stub and remembers what it returned last."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        functools.update_wrapper(self, answer)
        self._answer = answer
        self.returned_none = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            result = self._answer(*args, **kwargs)
        except NotImplementedError:
            raise _Unsolved from None
        if result is ...:
            raise _Unsolved
        self.returned_none = result is None
        return result


def judge(exercise: Any, answer: Any) -> tuple[str, str]:
    """Return ("todo" | "wrong" | "right", what to tell the learner)."""
    if is_stub(answer):
        return "todo", text.TODO_TEXT
    is_function = callable(answer) and not isinstance(answer, type)
    watched = _Watched(answer) if is_function else answer
    try:
        diagnosis = exercise.check(watched)
    except (_Unsolved, NotImplementedError):
        return "todo", text.TODO_TEXT
    except Exception as error:
        return "wrong", _explain(error, answer, is_function and watched.returned_none)
    if diagnosis is None:
        return "right", text.RIGHT_TEXT
    return "wrong", str(diagnosis)


def is_stub(answer: Any) -> bool:
    """Whether nothing was filled in: None, `...`, or a function whose body is empty, `...`, `pass` or `return None`.

    >>> def stub(q, k):
    ...     "What to do."
    ...     ...
    >>> is_stub(stub), is_stub(lambda q, k: q - k)
    (True, False)
    """
    if answer is None or answer is ...:
        return True
    code = getattr(answer, "__code__", None)
    if not isinstance(code, CodeType):
        return False
    steps = list(dis.get_instructions(code))
    returned = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return all(step.opname in _STUB_STEPS for step in steps) and all(value in (None, ...) for value in returned)


def hint_card(exercise: Any, n: int) -> cards.Card:
    """Hint n of an exercise, and where it was the last, what remains."""
    total = len(exercise.hints)
    head = f"{exercise.name}: {text.HINT.format(n=n, total=total)}"
    last = text.LAST_HINT if n == total else ""
    html = cards.edge(cards.QUIET, f"<strong>{escape(head)}</strong>", escape(exercise.hints[n - 1]), escape(last))
    return html, f"{head}. {exercise.hints[n - 1]} {last}".rstrip()


def _explain(error: Exception, answer: Any, returned_none: bool) -> str:
    """An exception as a sentence: the learner's own line where it came from there."""
    own = _sources(answer)
    kind, message = type(error).__name__, str(error) or text.NO_MESSAGE
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in own and frame.lineno:
            source = linecache.getline(frame.filename, frame.lineno).strip()
            if source:
                return text.RAISED.format(kind=kind, line=frame.lineno, source=source, message=message)
            return text.RAISED_BARE.format(kind=kind, message=message)
    return text.RETURNS_NONE if returned_none else text.UNUSABLE.format(kind=kind, message=message)


def _sources(answer: Any) -> set[str]:
    """Files (a notebook cell is one) that hold the learner's code: of a function, or of a class's methods."""
    parts = [answer, *vars(answer if isinstance(answer, type) else type(answer)).values()]
    codes = (getattr(part, "__code__", None) for part in parts)
    return {code.co_filename for code in codes if isinstance(code, CodeType)}
