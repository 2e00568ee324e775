"""Phone numbers of the world: E.164 by its `+`, national formats by the word before them.

After a `+` the country code must exist and the length must be one its plan allows (phonenumbers' metadata); whether the
number is in use does not matter, so the ranges kept for films and manuals are found like any other. Without `+`, any 7 to
15 digits can be a phone number somewhere, and most are not: a word must say so (phone, fax, call, 电话, a column
"phone"). Chinese 400/800 hotlines and short codes belong to companies and are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers

from dslab.privacy.context import NEGATIVE
from dslab.privacy.recognizers.base import Document
from dslab.privacy.spans import Span

_INSIDE = r"[ .\-/()（）]{0,2}"
_PLUS = re.compile(rf"\+ ?[(（]?[0-9]{{1,3}}(?:{_INSIDE}[0-9]){{6,14}}")
_ZEROS = re.compile(rf"(?<![0-9A-Za-z.,+\-])(?:00|011[ \-])(?:{_INSIDE}[0-9]){{8,15}}(?![0-9A-Za-z])")
_NATIONAL = re.compile(rf"[0-9](?:{_INSIDE}[0-9]){{6,}}")
_NANP = re.compile(
    r"(?:1[ .\-])?\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .\-][0-9]{4}|(?:1[ .\-])?[2-9][0-9]{2}([.\-])[2-9][0-9]{2}\1[0-9]{4}"
)
_WORDS = re.compile(
    r"phone|tel|mob|cell|fax|call|dial|ring|sms|text|contact|desk|office|reach|whats|viber|pager|voicemail|celular|handy|number|landline|rufnummer|"
    r"[电電座传传固致来联聯热机话話號号拨]|전화|연락|携帯|(?<![a-z])ph(?![a-z])|móvil|tél",
    re.IGNORECASE,
)
_HOTLINE = re.compile(r"(?:\+?86[ \-]?)?[48]00[ \-]?[0-9]{3}[ \-]?[0-9]{4}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}([./\- ]?)(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])(?![0-9])|[0-3]?[0-9]([./\-])[01]?[0-9]\2(?:19|20)[0-9]{2}(?![0-9])"
)
_SUM_LEFT = re.compile(r"[0-9)] ?[=×*^÷] ?\Z")
_PHONE = frozenset(("phone",))
_NUMBERED = frozenset(("phone", "number"))
_DENIED = NEGATIVE | {"key", "ssn", "card"}
_CODES = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


def find(document: Document) -> Iterator[Span]:
    """PHONE_INTL; also a Chinese mobile's landline kin: `+86 10 ...`."""
    if "PHONE_INTL" not in document.types:
        return
    text = document.text
    taken = 0
    if "+" in text:
        for match in _PLUS.finditer(text):
            span = _international(document, match.start(), match.end())
            if span and span.start >= taken:
                taken = span.end
                yield span
    if "00" in text or "011" in text:
        for match in _ZEROS.finditer(text):
            span = _zeros(document, match)
            if span:
                yield span
    if _WORDS.search(text):
        yield from _national(document)
    if document.policy == "recall":
        for match in _NANP.finditer(text):
            if _is_free(text, match.start(), match.end()) and not document.is_denied(*match.span(), _DENIED):
                if not _HOTLINE.fullmatch(match[0]):
                    yield Span(match.start(), match.end(), "PHONE_INTL", 0.5, "phone_intl:pattern")


def _is_possible(digits: str) -> bool:
    """May a number of this length exist under its country code?"""
    code = next((digits[:n] for n in (1, 2, 3) if int(digits[:n]) in _CODES), None)
    if code is None or digits[0] == "0":
        return False
    if code == "1" and (len(digits) != 11 or digits[1] in "01" or digits[4] in "01"):
        return False
    number = phonenumbers.PhoneNumber(country_code=int(code), national_number=int(digits[len(code) :].lstrip("0") or 0))
    if phonenumbers.is_possible_number(number):
        return True
    # "+44 (0)20 ...": the trunk zero is written and not dialled; it has been stripped above.
    return False


def _international(document: Document, start: int, end: int) -> Span | None:
    """`+` and digits: the longest run of whole groups that a country's plan allows."""
    text = document.text
    before = text[max(0, start - 1) : start]
    if before.isascii() and before.isalnum() or before == "+":
        return None
    while end < len(text) and text[end].isascii() and text[end].isdigit():
        end += 1
    stops = [m.end() for m in re.finditer("[0-9]+", text[start:end])]
    for stop in reversed(stops):
        value = text[start : start + stop]
        digits = "".join(c for c in value if c.isdigit())
        if len(digits) < 7:
            break
        if len(digits) > 16 or not _is_possible(digits):
            continue
        after = text[start + stop : start + stop + 2]
        if after[:1].isascii() and after[:1].isalnum() and not re.match(r"(?:x|ext)", text[start + stop :][:3]):
            return None
        if digits.startswith("86") and re.fullmatch("861[3-9][0-9]{9}", digits) or _HOTLINE.fullmatch(value):
            return None
        begin = start
        if (
            text[start - 1 : start] in ("(", "（")
            and start
            and value.count(")") + value.count("）") > value.count("(") + value.count("（")
        ):
            begin -= 1
        return Span(begin, start + stop, "PHONE_INTL", 0.7, "phone_intl:pattern+country+length")
    return None


