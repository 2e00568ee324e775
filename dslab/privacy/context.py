"""What does the writer call it? The nearest label decides.

`订单号 4111111111111111` and `card 4111111111111111` differ in nothing but the word before. A window full of good
words is not enough: in "my phone is off, order 13800138000" the word that counts is *order*. So the label of a value is

    1. the last label before it in its line, if nothing but punctuation and filler stands between ("Tel. no.: 212")
    2. the header of its table column (Markdown, CSV, TSV)
    3. a label at the end of the line above
    4. the last label within 48 characters, at whatever distance; the reader of the label says how far is too far
    5. the word right behind it: "212-555-0142 (fax)"
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dslab.privacy.labels import CHINESE, CHINESE_FILLERS, ENGLISH, FILLERS
from dslab.privacy.tables import Tables

NEGATIVE = frozenset(("order", "goods", "device", "time", "money", "size", "version", "qq"))
WEAK = frozenset(("number", "ipish", "software"))
_WINDOW = 48
_TOKEN = re.compile("[A-Za-z\u00c0-\u024f]+|[\u4e00-\u9fff\u3040-\u30ff\uac00-\ud7af]+|[0-9]+(?:[.:/-][0-9]+)*")
# A sentence ends between a label and what follows; a full stop behind an abbreviation does not end one.
_STOP = re.compile("[。！？!?;；]|[.](?![0-9A-Za-z_])|[.]$")
_ABBREVIATIONS = frozenset(("no", "nr", "num", "tel", "ph", "mob", "tél", "t", "m", "f", "fax", "cell", "nos", "telef"))
_CAMEL = re.compile("(?<=[a-z])(?=[A-Z])")
# Characters set apart to fill a form's line: "电 话".
_SPREAD = re.compile("(?<![\u4e00-\u9fff])(?:[\u4e00-\u9fff] {1,4})+[\u4e00-\u9fff](?![\u4e00-\u9fff])")


class Label(NamedTuple):
    """A word that names a value.

    kind:  its family. gap: characters between word and value. bound: nothing but punctuation and filler between.
    where: left, above (the line before), right or column.
    """

    kind: str
    word: str
    gap: int
    bound: bool
    where: str


class _Unit(NamedTuple):
    """A word of a window: a label (kind), filler (kind "") or something else (kind None)."""

    kind: str | None
    word: str
    start: int
    end: int


def units(window: str) -> list[_Unit]:
    """The words of a short text, longest labels first.

    >>> [u.kind for u in units("userPhone 手机号码为 order 12345")]
    ['', 'phone', 'phone', '', 'order', None]
    """
    spaced = _CAMEL.sub(" ", window) if not window.islower() else window
    if not window.isascii():
        spaced = _SPREAD.sub(lambda m: m[0].replace(" ", ""), spaced)
    shift = len(window) - len(spaced)  # positions count from the end, where the value stands
    found: list[_Unit] = []
    tokens = [(m[0], m.start() + shift, m.end() + shift) for m in _TOKEN.finditer(spaced)]
    skip = 0
    for at, (word, start, end) in enumerate(tokens):
        if skip:
            skip -= 1
        elif _is_inside_code(spaced, start - shift, end - shift, word):
            found.append(_Unit(None, word, start, end))
        elif word[0].isdigit():
            found.append(_Unit("" if len(word) <= 2 else None, word, start, end))
        elif word[0] >= "\u3040":
            found.extend(_chinese(word, start))
        else:
            unit, skip = _english(tokens, at, spaced.find("\n", start - shift) + shift)
            found.append(unit)
    return found


def _is_inside_code(text: str, start: int, end: int, word: str) -> bool:
    """Letters behind a digit (PN in 45G05PN), or one letter that no colon makes a label (GB/T; T: is Tel)."""
    if word[0] >= "\u3040" or word[0].isdigit():
        return False
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    if before.isdigit():
        return True
    return (
        len(word) == 1
        and word in "tTfFmM"
        and (after not in (":", "：", ".") or before.isalnum() or before in ("/", "'"))
    )


def _english(tokens: list[tuple[str, int, int]], at: int, line_end: int) -> tuple[_Unit, int]:
    """The label that starts at a token, of three, two or one words; and how many further tokens it takes."""
    word, start, end = tokens[at]
    word = word.lower()
    for more in (2, 1) if word in _OPENERS else ():
        in_line = line_end < start or (at + more < len(tokens) and tokens[at + more][1] < line_end)
        if at + more < len(tokens) and tokens[at + more][1] - end <= 14 and in_line:
            phrase = " ".join(token[0] for token in tokens[at : at + more + 1]).lower()
            if phrase in ENGLISH:
                return _Unit(ENGLISH[phrase], phrase, start, tokens[at + more][2]), more
    kind = ENGLISH.get(word) or (ENGLISH.get(word[:-1]) if word.endswith("s") and len(word) > 3 else None)
    if kind is None and word in FILLERS:
        kind = ""
    return _Unit(kind, word, start, end), 0


_OPENERS = frozenset(phrase.partition(" ")[0] for phrase in ENGLISH if " " in phrase)


def _chinese(run: str, start: int) -> list[_Unit]:
    found: list[_Unit] = []
    at = unknown = 0  # from `unknown` on, no word has begun
    size = len(run)
    while at < size:
        for word, kind in _BY_FIRST.get(run[at], ()):
            if run.startswith(word, at):
                if unknown < at:
                    found.append(_Unit(None, run[at - 1], start + unknown, start + at))
                found.append(_Unit(kind, word, start + at, start + at + len(word)))
                at = unknown = at + len(word)
                break
        else:
            at += 1
    if unknown < size:
        found.append(_Unit(None, run[-1], start + unknown, start + size))
    return found


def _by_first() -> dict[str, list[tuple[str, str]]]:
    """The Chinese words by their first character, longest first."""
    words: dict[str, list[tuple[str, str]]] = {}
    for word in sorted([*CHINESE, *CHINESE_FILLERS], key=len, reverse=True):
        words.setdefault(word[0], []).append((word, CHINESE.get(word, "")))
    return words


_BY_FIRST = _by_first()


class Context:
    """The labels around positions of one text. Tables are read once, when the first value asks."""

    __slots__ = ("_left", "_tables", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._tables: Tables | None = None
        self._left: tuple[int, list[Label]] = (-1, [])

    @property
    def tables(self) -> Tables:
        """The tables of the text."""
        if self._tables is None:
            self._tables = Tables(self.text)
        return self._tables

    def left(self, start: int) -> list[Label]:
        """Labels before a position, nearest first; not past the line above. Often asked again for the same one."""
        if self._left[0] != start:
            self._left = start, self._labels_before(start)
        return self._left[1]

    def _labels_before(self, start: int) -> list[Label]:
        begin = max(0, start - _WINDOW)
        window = self.text[begin:start]
        lines = window.rsplit("\n", 3)
        keep = 3 if len(lines) == 4 and not lines[-2].strip() else 2  # past one empty line
        if len(lines) > keep:
            window = "\n".join(lines[-keep:])
            begin = start - len(window)
        elif begin and window[:1].isascii() and window[:1].isalnum():
            half = _HALF_WORD.match(window)
            window = window[half.end() :] if half else window
        last_break = window.rfind("\n")
        labels, bound, size, before = [], True, len(window), len(window)
        for unit in reversed(units(window)):
            if unit.kind and window[unit.end : unit.end + 1] in _CLOSING and _OF_NUMBER.search(window, 0, unit.start):
                bound, before = False, unit.start  # "22660885 (QQ), ...": the word names what stands before it
                continue
            if (
                bound
                and unit.word.lower().rpartition(" ")[2] not in _ABBREVIATIONS
                and _STOP.search(window, unit.end, before)
            ):
                bound = False
            before = unit.start
            if unit.kind:
                where = "above" if unit.start < last_break else "left"
                labels.append(Label(unit.kind, unit.word, size - unit.end, bound, where))
                bound = bound and unit.kind != "software"  # a word of the text to every reader but one
            elif unit.kind is None:
                bound = False
        return labels

    def nearest(self, start: int, kinds: tuple[str, ...]) -> Label | None:
        """The nearest label of these families to the left, in the line itself; a bound one before any other."""
        return next((label for label in self.left(start) if label.kind in kinds and label.where == "left"), None)

    def right(self, end: int) -> Label | None:
        """The label right behind a position: in brackets, after a dash, or before the end of the sentence."""
        match = _BEHIND.match(self.text, end)
        unit = next((unit for unit in units(match[match.lastgroup or 0]) if unit.kind), None) if match else None
        if unit is None or unit.kind in WEAK:
            return None
        return Label(unit.kind or "", unit.word, unit.start, True, "right")

    def column(self, start: int) -> Label | None:
        """The label in the header of the table column that holds a position, if it stands in a table."""
        header = self.tables.header(start)
        if not header:
            return None
        named = [unit for unit in units(header) if unit.kind]
        strong = [unit for unit in named if unit.kind not in WEAK] or named
        return Label(strong[-1].kind or "", strong[-1].word, 0, True, "column") if strong else None

    def label(self, start: int, end: int) -> Label | None:
        """The label that names text[start:end], by the order above."""
        left = [label for label in self.left(start) if label.kind not in WEAK]
        nearest = left[0] if left else None
        if nearest and nearest.bound and nearest.where == "left":
            # A word in the cell before is that cell's value, unless the table has no header: "Phone | 212-555-0142".
            in_cell = _CELL_EDGE.search(self.text, start - nearest.gap, start) is None
            return nearest if in_cell else self.column(start) or nearest
        return self.column(start) or nearest or self.right(end)


_BEHIND = re.compile(
    r"\s?[(（\[\-/]\s?(?P<a>[A-Za-z]{1,12}|[\u4e00-\u9fff]{1,6})"
    r"|\s(?:is (?:my|the|our|his|her) )?(?P<b>[A-Za-z]{2,10})(?=\s*(?:[,.;)\n]|\Z))"
    r"|,?\s(?:is|was|as)\s(?:(?:my|the|our|his|her|their|your|a|best|new|old|direct|work|home|office|main) ){0,3}"
    r"(?:number )?(?:to |for )?"
    r"(?P<c>[A-Za-z]{2,10})(?![A-Za-z]|\s?[:=])"
    r"|\s?(?:—|–|<-|←|--?>?)\s?(?P<d>[A-Za-z]{2,12})(?=\s*(?:[,.;)\n]|\Z))"
    r"|,?\s?[,，]?(?:(?:就|这)?是|为)(?:我|你|他|她|我们|他们|公司|单位|家里|办公室|本人|新|旧|家|的){0,3}(?P<e>[\u4e00-\u9fff]{2,6})(?![:：])"
)
_CLOSING = (")", "）")
_OF_NUMBER = re.compile("[0-9] ?[(（]\\Z")
_CELL_EDGE = re.compile("[|│\t,;]")
_HALF_WORD = re.compile(r"[0-9A-Za-z]+")
