"""Exact repeats of whole documents, paragraphs or lines, by a 128-bit digest of each.

Two texts count as equal when they read the same: canonical composition unified (NFC: "é" as one character or as two),
white space runs as one space, ends stripped. Case, punctuation and full-width forms stay different.
The digest is BLAKE2b; that two of a billion different units share one has probability 1.5e-21.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dslab.dedup.shingles import check_texts

SEPARATORS = {"paragraph": re.compile(r"\n[^\S\n]*\n\s*"), "line": re.compile(r"\n")}


@dataclass(frozen=True)
class Units:
    """The documents, paragraphs or lines of some texts in reading order, and which of them repeat an earlier one.

    document: (units,) int64. start, end: (units,) int64, code points in that document; text[start:end] is the unit
    without white space around it. clusters: (units,) int64, for each unit the first that is equal.
    """

    document: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    clusters: NDArray[np.int64]

    @property
    def repeated(self) -> NDArray[np.int64]:
        """The units to drop when the first of each kind is kept, ascending."""
        return np.flatnonzero(self.clusters != np.arange(len(self.clusters)))

    @property
    def pairs(self) -> NDArray[np.int64]:
        """(m, 2) int64: each repeated unit with its first occurrence, (first, repeat)."""
        return np.stack((self.clusters[self.repeated], self.repeated), axis=1)


def normal(text: str) -> str:
    """How two texts are compared: NFC, white space runs as one space, ends stripped.

    >>> normal(" cafe\\u0301\\n bar ") == "caf\\u00e9 bar"
    True
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact_duplicates(
    texts: Sequence[str],
    unit: Literal["document", "paragraph", "line"] = "document",
    normalize: Callable[[str], str] = normal,
) -> Units:
    """Which units equal an earlier one, in the same text or another.

    unit:      "document" has one unit a text, also an empty one: two empty texts are equal. Paragraphs are set apart by
               blank lines; paragraphs and lines without content are no units.
    normalize: what is compared; `str` for the text as it stands.
    Memory: some 200 bytes a unit. Raises ValueError for another unit, TypeError for one string.

    >>> found = exact_duplicates(["one\\n\\ntwo", "three\\n \\n one "], unit="paragraph")
    >>> found.clusters.tolist(), found.document.tolist(), found.pairs.tolist()
    ([0, 1, 2, 0], [0, 0, 1, 1], [[0, 3]])
    """
    check_texts(texts)
    if unit != "document" and unit not in SEPARATORS:
        raise ValueError(f"unit is document, paragraph or line; got {unit!r}")
    first_of: dict[bytes, int] = {}
    rows: list[tuple[int, int, int, int]] = []
    for document, text in enumerate(texts):
        spans = iter([(0, len(text))]) if unit == "document" else _spans(text, SEPARATORS[unit])
        for start, end in spans:
            content = normalize(text[start:end]).encode("utf-8", "surrogatepass")
            first = first_of.setdefault(blake2b(content, digest_size=16).digest(), len(rows))
            rows.append((document, start, end, first))
    table = np.array(rows, np.int64).reshape(-1, 4)
    return Units(*np.ascontiguousarray(table.T))


def _spans(text: str, separator: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each part that has content, white space around it left out."""
    position = 0
    for match in separator.finditer(text):
        yield from _stripped(text, position, match.start())
        position = match.end()
    yield from _stripped(text, position, len(text))


def _stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    part = text[start:end]
    if content := part.strip():
        start += len(part) - len(part.lstrip())
        yield start, start + len(content)
