"""Tables whose columns are held apart by blanks alone, as `ps`, `column -t` and reStructuredText write them.

    Name        Phone           Passport
    Ann Lee     020 7946 0000   C0FX21844

A table is a run of lines that have gaps of two blanks and more; a line of dashes or equals signs belongs to it. Its
first line is the head if no cell of it has a digit in it. A cell belongs to the head of its number where the row
has as many cells as the head, otherwise to the one that it stands under; Chinese signs are two columns wide.
"""

from __future__ import annotations

import re
import unicodedata

_GAP = re.compile(r"(?<=\S)[ \u3000]{2,}(?=\S)")
_RULE = re.compile(r"[\s=\-+─━_]*[=\-─━_]{3}[\s=\-+─━_]*")
_LONGEST_LINE = 2000


class Aligned:
    """Answers `header(line number, position)` for one text; the lines are read once."""

    def __init__(self, text: str, starts: list[int]) -> None:
        self._text, self._starts = text, starts
        self._heads = self._layout() if "  " in text else []

    def header(self, number: int, position: int) -> str | None:
        """The head above a position, None outside such tables and in a head itself."""
        if not self._heads or self._heads[number] in (-1, number):
            return None
        head, line = self._line(self._heads[number]), self._line(number)
        names, cells = _cells(head), _cells(line)
        offset = position - self._starts[number]
        here = next((i for i, (start, end) in enumerate(cells) if start <= offset < end), None)
        if here is None:
            return None
        if len(names) == len(cells):
            column = here
        else:
            first, last = (_width(line[:at]) for at in cells[here])
            spans = [(_width(head[:start]), _width(head[:end])) for start, end in names]
            shared = [min(last, end) - max(first, start) for start, end in spans]
            column = shared.index(max(shared))
            if shared[column] <= 0:
                return None
        start, end = names[column]
        return head[start:end]

    def _line(self, number: int) -> str:
        begin = self._starts[number]
        end = self._starts[number + 1] - 1 if number + 1 < len(self._starts) else len(self._text)
        return self._text[begin:end].rstrip("\r ") if end - begin <= _LONGEST_LINE else ""

    def _layout(self) -> list[int]:
        """For each line the line that heads its table, or -1."""
        heads, head = [], -1
        for number in range(len(self._starts)):
            line = self._line(number)
            if _RULE.fullmatch(line):
                heads.append(-1)
                continue
            if "  " not in line.strip() or not _GAP.search(line):
                head = -1
            elif head < 0:
                is_head = not any(char.isdigit() for char in line) and len(line) <= 400
                head = number if is_head else -2
            elif head == -2:
                pass
            heads.append(head if head >= 0 else -1)
        return heads


def _cells(line: str) -> list[tuple[int, int]]:
    """Where the cells of a line start and end."""
    found, at = [], len(line) - len(line.lstrip())
    for gap in _GAP.finditer(line, at):
        found.append((at, gap.start()))
        at = gap.end()
    return [*found, (at, len(line))]


def _width(text: str) -> int:
    """Columns on a screen."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
