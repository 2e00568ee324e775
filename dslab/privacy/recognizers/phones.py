"""Phone numbers of the world: E.164 by its `+`, national formats by the word before them.

After a `+` the country code must exist and the length must be one its plan allows (phonenumbers' metadata); whether
the number is in use does not matter, so the ranges kept for films and manuals are found like any other. Without `+`,
any 7 to 15 digits can be a phone number somewhere, and most are not: a word must say so (phone, fax, call, 电话, a
column "phone"). Chinese 400/800 hotlines and short codes belong to companies and are left alone; so is what is
written as a Chinese mobile and has a prefix or a length that no mobile has.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

import phonenumbers

from dslab.privacy.context import NEGATIVE, Label, units
from dslab.privacy.labels import PHONE_WORDS
from dslab.privacy.recognizers.base import Document
from dslab.privacy.recognizers.phone_shapes import (
    cut_extension,
    is_date,
    is_hotline,
    is_nanp,
    numbers_in,
    opens_bracket,
)
from dslab.privacy.spans import Span

_PLUS = re.compile(r"\+ ?[(（]?[0-9]{1,3}(?:[ .\-/()（）]{0,3}[0-9]){2,14}")
# The next line of a number that a line break parts, and what says that its digits are something else: the next item of
# a list, a field, a date.
_NEXT_LINE = re.compile(r"[ \-]?\r?\n[ \t]{0,8}(?P<digits>[0-9]{2,11}(?:[ .\-]{1,2}[0-9]{2,6}){0,4})")
_NOT_NEXT = re.compile(r"[0-9A-Za-z]|[.)）:：、=/%|\t,_](?=\S)|[.)）:：、] |[.\-][0-9]| ?[*=×÷]")
_OTHER_NUMBER = re.compile("号[:： ]{0,2}\\Z")
_ENDS_LINE = re.compile(r"[ \t\r]*(?:\n|\Z)")
_GROUP = re.compile("[0-9]+")
# A number and its owner in brackets, before the next member of a list: "17088362687（妻子），".
_MEMBER_LEFT = re.compile(
    r"(?<![0-9])(?P<number>[+0-9(][0-9 \-()]{5,20}[0-9])(?: ?[(（][^()（）\n0-9]{1,12}[)）])?[,，;；、/或和 ]{1,3}\Z"
)
# What stands between the members of a list, in a line or one a line.
_LIST = re.compile(r"[\"')）]?(?: ?[,;、/，；|&]|)\s{0,8}(?:or |and |和|或|[\-*•] )?\s?[\"'(（]?")
_SUM_LEFT = re.compile(r"[0-9)] ?[=×*^÷] ?\Z")
_SUM_RIGHT = re.compile(r" ?[×*^÷=] ?[0-9]| [/+] [0-9]{1,4}(?![0-9.\- /]?[0-9])")
_GLUED_WORD = re.compile(r"(?<![0-9A-Za-z])(?:tel|phone|fax|ph|call|mob|t|f|m|telephone|number)\Z", re.IGNORECASE)
_EXTENSION = re.compile(r"x[0-9]|ext", re.IGNORECASE)
_DECIMALS = re.compile(r"[0-9]\.[0-9]+[ \-/][0-9]+\.[0-9]")
_MASKED_LEFT = re.compile(r"(?:[0-9A-Za-z]\*{2,}|\*{3,})\Z")
_CLOCK_LEFT = re.compile(r"[0-9]{2}:\Z")
_BYTE_LINE = re.compile(
    "(?:0x)?[0-9A-Fa-f]{7,16}:?  ?"
    "(?:(?:[0-9A-Fa-f]{2} ){4}|(?:[0-9A-Fa-f]{4} ){4}|(?:[0-9A-Fa-f]{6} ){3}|(?:[0-9A-Fa-f]{8} ){2})"
)  # an offset, and bytes
_MOBILE = re.compile("861[3-9][0-9]{9}")
_CODES = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
_PATIENCE = 40
_DENIED = NEGATIVE | {"key", "ssn", "card", "uscc", "passport", "iban"}


def find(document: Document) -> Iterable[Span]:
    """PHONE_INTL."""
    return _all(document) if document.signs.has_digit and "PHONE_INTL" in document.types else ()


def _all(document: Document) -> Iterator[Span]:
    text, taken = document.text, 0
    international: deque[int] = deque()
    if "+" in text:
        for match in _PLUS.finditer(text):
            if match.end() - match.start() < 8 and "\n" not in text[match.end() : match.end() + 3]:
                continue
            span = _international(text, match.start(), match.end())
            if not is_hotline(match[0]):
                span = _broken(text, match, span) or span
            if span and span.start >= taken:
                taken = span.end
                international.append(taken)
                yield span
    last_end, misses, is_mentioned = -100, 0, True
    for groups in document.spots.runs:
        for start, end in numbers_in(text, groups):
            if not is_mentioned and not is_nanp(text[start - 1 : end]) and not is_nanp(text[start:end]):
                continue
            while international and international[0] <= start:
                last_end = max(last_end, international.popleft())
            span = _national(document, start, end, last_end)
            if span:
                last_end = span.end
                yield span
                continue
            misses += 1
            if misses == _PATIENCE:
                # A table of figures: read on only if some phone word stands somewhere in the text.
                is_mentioned = any(word in document.lower for word in PHONE_WORDS)


def is_possible(digits: str) -> bool:
    """May a number of this length exist under its country code?

    >>> is_possible("442079460958"), is_possible("4420"), is_possible("2109999999")
    (True, False, False)
    """
    code = next((digits[:n] for n in (1, 2, 3) if int(digits[:n]) in _CODES), None)
    if code is None or digits[0] == "0":
        return False
    if code == "1":
        return len(digits) == 11 and digits[1] not in "01" and digits[4] not in "01"
    # "+44 (0)20": the trunk zero is written and not dialled.
    national = digits[len(code) :].lstrip("0")
    number = phonenumbers.PhoneNumber(country_code=int(code), national_number=int(national or 0))
    return bool(phonenumbers.is_possible_number(number))


def is_valid(digits: str) -> bool:
    """Is a number of this form given out under its country code?

    >>> is_valid("442079460958"), is_valid("44207946")
    (True, False)
    """
    code = next((digits[:n] for n in (1, 2, 3) if int(digits[:n]) in _CODES), None)
    if code is None or not 7 <= len(digits) <= 16:
        return False
    number = phonenumbers.PhoneNumber(country_code=int(code), national_number=int(digits[len(code) :].lstrip("0") or 0))
    return bool(phonenumbers.is_valid_number(number))


def _international(text: str, start: int, end: int) -> Span | None:
    """`+` and digits: the longest run of whole groups that a country's plan allows."""
    before = text[max(0, start - 1) : start]
    if (
        before.isascii() and before.isalnum() and not _GLUED_WORD.search(text, max(0, start - 12), start)
    ) or before == "+":
        return None
    while end < len(text) and text[end].isascii() and text[end].isdigit():
        end += 1
    value = text[start:end]
    cell = value.partition("  ")[0]
    digits = "".join(_GROUP.findall(cell))
    if len(digits) >= 10 and is_possible(digits):
        value = cell  # the next column of a table is another number
    for group in reversed(list(_GROUP.finditer(value))):
        digits = "".join(_GROUP.findall(value[: group.end()]))
        if len(digits) < 7:
            return None
        if len(digits) > 16 or not is_possible(digits):
            continue
        stop = start + group.end()
        if _MOBILE.fullmatch(digits) or is_hotline(value[: group.end()]):
            return None
        stop = cut_extension(text, start, stop)
        after = text[stop : stop + 3]
        if after[:1].isascii() and after[:1].isalnum() and not _EXTENSION.match(after):
            return None
        return Span(opens_bracket(text, start, stop), stop, "PHONE_INTL", 0.7, "phone_intl:pattern+country+length")
    return None