def _zeros(document: Document, match: re.Match[str]) -> Span | None:
    digits = "".join(c for c in match[0] if c.isdigit())
    digits = digits[3:] if digits.startswith("011") else digits[2:]
    if len(digits) < 8 or not _is_possible(digits) or re.fullmatch("861[3-9][0-9]{9}", digits):
        return None
    if not document.is_called(match.start(), match.end(), _PHONE):
        return None
    return Span(match.start(), match.end(), "PHONE_INTL", 0.65, "phone_intl:pattern+country+context")


def _is_free(text: str, start: int, end: int) -> bool:
    """Not glued to letters, digits, dashes to codes, or a decimal point."""
    left, right = text[max(0, start - 2) : start], text[end : end + 2]
    if left[-1:].isascii() and left[-1:].isalnum() and not _GLUED_WORD.search(text, max(0, start - 10), start):
        return False
    if left[-1:] in ("+", "#", "$", "¥", "_", "€", "£") and left:
        return False
    if left[-1:] in ("-", ".", ",") and len(left) == 2 and left[0].isascii() and left[0].isalnum():
        return False
    if right[:1].isascii() and right[:1].isalnum() and right[:1] not in "xe":
        return False
    return not (right[:1] in (".", ",", ":", "%", "_") and right[1:].isdigit())


_GLUED_WORD = re.compile(r"(?<![0-9A-Za-z])(?:tel|phone|fax|ph|call|mob|t|f|m)\Z", re.IGNORECASE)
_GROUP = re.compile("[0-9]+")
_TIMES = re.compile(rf"{_DATE.pattern}(?:[ T]?[0-9]{{1,2}}(?=:))?")


def _national(document: Document) -> Iterator[Span]:
    text, last_end = document.text, -100
    for match in _NATIONAL.finditer(text):
        for start, end in _numbers(text, *match.span()):
            follows = 0 <= start - last_end <= 6 and _LIST.fullmatch(text, last_end, start) is not None
            if _is_shaped(text, start, end) and (follows or _is_called(document, start, end)):
                last_end = end
                yield Span(start, end, "PHONE_INTL", 0.6, "phone_intl:pattern+context")


def _numbers(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a stretch of digits into what could be one phone number each: dates out, sums of 7 to 15 digits."""
    at = start
    for date in [*_TIMES.finditer(text, start, end), None]:
        stop = date.start() if date else end
        yield from _pieces(text, at, stop)
        at = date.end() if date else end


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece: list[tuple[int, int]] = []
    total = 0
    for group in _GROUP.finditer(text, start, end):
        size = group.end() - group.start()
        joint = text[piece[-1][1] : group.start()] if piece else ""
        if piece and (total + size > 15 or total >= 7 and ("/" in joint or total + size > 12 and joint.isspace() or total >= 10 and "(" in joint)):
            yield from _whole(text, start, piece, total)
            piece, total = [], 0
        piece.append(group.span())
        total += size
    yield from _whole(text, start, piece, total)


def _whole(text: str, limit: int, piece: list[tuple[int, int]], total: int) -> Iterator[tuple[int, int]]:
    if not piece or not 7 <= total <= 15:
        return
    start, end = piece[0][0], piece[-1][1]
    inside = text[start:end]
    opened = inside.count("(") + inside.count("（") < inside.count(")") + inside.count("）")
    if opened and start > 0 and text[start - 1] in "(（":
        start -= 1
    yield start, end


def _is_shaped(text: str, start: int, end: int) -> bool:
    """Could this be a phone number by its form: no decimal, no address, no social security number, no hotline?"""
    value = text[start:end]
    shape = tuple(len(group) for group in _GROUP.findall(value))
    digits = "".join(_GROUP.findall(value))
    if not _is_free(text, start, end) or _SUM_LEFT.search(text, max(0, start - 4), start):
        return False
    if shape == (3, 2, 4) or "." in value and (len(shape) == 2 or max(shape) <= 3 and len(shape) == 4 and value.count(".") == 3):
        return False
    if len(shape) == 1 and (len(digits) > 13 or _DATE.match(digits) or re.fullmatch(r"1[5-9][0-9]{8}", digits)):
        return False
    if len(digits) == 11 and re.fullmatch("1[3-9].*", digits) and not _NANP.fullmatch(value):
        return False  # written as a Chinese mobile, with a prefix that nobody has
    return _HOTLINE.fullmatch(value) is None


def _is_called(document: Document, start: int, end: int) -> bool:
    label = document.label(start, end)
    value = document.text[start:end]
    grouped = len(_GROUP.findall(value)) >= 2
    if label is None:
        return grouped and any(f.word in ("number", "numbers") and f.bound for f in document.context.left(start))
    if label.kind == "phone":
        return label.bound or label.gap <= 12 or label.gap <= 32 and grouped
    if label.kind == "phoneish":
        return (label.bound or label.gap <= 16) and grouped and sum(map(len, _GROUP.findall(value))) >= 9
    return False


_LIST = re.compile(r"[\s,;、/，；|]*(?:or|and|和|或)?\s*")
