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

from dslab.privacy.recognizers.base import Document
from dslab.privacy.spans import Span

_INSIDE = r"[ .\-/()（）]{0,2}"
_PLUS = re.compile(rf"\+ ?[(（]?[0-9]{{1,3}}(?:{_INSIDE}[0-9]){{6,14}}")
_ZEROS = re.compile(rf"(?<![0-9A-Za-z.,+\-])(?:00|011[ \-])(?:{_INSIDE}[0-9]){{8,15}}(?![0-9A-Za-z])")
_NATIONAL = re.compile(rf"[(（]?[0-9](?:{_INSIDE}[0-9]){{6,14}}(?![0-9])")
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
    if document.policy == "recall" and "(" in text:
        for match in _NANP.finditer(text):
            if match[0].lstrip("1 .-").startswith("(") and _is_free(text, match.start(), match.end()):
                if not document.is_denied(match.start(), match.end()):
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
    if left[-1:].isascii() and left[-1:].isalnum() or left[-1:] in ("+", "#", "$", "¥", "_"):
        return False
    if (
        left[-1:] in ("-", ".", "/", ",")
        and left[:1].isascii()
        and left[:1].isalnum()
        and len(left) == 2
        and left[-1:] != "/"
    ):
        return False
    if right[:1].isascii() and right[:1].isalnum() and right[:1] not in "xe":
        return False
    return not (right[:1] in (".", ",", ":", "%") and right[1:].isdigit())


def _national(document: Document) -> Iterator[Span]:
    text, last_end = document.text, -100
    for match in _NATIONAL.finditer(text):
        start, end = match.span()
        if text[start - 1 : start] == "+" and start:
            continue
        for begin, stop in _split(text, start, end):
            value = text[begin:stop]
            digits = sum(c.isdigit() for c in value)
            if not 7 <= digits <= 15 or _HOTLINE.fullmatch(value.strip("()")) and not value.startswith("("):
                continue
            if value.startswith(("(", "（")) != (")" in value or "）" in value) and not (")" in value and "(" in value):
                begin += value.startswith(("(", "（"))
                value = text[begin:stop]
            if (
                not _is_free(text, begin, stop)
                or _DATE.match(value)
                or _SUM_LEFT.search(text, max(0, begin - 4), begin)
            ):
                continue
            if re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", value):
                continue
            follows = (
                begin - last_end <= 6
                and re.fullmatch(r"[\s,;、/，；|]*(?:or|and|和|或)?\s*", text[last_end:begin]) is not None
            )
            if follows or _is_called(document, begin, stop, value):
                last_end = stop
                yield Span(begin, stop, "PHONE_INTL", 0.6, "phone_intl:pattern+context")


def _split(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """One candidate; or its two halves where two numbers stand side by side ("010-65521234 021-65521234")."""
    value = text[start:end]
    if sum(c.isdigit() for c in value) > 12 or " / " in value:
        for gap in re.finditer(r" +/? *|/", value):
            left, right = value[: gap.start()], value[gap.end() :]
            if min(sum(c.isdigit() for c in left), sum(c.isdigit() for c in right)) >= 7:
                return [(start, start + gap.start()), (start + gap.end(), end)]
    return [(start, end)]


def _is_called(document: Document, start: int, end: int, value: str) -> bool:
    label = document.label(start, end)
    if label is None:
        return any(found.kind == "number" and found.bound for found in document.context.left(start)) and _is_grouped(
            value
        )
    if label.kind == "phone":
        return label.bound or label.gap <= 28 and _is_grouped(value) or label.gap <= 12
    return False


def _is_grouped(value: str) -> bool:
    """Written with separators, as phone numbers are and identifiers are not."""
    return len(re.findall("[0-9]+", value)) >= 2