def _broken(text: str, match: re.Match[str], found: Span | None) -> Span | None:
    """`+` and digits that the next line completes, where the first line alone is no number, or a very short one."""
    stop = found.end if found else match.end()
    line = _NEXT_LINE.match(text, stop)
    if line is None or (found is None and len(match[0]) > 20):
        return None
    head = "".join(_GROUP.findall(text[match.start() : stop]))
    if len(head) >= 10 or (found and len(head) > 9) or not head or head[0] == "0":
        if len(head) >= 12 or is_valid(head):
            return None
    elif is_valid(head) and not _ENDS_LINE.match(text, line.end()):
        return None
    for group in reversed(list(_GROUP.finditer(text, line.start("digits"), line.end()))):
        digits = head + "".join(_GROUP.findall(text[stop : group.end()]))
        if is_valid(digits) and not _NOT_NEXT.match(text, group.end()) and not _MOBILE.fullmatch(digits):
            start = opens_bracket(text, match.start(), group.end())
            return Span(start, group.end(), "PHONE_INTL", 0.7, "phone_intl:pattern+country+length")
    return None


def _national(document: Document, start: int, end: int, last_end: int) -> Span | None:
    """A number without `+`, if it has a phone number's form and somebody calls it one."""
    text = document.text
    end = cut_extension(text, start, end)
    start = opens_bracket(text, start, end)
    digits = "".join(_GROUP.findall(text[start:end]))
    if not _is_free(text, start, end):
        return None
    if not _is_shaped(text[start:end], digits) and not _is_plain_nanp(document, start, end):
        return None
    if digits == text[start:end] and _is_account(text, start, end, digits):
        return None
    label = document.label(start, end)
    called = _is_called(document, label, start, text[start:end], digits)
    if not called and 0 <= start - last_end <= 16 and (label is None or label.kind == "phone" or not label.bound):
        called = _LIST.fullmatch(text, last_end, start) is not None
    if not called and (label is None or label.kind == "phone" or not label.bound):
        called = _follows_phone(document, start)
    if called:
        return Span(start, end, "PHONE_INTL", 0.6, "phone_intl:pattern+context")
    if document.policy == "recall" and text[start] == "(" and is_nanp(text[start:end]) and not _is_denied(label):
        return Span(start, end, "PHONE_INTL", 0.5, "phone_intl:pattern")
    return None


