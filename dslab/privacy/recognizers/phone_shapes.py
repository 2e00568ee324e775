"""Cutting a stretch of digits into phone numbers, and what a stretch of digits is instead: dates, hotlines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dslab.privacy.recognizers.runs import Groups

_INNER = re.compile(r"[.\-/ ]| {2}| ?[(（]|[)）][ \-.]?| - | ?/ ?")
_BREAK = re.compile(r"[ \-]?\r?\n[ \t>]{0,8}")
# Seven digits behind 400 or 800, however they are grouped; North America writes its 800 as in (800) 555-0142.
_HOTLINE = re.compile(
    r"(?!\(800\) ?[2-9][0-9]{2}[\-. ][0-9]{4}\Z)[(（]?(?:\+?86[ \-]?)?[48]00(?:[ .()（）\-]{0,3}[0-9]){7}"
)
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}([./\- ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])(?:[ T]?[0-9]{2}.*)?"
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[ T]?[0-9]{2}.*)?"
    r"|[0-3]?[0-9]([./\-])[01]?[0-9]\2(?:19|20)[0-9]{2}.*"
    r"|(?:19|20)[0-9]{2}[./\-][01]?[0-9] ?[\-/~] ?(?:19|20)[0-9]{2}[./\-][01]?[0-9]"
    r"|(?:19|20)[0-9]{2}(?: ?[\-/ ] ?(?:19|20)[0-9]{2})+"
)
_NANP = re.compile(
    r"(?:1[ .\-])?(?:\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .\-][0-9]{4}|[2-9][0-9]{2}([.\-])[2-9][0-9]{2}\1[0-9]{4})"
)
# A Chinese landline and what follows its dash: an extension.
_LANDLINE = re.compile(
    r"(?:\+?86[ \-]?)?[(（]?0?(?:10|2[0-9]|[3-9][0-9]{2})[)）]?[ \-]?[2-9][0-9]{3}[ \-]?[0-9]{3,4}(?=-[0-9]{1,6}\Z)"
)
_DAY = re.compile(
    r"(?:19|20)[0-9]{2}([./\-])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])(?![0-9])(?:[ T]?[0-9]{1,2}(?=:))?"
)


def numbers_in(text: str, groups: Groups) -> Iterator[tuple[int, int]]:
    """Cut a run into what could be one phone number each: 7 to 15 digits, no date, no line break inside."""
    piece: list[tuple[int, int]] = []
    total, past = 0, 0
    for start, end in groups:
        if start < past:
            continue
        if end - start == 4 and text[start : start + 2] in ("19", "20"):
            day = _DAY.match(text, start)
            if day:
                yield from _whole(piece, total)
                piece, total, past = [], 0, day.end()
                continue
        if piece and _starts_anew(text, piece, total, start, end):
            yield from _whole(piece, total)
            piece, total = [], 0
        piece.append((start, end))
        total += end - start
    yield from _whole(piece, total)


def _starts_anew(text: str, piece: Groups, total: int, start: int, end: int) -> bool:
    gap = text[piece[-1][1] : start]
    if "\n" in gap and _BREAK.fullmatch(gap):
        rest = _STRETCH.match(text, start)
        more = sum(map(str.isdigit, rest[0])) if rest else end - start
        if _is_broken(text, piece, total, more):
            return _WHOLE_LINE.match(text, start) is not None  # a number of its own
    if gap == "  " and (total >= 7 or _WHOLE_LINE.match(text, start)):
        return True  # columns of a table
    if start - piece[-1][1] > 3 or not _INNER.fullmatch(gap) or total + end - start > 16:
        return True
    if total >= 7 and ("/" in gap or gap == " - " or (total >= 10 and ("(" in gap or "（" in gap))):
        return True
    if text.startswith(("00", "011 "), piece[0][0]) and len(piece) < 6:
        return False  # a country code before the rest
    if total >= 7 and gap.isspace():
        return total + end - start > 13 or end - start >= 7 or _counts(text, piece, total, start, end)
    return False


def _counts(text: str, piece: Groups, total: int, start: int, end: int) -> bool:
    """Is a short group behind a whole number something else: the next item of a list, a count, an extension?"""
    if end - start > 4 or total < 9:
        return False
    if end - start <= 2 and _ITEM.match(text, end):
        return True
    # 0512-66668888 and 212-555-0142 are whole, and have no blanks.
    return total >= 10 and len(piece) > 1 and " " not in text[piece[0][0] : piece[-1][1]]


_WHOLE_LINE = re.compile(
    r"(?:[2-9][0-9]{2}[\-. ][0-9]{3}[\-. ][0-9]{4}|0[0-9]{2,3}[\- ][0-9]{3,4}[\- ]?[0-9]{4}|[0-9]{10,11}"
    r"|[48]00(?:[ .\-]?[0-9]){7})(?![0-9])"
)
_STRETCH = re.compile(
    r"[0-9]{1,16}(?:[.\-][0-9]{1,16}| [0-9]{3,16}(?![0-9]| ?[A-Za-z一-鿿])){0,5}(?:(?: [0-9]{2}){2,4}(?![0-9]))?"
)
_ITEM = re.compile(
    r"[.)、．）](?![0-9])|\.[0-9] ?[A-Za-z一-鿿]| ?[一-鿿]|[ \-](?:hours?|days?|hrs?|h|years?|min|times|people|am|pm)\b"
)


def _is_broken(text: str, piece: Groups, total: int, more: int) -> bool:
    """Does the next line go on with a number that is too short for one, and long enough with it?"""
    if total <= 7 or text.startswith("0", piece[0][0]):
        return total <= 9 and 9 <= total + more <= 12
    return False


def _whole(piece: Groups, total: int) -> Iterator[tuple[int, int]]:
    if piece and 7 <= total <= 16 and len(piece) <= 8:
        yield piece[0][0], piece[-1][1]


def opens_bracket(text: str, start: int, end: int) -> int:
    """The start, moved before a bracket that closes inside: "(010) 6552 9988" is one value, "(6552 9988)" is not."""
    inside = text[start:end]
    closed = inside.count(")") + inside.count("）") - inside.count("(") - inside.count("（")
    return start - 1 if closed > 0 and start > 0 and text[start - 1] in "(（" else start


def cut_extension(text: str, start: int, end: int) -> int:
    """The end, moved before the extension of a Chinese landline: "010-65529988-8001"."""
    match = _LANDLINE.match(text[start:end])
    return start + match.end() if match else end


def is_hotline(value: str) -> bool:
    """A Chinese 400 or 800 number: a company's, and nobody's.

    >>> is_hotline("400-810-8888"), is_hotline("(800) 555-0142")
    (True, False)
    """
    return _HOTLINE.fullmatch(value) is not None


def is_date(value: str) -> bool:
    """A day, two months, two years.

    >>> is_date("2024-03-15"), is_date("20240315123000"), is_date("2012.09-2016.06"), is_date("2012-5550142")
    (True, True, True, False)
    """
    return _DATE.fullmatch(value) is not None


def is_nanp(value: str) -> bool:
    """Written as North American numbers are: (212) 555-0142, 212-555-0142, 1-212-555-0142."""
    return _NANP.fullmatch(value) is not None
