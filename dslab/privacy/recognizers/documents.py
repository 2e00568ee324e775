"""Chinese licence plates by their shape; passports by the word before them.

Plate (GA 36-2018): province, office letter, five signs (at most two letters, none of them I or O), or six for
electric cars (D or F first, or last); police, trainer, trailer, border plates end in a Chinese sign. Passport numbers
of the world are six to nine letters and digits, which is nothing without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dslab.privacy.recognizers.base import Document
from dslab.privacy.spans import Span

_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤川青藏琼宁"
_OFFICE = "[A-HJ-NP-Za-hj-np-z]"
_SIGN = "[A-HJ-NP-Za-hj-np-z0-9]"
_GAP = "[ ]?[·•・.．‧\\- ]?[ ]?"
# Starts with one class of characters, so that `re` skips prose at full speed.
_PLATE = re.compile(
    rf"[{_PROVINCES}使](?:(?<!使) ?{_OFFICE}{_GAP}(?:"
    rf"[A-Ka-k]{_SIGN}?[0-9]{{4,5}}(?![0-9A-Za-z])|[0-9]{{5}}[A-Ka-k](?![0-9A-Za-z])|"
    rf"{_SIGN}{{4}}[挂学警港澳试超领使]|{_SIGN}{{5}}(?![0-9A-Za-z]))"
    r"|(?<=使)[0-9]{3}[·.]?[0-9]{3}(?![0-9]))"
)
_ARMED_POLICE = re.compile(rf"WJ ?[{_PROVINCES}]?[·•]?[0-9]{{4}}[0-9XBTSHJDxbtshjd](?![0-9A-Za-z])")
_ALNUM = re.compile("[0-9a-z]")
_CAR = frozenset(("plate",))
_NOT_CAR = frozenset(("goods", "order", "money", "version"))
_CHINESE_PASSPORT = re.compile(r"(?:[EGDSPHMCKegdspmhck]|[EeDdSsPpKkCcMmHh][A-Za-z])[0-9]{7,8}|1[45][0-9]{7}")
_GENERAL_PASSPORT = re.compile(
    r"[A-Z]{1,2}[0-9]{6,8}|[0-9]{7,9}|[A-Z][0-9]{2}[A-Z]{2}[0-9]{4}|[0-9]{2}[A-Z]{2}[0-9]{5}|[A-Z]{3}[0-9]{5,6}|[A-Z0-9]{6,9}"
)
_PASS = frozenset(("passport", "cn_id"))


def find(document: Document) -> Iterable[Span]:
    """CN_PLATE and PASSPORT."""
    found: list[Span] = []
    if "CN_PLATE" in document.types and not document.text.isascii() and _ALNUM.search(document.signs.words):
        found += _plates(document)
    if "PASSPORT" in document.types and document.signs.has_digit:
        found += _passports(document)
    return found


def _plates(document: Document) -> Iterator[Span]:
    text = document.text
    matches = [*_PLATE.finditer(text), *(_ARMED_POLICE.finditer(text) if "WJ" in text else ())]
    for match in matches:
        start, end = match.span()
        body = match[0][2:]
        digits, letters = sum(c.isdigit() for c in body), sum(c.isascii() and c.isalpha() for c in body)
        # At most two letters by the standard; more of them, or few digits, only where somebody says "plate".
        if digits == 2 and body[-1] in "挂学警":
            digits, letters = 3, 2  # the last sign is evidence enough
        called = (digits < 3 or letters > 2) and document.is_called(start, end, _CAR)
        if ((digits < 3 or letters > 2) and not called) or document.is_denied(start, end, _NOT_CAR):
            continue
        yield Span(start, end, "CN_PLATE", 0.85, "cn_plate:pattern" + ("+context" if called else ""))


def _may_name_passports(document: Document) -> bool:
    lower = document.lower
    if "pass" in lower and ("passport" in lower or "passeport" in lower or "reisepass" in lower):
        return True
    if lower.isascii():
        return "travel document" in lower or "pasaporte" in lower
    return ("照" in lower and ("护照" in lower or "護照" in lower)) or (
        "证" in lower and any(word in lower for word in ("通行证", "回乡证", "旅行证", "台胞证"))
    )


def _passports(document: Document) -> Iterator[Span]:
    text = document.text
    if not _may_name_passports(document):
        return
    last_end = -100
    for start, end in _codes(text):
        if text[start:end].isalpha():
            continue
        compact = text[start:end].replace(" ", "").upper()
        digits = sum(char.isdigit() for char in compact)
        if not digits or _SIZE.fullmatch(compact) or _DAY.fullmatch(compact):
            continue
        chinese = _CHINESE_PASSPORT.fullmatch(compact) is not None
        if not chinese and not _GENERAL_PASSPORT.fullmatch(compact):
            continue
        if chinese and _BEHIND.match(text, end):
            yield Span(start, end, "PASSPORT", 0.75, "passport:pattern+context")
            continue
        if 0 < start - last_end <= 12 and digits >= 4 and _is_next(document, last_end, start, compact):
            last_end = end
            yield Span(start, end, "PASSPORT", 0.7, "passport:pattern+context")
            continue
        label = document.label(start, end)
        if label is None or label.kind not in _PASS or (label.kind == "cn_id" and not chinese):
            continue
        if not chinese and digits < 4 and not (label.bound and text[start:end].isupper() and end - start >= 8):
            continue
        if label.bound or label.gap <= (24 if chinese else 12):
            last_end = end
            yield Span(start, end, "PASSPORT", 0.75 if chinese else 0.7, "passport:pattern+context")


def _is_next(document: Document, last_end: int, start: int, code: str) -> bool:
    """The next of a list, passport IN ('C0FX21844', 'E12345678'); not of a row whose column is another."""
    text = document.text
    if not _LIST.fullmatch(text, last_end, start):
        return False
    if code.isdigit() and not text[last_end - len(code) : last_end].isdigit():
        return False
    column = document.context.column(start)
    return column is None or column.kind == "passport"


_LIST = re.compile(r"[\"'`]?\]?(?: ?[,;、，；/] ?| (?:and|or|和|或) |[和或及])(?:and |or )?[\"'`\[]?")
_SIZE = re.compile("[0-9]+X[0-9]+")
_BEHIND = re.compile("号?(?:的)?(?:普通|因私|因公|外交)?护照")
_DAY = re.compile("(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9]")


def _codes(text: str) -> Iterator[tuple[int, int]]:
    """Words of letters and digits that could be a passport number; "E 12345678" and "533 380 006" count as one."""
    for match in _CODE.finditer(text):
        start, end = match.span()
        before, after = text[max(0, start - 2) : start], text[end : end + 2]
        if before[-1:] in ("-", "_", ".") and len(before) == 2 and before[0].isascii() and before[0].isalnum():
            continue
        if after[:1] in ("-", "_", ".", "/") and after[1:].isascii() and after[1:].isalnum():
            continue
        yield start, end


_CODE = re.compile(
    r"(?<![0-9A-Za-z])(?:[A-Za-z]{1,2} [0-9]{6,8}|[0-9]{3} [0-9]{3} [0-9]{3}|[0-9A-Za-z]{6,11})(?![0-9A-Za-z])"
)