def _follows_phone(document: Document, start: int) -> bool:
    """Is this the next of a list whose number before is called a phone?"""
    member = _MEMBER_LEFT.search(document.text, max(0, start - 44), start)
    if member is None or not 7 <= sum(map(str.isdigit, member["number"])) <= 15:
        return False
    label = next((found for found in document.context.left(member.start("number"))), None)
    return label is not None and label.kind == "phone" and label.bound


def _is_free(text: str, start: int, end: int) -> bool:
    """Not glued to letters, digits, dashes to codes, a decimal point, or arithmetic."""
    left, right = text[max(0, start - 2) : start], text[end : end + 2]
    if left:
        last = left[-1]
        if last.isascii() and last.isalnum() and not _GLUED_WORD.search(text, max(0, start - 10), start):
            return False
        if last == "*" and _MASKED_LEFT.search(text, max(0, start - 5), start) and right[:1] != "*":
            return False
        if last in "+#$¥_€£" or (left == "\n-" and text[start - 3 : start - 2].isdigit()):
            return False
        if last in "-.," and len(left) == 2 and left[0].isascii() and left[0].isalnum() and last != ",":
            return False
    if right:
        if right[0].isascii() and right[0].isalnum() and not _EXTENSION.match(right):
            return False
        if (right[0] in ".:%_" and right[1:].isdigit()) or (
            right[0] == "-" and right[1:].isalpha() and right[1:].isascii()
        ):
            return False
    if _BYTE_LINE.match(text, text.rfind("\n", max(0, start - 80), start) + 1):
        return False
    if _CLOCK_LEFT.search(text, max(0, start - 3), start):
        return False
    return not (_SUM_LEFT.search(text, max(0, start - 4), start) or _SUM_RIGHT.match(text, end))


