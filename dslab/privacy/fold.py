r"""One spelling for what looks the same: full-width digits, invisible characters, percent codes, escapes.

`１３８００１３８０００`, `138<zero-width joiner>00138000` and `%2B8613800138000` are one mobile number to a reader, and
three strings to a pattern. `fold` writes them in plain ASCII and remembers where each character came from, so that
what is found in the folded text can be cut out of the original.

    full-width forms    U+FF01..FF5E -> U+0021..007E   (Unicode's "compatibility" mapping, where it is one to one)
    dashes and spaces   U+2010..2015, U+2212, U+FF0D -> "-";  no-break, thin and ideographic spaces -> " "
    invisible           zero-width space and joiners, word joiner, BOM, soft hyphen, direction marks -> nothing
    percent codes       %40 -> "@", %E5%BC%A0 -> one Chinese character   (RFC 3986, UTF-8); other codes stay
    escapes             \n \r \t -> line break, blank;  \uXXXX -> the character   (text that is JSON or source code)

Full-width brackets, commas and colons stay: Chinese prose is full of them, and patterns name them where they matter. A
full-width colon between two full-width characters folds, because that is an address (２００１：ｄｂ８：：１).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

_SPACES = "\u00a0\u2000-\u200a\u202f\u205f\u3000"
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63"
_INVISIBLE = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_WIDE = "\uff05\uff06\uff0b\uff0d-\uff0f\uff10-\uff19\uff1d\uff20-\uff3a\uff3f\uff41-\uff5a"
_FOLDABLE = re.compile(f"[{_WIDE}{_SPACES}{_DASHES}{_INVISIBLE}]")
_WIDE_COLONS = re.compile("\uff1a+")
_WIDE_SIGN = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
_PERCENT = re.compile("(?:%[0-9A-Fa-f]{2})+")
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|[nrt])")
_INVISIBLE_ONE = re.compile(f"[{_INVISIBLE}]")
_SPACE_ONE = re.compile(f"[{_SPACES}]")


class Folded(NamedTuple):
    """A folded text and the way back. Pieces of equal length map one to one; `cuts` lists where that shifts.

    text:   what patterns read.
    cuts:   folded positions at which a new piece starts, ascending; empty if nothing moved.
    starts: where each piece starts in the original.
    widths: original characters of a piece of one folded character, or 0 for a piece that maps one to one.
    """

    text: str
    cuts: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The half-open range of the original text that [start, end) of the folded text was made from."""
        if not self.cuts:
            return start, end
        first, last = self._piece(start), self._piece(end - 1)
        begin = self.starts[first] + (0 if self.widths[first] else start - self.cuts[first])
        stop = self.starts[last] + (self.widths[last] or end - self.cuts[last])
        return begin, stop

    def _piece(self, position: int) -> int:
        return bisect_right(self.cuts, position) - 1


def fold(text: str) -> Folded:
    """Write look-alikes of ASCII in ASCII, keeping the map back. Text without any comes back as it is.

    >>> fold("电话１３８").text
    '电话138'
    >>> folded = fold("a%40qq.com")
    >>> folded.text, folded.original(0, 8)
    ('a@qq.com', (0, 10))
    """
    has_invisible = False
    if not text.isascii() and _FOLDABLE.search(text):
        if "\uff1a" in text and _WIDE_SIGN.search(text):
            text = _WIDE_COLONS.sub(_colons, text)
        text = _FOLDABLE.sub(_same_length, text)
        has_invisible = _INVISIBLE_ONE.search(text) is not None
    moved = has_invisible or ("%" in text and _PERCENT.search(text)) or ("\\" in text and _ESCAPE.search(text))
    return _shorten(text) if moved else Folded(text)


def _colons(match: re.Match[str]) -> str:
    """Colons of an address, if wide letters or digits stand on both sides, or two colons open one; else as they are."""
    before = match.string[match.start() - 1 : match.start()] if match.start() else ""
    opens = len(match[0]) > 1 and not before.isalnum() and before != "\uff09"
    if _WIDE_SIGN.match(match.string, match.end()) and (opens or (before and _WIDE_SIGN.match(before))):
        return ":" * len(match[0])
    return match[0]


def _same_length(match: re.Match[str]) -> str:
    char = match[0]
    if "\uff01" <= char <= "\uff5e":
        return chr(ord(char) - 0xFEE0)
    if _INVISIBLE_ONE.match(char):
        return char  # taken out later, where positions are counted
    return " " if _SPACE_ONE.match(char) else "-"


_SHORTENED = re.compile(f"[{_INVISIBLE}]+|{_PERCENT.pattern}|{_ESCAPE.pattern}")


def _shorten(text: str) -> Folded:
    """Drop what is invisible and decode percent codes: the two changes that move positions."""
    parts: list[str] = []
    cuts, starts, widths = [0], [0], [0]
    length = at = 0
    for match in _SHORTENED.finditer(text):
        pieces = _decoded(match[0])
        if pieces is None:
            continue
        parts.append(text[at : match.start()])
        length += match.start() - at
        at = match.start()
        for char, width in pieces:
            if char:
                cuts.append(length)
                starts.append(at)
                widths.append(width)
                parts.append(char)
                length += 1
            at += width
        cuts.append(length)
        starts.append(at)
        widths.append(0)
    parts.append(text[at:])
    return Folded("".join(parts), tuple(cuts), tuple(starts), tuple(widths))


def _decoded(found: str) -> list[tuple[str, int]] | None:
    """(character, width) of what stands for other characters; None if it stays."""
    if found[0] == "%":
        return _decode(found)
    if found[0] != "\\":
        return [("", len(found))]
    char = chr(int(found[2:], 16)) if found[1] == "u" else _BLANKS[found[1]]
    folded = _FOLDABLE.sub(_same_length, char)
    return [("" if _INVISIBLE_ONE.match(folded) else folded, len(found))]


_BLANKS = {"n": "\n", "r": "\r", "t": "\t"}


def _decode(codes: str) -> list[tuple[str, int]] | None:
    """(character, width) of each character that a run of percent codes stands for; None if the bytes are not text."""
    try:
        decoded = bytes.fromhex(codes.replace("%", "")).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not decoded.isprintable():
        return None
    return [(_FOLDABLE.sub(_same_length, char), 3 * len(char.encode())) for char in decoded]
