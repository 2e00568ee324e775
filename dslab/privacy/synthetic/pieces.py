"""What a synthetic document is made of: plain text, values that must go, and look-alikes that must stay.

A document is written as a list of pieces in the order of reading; `assemble` joins them and notes the offsets. So a
template cannot get an offset wrong: it never states one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Value(NamedTuple):
    """A value that must be found. text: as it stands there; form: its spelling ("bare", "full_width", ...)."""

    text: str
    type: str
    form: str


class Negative(NamedTuple):
    """A look-alike that must be left alone, of a named kind ("timestamp", "isbn", ...)."""

    text: str
    kind: str


Piece = str | Value | Negative


def assemble(pieces: Iterable[Piece]) -> dict[str, Any]:
    """{"text", "spans": [{"start", "end", "type", "form"}], "neg": [{"start", "end", "kind"}]}, offsets in code points.

    >>> assemble(["书号", Negative("978", "isbn"), "，卡", Value("62", "CARD", "bare")])["neg"]
    [{'start': 2, 'end': 5, 'kind': 'isbn'}]
    """
    parts: list[str] = []
    spans: list[dict[str, Any]] = []
    negatives: list[dict[str, Any]] = []
    at = 0
    for piece in pieces:
        text = piece if isinstance(piece, str) else piece.text
        place = {"start": at, "end": at + len(text)}
        if isinstance(piece, Value):
            spans.append({**place, "type": piece.type, "form": piece.form})
        elif isinstance(piece, Negative):
            negatives.append({**place, "kind": piece.kind})
        parts.append(text)
        at += len(text)
    return {"text": "".join(parts), "spans": spans, "neg": negatives}
