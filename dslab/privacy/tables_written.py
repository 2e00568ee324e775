"""Tables whose rows and cells carry marks of their own: HTML, MediaWiki, rows of SQL and of a PostgreSQL dump.

Each answers `header(position)`: the head of the column, "" where the position stands in such a table and has none, None
outside. Marks are found once; each question then looks at one row, of which at most 2,000 signs count.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Protocol

_ROW_LENGTH = 2000
_TAG = re.compile("<[^<>]{0,200}>")
_INSERT = re.compile(r"\(([^()]{1,2000})\)\s{0,8}(?:VALUES|values)\s{0,8}")
_INSERT_END = re.compile(r"\)\s{0,4};")
_INSERT_ROW = re.compile(r"\)\s{0,8},\s{0,8}\(")
_SQL_CELL = re.compile(r"'(?:[^'\\]|''|\\.){0,2000}'?|,")
_COPY = re.compile(r"\(([^()]{1,2000})\)\s{1,8}FROM\s{1,8}stdin;\r?\n", re.IGNORECASE)


class Written(Protocol):
    """A kind of table that tells the head of a position's column."""

    def header(self, position: int) -> str | None: ...


def written_out(text: str) -> list[Written]:
    """The kinds of which a text has signs.

    >>> text = "<table><tr><td>name<td>tel</tr><tr><td>Ann<td>212</tr></table>"
    >>> written_out(text)[0].header(text.index("212"))
    'tel'
    """
    found: list[Written] = []
    if "VALUES" in text or "values" in text:
        found.append(Inserts(text))
    if "FROM stdin" in text or "from stdin" in text:
        found.append(Copies(text))
    if "<td" in text or "<TD" in text:
        found.append(Marked(text, "<table", r"<tr[\s>]", r"<t[dh](?:\s[^<>]{0,200})?>"))
    if "{|" in text:
        found.append(Marked(text, r"\{\|", r"\n\|-|\{\|", r"(?:(?<=\n)|(?<=\n ))[|!](?![\-}+|])|\|\||!!", r"\n\|\}"))
    return found


class Marked:
    """Tables of which each row and each cell begins with a mark; the first row that has cells is the head."""

    def __init__(self, text: str, table: str, row: str, cell: str, end: str = "</table") -> None:
        self._text = text
        self._tables = _starts(table, text)
        self._rows = _starts(row, text)
        self._ends = _starts(end, text)
        self._cell = re.compile(cell, re.IGNORECASE)
        self._heads: dict[int, tuple[int, list[str]]] = {}

    def header(self, position: int) -> str | None:
        table = bisect_right(self._tables, position) - 1
        row = bisect_right(self._rows, position) - 1
        begin = self._tables[table] if table >= 0 else 0
        if row < 0 or position - self._rows[row] > _ROW_LENGTH:
            return None
        if bisect_right(self._ends, position) > bisect_right(self._ends, begin):
            return None
        if self._text.find("</tr", self._rows[row], position) >= 0:
            return None  # behind a row, and in no other
        first, head = self._head(bisect_right(self._rows, begin - 1))
        marks = [mark.end() for mark in self._cell.finditer(self._text, self._rows[row], position)]
        column = len(marks) - 1
        if marks and "\n\n" in self._text[marks[-1] : position]:
            return None
        if row <= first:
            return None
        return head[column] if 0 <= column < len(head) else ""

    def _head(self, first: int) -> tuple[int, list[str]]:
        """The first row with cells, from a row on, and their texts. Three rows are looked at."""
        if first not in self._heads:
            at, cells = first, [""]
            for at in range(first, min(first + 3, len(self._rows))):
                end = self._rows[at + 1] if at + 1 < len(self._rows) else len(self._text)
                cells = self._cell.split(self._text[self._rows[at] : min(end, self._rows[at] + _ROW_LENGTH)])
                if len(cells) > 1:
                    break
            self._heads[first] = at, [_TAG.sub(" ", cell).strip()[:60] for cell in cells[1:]]
        return self._heads[first]


class Inserts:
    """`INSERT INTO t (a, b) VALUES (1, 2), (3, 4);`"""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._columns: list[list[str]] = []
        for match in _INSERT.finditer(text):
            end = _INSERT_END.search(text, match.end())
            self._starts.append(match.end())
            self._ends.append(end.start() if end else len(text))
            self._columns.append(match[1].split(","))
            if not end:
                break

    def header(self, position: int) -> str | None:
        at = bisect_right(self._starts, position) - 1
        if at < 0 or position > self._ends[at]:
            return None
        begin = max(self._starts[at], position - _ROW_LENGTH)
        row = begin
        for match in _INSERT_ROW.finditer(self._text, begin, position):
            row = match.end()
        column = sum(match[0] == "," for match in _SQL_CELL.finditer(self._text, row, position))
        columns = self._columns[at]
        return columns[column].strip("` \"'\n\t") if column < len(columns) else ""


class Copies:
    """Lines of tabs behind `COPY t (a, b) FROM stdin;`, up to a line of a backslash and a full stop."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found = [(m.end(), text.find("\n\\.", m.end()), m[1].split(",")) for m in _COPY.finditer(text)]

    def header(self, position: int) -> str | None:
        at = bisect_right(self._found, position, key=lambda found: found[0]) - 1
        if at < 0:
            return None
        _, end, columns = self._found[at]
        line = self._text.rfind("\n", max(0, position - _ROW_LENGTH), position)
        if 0 <= end < position or line < 0:
            return None
        column = self._text.count("\t", line, position)
        return columns[column].strip("` \"'\n\t") if column < len(columns) else ""


def _starts(pattern: str, text: str) -> list[int]:
    return [match.start() for match in re.finditer(pattern, text, re.IGNORECASE)]