def _is_shaped(value: str, digits: str) -> bool:
    """Could this be a phone number by its form: no decimal, no address, no date, no hotline, no impossible mobile?"""
    shape = tuple(len(group) for group in _GROUP.findall(value))
    if shape == (3, 2, 4) or is_date(value) or is_hotline(value):
        return False
    if "." in value and (len(shape) == 2 or _DECIMALS.search(value) or (len(shape) == 4 and max(shape) <= 3)):
        return False
    if len(shape) == 1 and (len(digits) > 13 or re.fullmatch(r"1[0-9]{6,9}|86[0-9]+", digits)):
        return False
    if len(digits) == 11 and digits[0] == "1" and shape in ((11,), (3, 4, 4), (3, 8)):
        return False
    if value.count(".") >= 4 and min(shape) == 1 and " " not in value:
        return False  # an object identifier
    return len(set(digits)) > 1 and (len(digits) <= 15 or digits.startswith("00")) and not digits.startswith("000")


def _is_plain_nanp(document: Document, start: int, end: int) -> bool:
    """Ten digits that could be a day and an hour, but no hotline, where they are called a phone."""
    if not _TEN.fullmatch(document.text, start, end) or is_hotline(document.text[start:end]):
        return False
    label = document.label(start, end)
    return label is not None and label.kind == "phone" and label.bound and len(set(document.text[start:end])) > 1


_TEN = re.compile("[2-9][0-9]{2}[2-9][0-9]{6}")


def _is_account(text: str, start: int, end: int, digits: str) -> bool:
    """A QQ account, named on its right, or on its left together with something else."""
    if digits[0] == "0" or len(digits) > 10:
        return False
    return _QQ_RIGHT.match(text, end) is not None or _QQ_LEFT.search(text, max(0, start - 16), start) is not None


_QQ_RIGHT = re.compile(
    r" ?[(（【，,]?[ ]?(?:这个|就)?(?:是|为|即)?(?:我的|本人|我|他|她|的|is (?:my|our) |my )?[ ]?"
    r"(?:QQ|扣扣|企鹅)(?![群号]{0,2} ?[:：]? ?[0-9])",
    re.IGNORECASE,
)
_QQ_LEFT = re.compile(r"(?:QQ|扣扣) ?[/、或和] ?(?:微信|vx|wx|wechat|电话|手机)[号码]{0,2} ?[:：]? ?\Z", re.IGNORECASE)


def _is_called(document: Document, label: Label | None, start: int, value: str, digits: str) -> bool:
    grouped = len(digits) < len(value)
    if label is None or not label.bound:
        left = document.context.left(start)
        if grouped and len(digits) >= 9 and any(f.word in ("number", "numbers") and f.bound for f in left):
            return True
    if label is None:
        return grouped and len(digits) >= 9 and _is_called_behind(document, start + len(value))
    if label.kind == "phone":
        if not label.word.isascii() and not grouped and not re.fullmatch(r"0[0-9]{8,13}|[2-9][0-9]{6,7}", digits):
            return False  # a Chinese number in one piece: a landline, with its area or without
        return label.bound or ((label.gap <= 12 or (label.gap <= 32 and grouped)) and len(digits) >= 8)
    if label.kind == "phoneish":
        return (label.bound or label.gap <= 16) and len(digits) >= 9 and grouped
    return False


def _is_called_behind(document: Document, end: int) -> bool:
    """Is a telephone the first thing named in the rest of the clause: "212 555 0142, John's cell"?"""
    match = _CLAUSE.match(document.text, end)
    found = next((unit for unit in units(match[0]) if unit.kind), None) if match else None
    if found is None or found.kind != "phone" or len(found.word) < 2 or match is None:
        return False
    return not _NAMES_NEXT.match(document.text, end + found.end)


_CLAUSE = re.compile(r"[^\n0-9.;；。|\t<>{}=]{2,32}")
_NAMES_NEXT = re.compile(r"[\w ]{0,12}[:：=]|[ \w]{0,8} ?[+(（]?[0-9]")


def _is_denied(label: Label | None) -> bool:
    return label is not None and (label.bound or label.gap <= 12) and label.kind in _DENIED
