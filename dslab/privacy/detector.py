"""Find personal data in text: fold, look at the few places where a value could stand, weigh the evidence, report.

    Detector().find("身份证11010519491231002X，电话138 0013 8000")
    [Span(start=3, end=21, type='CN_ID', ...), Span(start=24, end=37, type='CN_MOBILE', ...)]

Web text holds little of it, so what counts is how fast a text without any is passed. Each family looks for a sign
that its values cannot lack (seven digits in a run, an `@`, a key's prefix) by a pattern that begins with a character
class or a literal, which `re` skips to; only there it reads closely. No pattern repeats over what a neighbour repeats
over, and every look to the left or right is bounded: the time is linear in the text, whatever the text is.
"""

from __future__ import annotations

from collections.abc import Iterable

from dslab.privacy.fold import fold
from dslab.privacy.recognizers import accounts, documents, email, network, numbers, phones, secrets
from dslab.privacy.recognizers.base import Document, Recognizer
from dslab.privacy.spans import TYPES, Span, disjoint

__all__ = ["Detector", "Recognizer"]

_FAMILIES = (
    (frozenset(("CN_ID", "CARD", "CN_MOBILE", "US_SSN")), numbers.find),
    (frozenset(("IBAN", "USCC")), accounts.find),
    (frozenset(("EMAIL",)), email.find),
    (frozenset(("IP",)), network.find),
    (frozenset(("PHONE_INTL",)), phones.find),
    (frozenset(("SECRET",)), secrets.find),
    (frozenset(("CN_PLATE", "PASSPORT")), documents.find),
)
POLICIES = ("recall", "precision")


class Detector:
    """Finds values of the given types.

    types:  names from `TYPES`, and `Recognizer`s of your own.
    policy: "recall" takes what has the shape and its checks; "precision" also demands a label where those are weak.
    Raises  ValueError for an unknown type or policy, TypeError where the text is not a str.
    """

    def __init__(self, types: Iterable[str | Recognizer] = TYPES, policy: str = "recall") -> None:
        chosen = (types,) if isinstance(types, str | Recognizer) else tuple(types)
        names = [item for item in chosen if isinstance(item, str)]
        unknown = sorted(set(names) - set(TYPES))
        if unknown:
            raise ValueError(f"unknown types {unknown}; known: {', '.join(TYPES)}, or a Recognizer of your own")
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {POLICIES}, not {policy!r}")
        self.policy = policy
        self.types = frozenset(names)
        self.recognizers = tuple(item for item in chosen if isinstance(item, Recognizer))
        self._families = tuple(find for types_found, find in _FAMILIES if types_found & self.types)

    def find(self, text: str) -> list[Span]:
        """Spans of the original text, sorted, not overlapping.

        >>> [(s.start, s.end, s.type) for s in Detector().find("邮箱ann@example.com，IP：192.0.2.7")]
        [(2, 17, 'EMAIL'), (21, 30, 'IP')]
        """
        if not isinstance(text, str):
            raise TypeError(f"find expects a str, not {type(text).__name__}")
        folded = fold(text)
        document = Document(folded.text, self.types, self.policy)
        found = [span for family in self._families for span in family(document)]
        for recognizer in self.recognizers:
            found.extend(recognizer.find(document))
        if not found:
            return []
        kept = disjoint(found)
        if not folded.cuts:
            return kept
        return [Span(*folded.original(s.start, s.end), s.type, s.score, s.rule) for s in kept]
