"""Which column is this? Headers of Markdown, CSV, TSV and HTML tables and SQL inserts, found from a position.

A table is a run of lines with the same delimiter; its first line is the header. Lines are looked at one at a time, the
table of a line is remembered, so that a file of n lines costs n steps however many values ask.
"""

from __future__ import annotations

import re
from bisect import bisect_right

_CELL = {
    delimiter: re.compile(rf'\s*["](?:[^"\n]|"")*"\s*(?={re.escape(delimiter)}|$)|[^{re.escape(delimiter)}\n]*')
    for delimiter in ",;\t|"
}
_BOX = str.maketrans("│┃║｜", "||||")
_RULE = re.compile(r"[\s|+:=\-_─━═┄┼╋╬├┤┝┥┠┨╠╣┌┐└┘┬┴┏┓┗┛┳┻╔╗╚╝╦╩╪╫╞╡]+")
_INSERT = re.compile(r"\(([^()]{1,1000})\)\s{1,8}(?:VALUES|values)\s{0,8}")
_TABLE = re.compile("<table", re.IGNORECASE)
_ROW = re.compile(r"<tr[\s>]", re.IGNORECASE)
_CELL_START = re.compile(r"<t[dh](?:\s[^<>]{0,200})?>", re.IGNORECASE)
_TAG = re.compile("<[^<>]{0,200}>")
_LONGEST_LINE = 2000


