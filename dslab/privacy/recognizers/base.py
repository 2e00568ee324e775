"""What recognizers are given, and the plug-in for a user's own types.

employee = Recognizer("EMPLOYEE", r"E[0-9]{6}", context="employee|staff|工号")
Detector(types=(*TYPES, employee)).find("工号 E204817")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from dslab.privacy.context import NEGATIVE, Context, Label
from dslab.privacy.recognizers.runs import NO_SPOTS, Spots, spots
from dslab.privacy.signs import Signs
from dslab.privacy.spans import Span


class Document:
    """A folded text, the types wanted, and what several recognizers need of it.

    text:  what patterns read. lower: the same in lower case, for words; its positions may differ from the text's.
    signs: what a text without any value lacks. Made when first asked for, because few texts need them:
    spots: the runs of digits, and the digits glued to letters. context: the labels around values.
    """

    def __init__(self, text: str, types: frozenset[str], policy: str = "recall") -> None:
        self.text, self.types, self.policy = text, types, policy
        self.signs = Signs(text)
        self._asked: tuple[int, int, Label | None] | None = None

    @cached_property
    def lower(self) -> str:
        return self.text.lower()

    @cached_property
    def spots(self) -> Spots:
        return spots(self.text) if self.signs.has_digit else NO_SPOTS

    @cached_property
    def context(self) -> Context:
        return Context(self.text)

    def label(self, start: int, end: int) -> Label | None:
        """The label that names the value text[start:end]; asked several times for the same value."""
        if self._asked is None or self._asked[:2] != (start, end):
            self._asked = (start, end, self.context.label(start, end))
        return self._asked[2]

    def is_called(self, start: int, end: int, kinds: frozenset[str], reach: int = 32) -> bool:
        """Does the nearest label, at most `reach` characters away unless bound, belong to one of these families?"""
        label = self.label(start, end)
        return label is not None and label.kind in kinds and (label.bound or label.gap <= reach)

    def is_denied(self, start: int, end: int, kinds: frozenset[str] = NEGATIVE) -> bool:
        """Does a bound label say that the value is something else: an order, a part, a device, a time?"""
        label = self.label(start, end)
        return label is not None and label.bound and label.kind in kinds and label.where != "right"


def walk_left(text: str, position: int, signs: frozenset[str], most: int) -> int:
    """Where the stretch of these signs before a position starts; at most `most` signs are looked at.

    >>> walk_left("mail ann@x", 8, frozenset("abn"), 64)
    5
    """
    least = max(0, position - most)
    while position > least and text[position - 1] in signs:
        position -= 1
    return position


@dataclass(frozen=True)
class Recognizer:
    """A type of the user's own.

    type:     its name, as spans will carry it.
    pattern:  a regular expression; it is not matched inside a longer run of ASCII letters or digits. Group "value" is
              the span where the pattern has one.
    validate: a check on the matched text (a checksum, say).
    context:  a regular expression, or words (any iterable); one must stand in the `window` characters before the value.
    score:    weight against overlapping spans of other types.

    The pattern runs over the whole text: keep it linear (no nested or neighbouring repeats over the same characters).

    >>> from dslab.privacy.detector import Detector
    >>> employee = Recognizer("EMPLOYEE", "E[0-9]{6}", context="employee|工号")
    >>> [s.start for s in Detector(types=[employee]).find("工号E204817, part E204818X")]
    [2]
    """

    type: str
    pattern: str
    validate: Callable[[str], bool] | None = None
    context: str | Iterable[str] | None = None
    window: int = 24
    score: float = 0.95
    flags: int = 0
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("type", "pattern"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a str, not {type(getattr(self, name)).__name__}")
        if not self.type or not self.pattern:
            raise ValueError("a Recognizer needs a type and a pattern")
        if self.validate is not None and not callable(self.validate):
            raise TypeError(f"validate must be a function of the matched text, not {type(self.validate).__name__}")
        if self.context is not None and not isinstance(self.context, str):
            words = list(self.context) if isinstance(self.context, Iterable) else [self.context]
            wrong = [type(word).__name__ for word in words if not isinstance(word, str)]
            if wrong or not words:
                got = wrong[0] if wrong else "no words"
                raise TypeError(f"context must be a regular expression or words, all of them str; got {got}")
            object.__setattr__(self, "context", "|".join(re.escape(word) for word in words))
        object.__setattr__(
            self, "_compiled", re.compile(f"(?<![0-9A-Za-z])(?:{self.pattern})(?![0-9A-Za-z])", self.flags)
        )

    def find(self, document: Document) -> Iterator[Span]:
        """Every match that passes its checks."""
        evidence = "pattern" + ("+checksum" if self.validate else "") + ("+context" if self.context else "")
        for match in self._compiled.finditer(document.text):
            start, end = match.span("value" if "value" in self._compiled.groupindex else 0)
            if self.validate and not self.validate(document.text[start:end]):
                continue
            if self.context and not re.search(
                str(self.context), document.text[max(0, start - self.window) : start], re.IGNORECASE
            ):
                continue
            yield Span(start, end, self.type, self.score, f"{self.type.lower()}:{evidence}")
