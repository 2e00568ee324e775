"""What a detector reports: where a value stands, what it is, and which evidence says so.

    Span(start=3, end=21, type="CN_ID", score=1.0, rule="cn_id:pattern+date+checksum")

Evidence comes in layers. A *pattern* says that the text has the right shape, which is weak: order numbers have it
too. A *checksum* (or a date, a known prefix) says that a random number of this shape would probably have failed. A
*context* word says that the writer called it so. Each layer that held is named in `rule`, so that a reader can see
why.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPES: tuple[str, ...] = (
    "CN_ID",
    "CN_MOBILE",
    "CARD",
    "USCC",
    "EMAIL",
    "IP",
    "IBAN",
    "US_SSN",
    "PHONE_INTL",
    "SECRET",
    "CN_PLATE",
    "PASSPORT",
)


@dataclass(frozen=True, slots=True)
class Span:
    """A value found: text[start:end], in code points.

    score: 0 to 1, how much the evidence weighs; the higher wins where two spans overlap.
    rule:  "name:evidence+evidence", for instance "card:pattern+checksum+context".

    >>> Span(0, 18, "CN_ID", 1.0, "cn_id:pattern+date+checksum").evidence
    ('pattern', 'date', 'checksum')
    """

    start: int
    end: int
    type: str
    score: float
    rule: str

    @property
    def evidence(self) -> tuple[str, ...]:
        """The layers that held, in the order they were tried."""
        return tuple(self.rule.partition(":")[2].split("+"))


def disjoint(spans: list[Span]) -> list[Span]:
    """Sorted spans of which no two overlap: the better scored wins, then the longer, then the earlier.

    >>> [s.type for s in disjoint([Span(0, 11, "CN_MOBILE", 0.8, "a:b"), Span(0, 18, "EMAIL", 0.9, "a:b")])]
    ['EMAIL']
    """
    if len(spans) > 1:
        kept: list[Span] = []
        for span in sorted(spans, key=lambda s: (s.start, s.end)):
            if kept and span.start < kept[-1].end:
                # A chain of overlaps keeps its best member; what the loser alone covered is not worth a second look.
                if (span.score, span.end - span.start) > (kept[-1].score, kept[-1].end - kept[-1].start):
                    kept[-1] = span
                continue
            kept.append(span)
        return kept
    return list(spans)