class Tables:
    """The tables of one text. `header(position)` is the header cell above a position, or None."""

    def __init__(self, text: str) -> None:
        self.text = text.translate(_BOX) if not text.isascii() else text
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self._header: dict[tuple[int, str], list[str] | None] = {}
        self._known: dict[tuple[int, str], int] = {}
        self._read: set[tuple[int, int]] = set()
        # HTML: where tables and rows start; the heads read so far.
        self._rows = [m.start() for m in _ROW.finditer(text)] if "<td" in text or "<TD" in text else []
        self._tables = [m.start() for m in _TABLE.finditer(text)] if self._rows else []
        self._heads: dict[int, list[str]] = {}
        self._inserts: list[tuple[int, list[str]]] = []
        if "VALUES" in text or "values" in text:
            self._inserts = [(m.end(), m[1].split(",")) for m in _INSERT.finditer(text)]

    def line(self, number: int) -> str:
        """A line without its line break; "" for one that is too long to be a table's."""
        begin = self.starts[number]
        end = self.starts[number + 1] - 1 if number + 1 < len(self.starts) else len(self.text)
        return self.text[begin:end].rstrip("\r") if end - begin <= _LONGEST_LINE else ""

    def header(self, position: int) -> str | None:
        """The header cell of the column that holds a position; None outside tables and in a header itself."""
        number = bisect_right(self.starts, position) - 1
        line = self.line(number)
        if self._inserts:
            head = bisect_right(self._inserts, (position,)) - 1
            if head >= 0 and self._is_values(self._inserts[head][0], position):
                columns = self._inserts[head][1]
                row = self.text[max(self._inserts[head][0], position - 1000) : position].rpartition("(")[2]
                column = len(self._split(row, ",")) - 1
                return columns[column] if column < len(columns) else None
        if self._rows:
            cell = self._html_header(position)
            if cell:
                return cell
        for delimiter in "|\t,;":
            if delimiter not in line:
                continue
            first = self._first_line(number, delimiter)
            if first == number:
                continue
            cells = self._cells(self.line(first), delimiter)
            column = self._column(line, position - self.starts[number], delimiter)
            if len(cells) > 1 and column < len(cells) and not any(len(cell) > 40 for cell in cells):
                return cells[column]
        return None

    def cell(self, position: int) -> str:
        """The text of the cell that holds a position; the whole line outside tables."""
        number = bisect_right(self.starts, position) - 1
        line, offset = self.line(number), position - self.starts[number]
        for delimiter in "|\t,;":
            if delimiter in line:
                cells = self._cells(line, delimiter)
                column = self._column(line, offset, delimiter)
                return cells[column] if 0 <= column < len(cells) else ""
        return line.strip()

    def below(self, position: int) -> list[tuple[int, int]]:
        """Where the cells below a header cell stand, without blanks and quotes; [] outside the head of a table.

        A head is a line whose table it opens. Asked again for the same column, it answers [].
        """
        number = bisect_right(self.starts, position) - 1
        line, offset = self.line(number), position - self.starts[number]
        delimiter = next((d for d in "|\t,;" if d in line), None)
        if delimiter is None or self._first_line(number, delimiter) != number:
            return []
        width, column = self._width(number, delimiter), self._column(line, offset, delimiter)
        if (number, column) in self._read or max(map(len, self._cells(line, delimiter))) > 40:
            return []
        self._read.add((number, column))
        found, row = [], number + 1
        while row < len(self.starts):
            line = self.line(row)
            if not _RULE.fullmatch(line):
                if not line or self._width(row, delimiter) != width:
                    break
                parts = self._split(line, delimiter)
                start = self.starts[row] + sum(len(part) + 1 for part in parts[:column])
                part = parts[column]
                start += len(part) - len(part.lstrip(" \"'`"))
                found.append((start, start + len(part.strip(" \"'`"))))
            row += 1
        return found

    def _html_header(self, position: int) -> str | None:
        """The cell of a table's first row above a position in one of its later rows."""
        row = bisect_right(self._rows, position) - 1
        table = bisect_right(self._tables, position) - 1
        first = bisect_right(self._rows, self._tables[table] if table >= 0 else -1)
        if row <= first or position - self._rows[row] > _LONGEST_LINE:
            return None
        column = len(_CELL_START.findall(self.text, self._rows[row], position)) - 1
        if first not in self._heads:
            end = min(self._rows[first + 1], self._rows[first] + _LONGEST_LINE)
            cells = _CELL_START.split(self.text[self._rows[first] : end])[1:]
            self._heads[first] = [_TAG.sub(" ", cell).strip() for cell in cells]
        head = self._heads[first]
        return head[column] if 0 <= column < len(head) else None

    def _is_values(self, start: int, position: int) -> bool:
        """Is a position among the rows behind VALUES: no statement ends in between?"""
        end = self.text.find(";\n", start, position)
        return end < 0 and position - start < 100_000

    def _first_line(self, number: int, delimiter: str) -> int:
        """The first line of the run of lines with as many delimiters as this one; each line is walked over once.

        Rules (|---|---|, +---+, ├──┼──┤) belong to the table and are no rows.
        """
        width, path, above = self._width(number, delimiter), [], number - 1
        while above >= 0 and (number, delimiter) not in self._known:
            if _RULE.fullmatch(self.line(above)):
                above -= 1
                continue
            if self._width(above, delimiter) != width:
                break
            path.append(number)
            number, above = above, above - 1
        first = self._known.get((number, delimiter), number)
        for passed in (number, *path):
            self._known[passed, delimiter] = first
        return first

    def _width(self, number: int, delimiter: str) -> int:
        line = self.line(number)
        if '"' in line and delimiter in ",;":
            return len(self._cells(line, delimiter)) - 1
        return line.count(delimiter)

    @staticmethod
    def _cells(line: str, delimiter: str) -> list[str]:
        return [cell.strip().strip('"') for cell in Tables._split(line, delimiter)]

    @staticmethod
    def _split(line: str, delimiter: str) -> list[str]:
        if '"' not in line or delimiter not in ",;":
            return line.split(delimiter)
        cells, at = [], 0
        while True:
            match = _CELL[delimiter].match(line, at)
            end = match.end() if match else len(line)
            cells.append(line[at:end])
            if end >= len(line):
                return cells
            at = end + 1

    @staticmethod
    def _column(line: str, offset: int, delimiter: str) -> int:
        seen = 0
        for number, cell in enumerate(Tables._split(line, delimiter)):
            seen += len(cell) + 1
            if offset < seen:
                return number
        return -1
