"""Which column is this? Headers of Markdown, CSV, TSV and LaTeX tables, found from a position; of others by the
neighbours of this file.

A table is a run of lines with the same delimiter; its first line is the header. Lines are looked at one at a time, the
table of a line is remembered, so that a file of n lines costs n steps however many values ask.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from dslab.privacy.tables_aligned import Aligned
from dslab.privacy.tables_written import written_out

_CELL = {
    delimiter: re.compile(rf'\s*["](?:[^"\n]|"")*"\s*(?={re.escape(delimiter)}|$)|[^{re.escape(delimiter)}\n]*')
    for delimiter in ",;\t|&"
}
_BOX = str.maketrans("│┃║｜", "||||")
_RULE = re.compile(
    r"\s*\\(?:[htmb][a-z]{2,3}(?:line|rule)|hline|c(?:line|midrule)\{[^{}]{0,20}\})[\s\\]*|[\s|+:=\-_─━═┄┼╋╬├┤┝┥┠┨╠╣┌┐└┘┬┴┏┓┗┛┳┻╔╗╚╝╦╩╪╫╞╡]+"
)
_LONGEST_LINE = 2000


class Tables:
    """The tables of one text. `header(position)` is the header cell above a position, or None."""

    def __init__(self, text: str) -> None:
        self.text = text.translate(_BOX) if any(line in text for line in "│┃║｜") else text
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self._layouts: dict[str, tuple[list[int], list[int]]] = {}
        self._read: set[tuple[int, int]] = set()
        self._aligned: Aligned | None = None
        self._others = written_out(text)

    def line(self, number: int) -> str:
        """A line without its line break; "" for one that is too long to be a table's."""
        begin = self.starts[number]
        end = self.starts[number + 1] - 1 if number + 1 < len(self.starts) else len(self.text)
        return self.text[begin:end].rstrip("\r") if end - begin <= _LONGEST_LINE else ""

    def header(self, position: int) -> str | None:
        """The header cell of the column that holds a position; None outside tables and in a header itself."""
        number = bisect_right(self.starts, position) - 1
        line = self.line(number)
        for other in self._others:
            cell = other.header(position)
            if cell is not None:
                return cell or None
        for delimiter in "|\t&,;":
            if delimiter not in self.text:
                continue
            heads, offsets = self._layout(delimiter)
            head = heads[number]
            if head < 0 or head == number:
                continue
            cells = self._cells(self.line(head), delimiter)
            column = offsets[number] + self._column(line, position - self.starts[number], delimiter)
            if len(cells) > 1 and column < len(cells) and not any(len(cell) > 40 for cell in cells):
                return cells[column]
        if self._aligned is None:
            self._aligned = Aligned(self.text, self.starts)
        return self._aligned.header(number, position)

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
        if delimiter is None:
            return []
        heads, offsets = self._layout(delimiter)
        column = self._column(line, offset, delimiter)
        if heads[number] != number or (number, column) in self._read:
            return []
        if max(map(len, self._cells(line, delimiter))) > 40:
            return []
        self._read.add((number, column))
        found, row = [], number + 1
        while row < len(heads) and (heads[row] == number or _RULE.fullmatch(self.line(row))):
            parts = self._split(self.line(row), delimiter)
            if heads[row] == number and 0 <= column - offsets[row] < len(parts):
                column_here = column - offsets[row]
                start = self.starts[row] + sum(len(part) + 1 for part in parts[:column_here])
                part = parts[column_here]
                start += len(part) - len(part.lstrip(" \"'`"))
                found.append((start, start + len(part.strip(" \"'`"))))
            row += 1
        return found

    def _layout(self, delimiter: str) -> tuple[list[int], list[int]]:
        """For each line: the line that heads its table (-1: none), and the columns that stand before it in its row.

        A table goes on while lines have its number of delimiters. Rules (|---|---|, +---+) belong to it and are no
        rows; a row broken inside a cell is several lines whose delimiters add up.
        """
        if delimiter in self._layouts:
            return self._layouts[delimiter]
        count = len(self.starts)
        widths = [self._width(number, delimiter) for number in range(count)]
        heads, offsets = [-1] * count, [0] * count
        head = number = 0
        width = -1
        while number < count:
            line, here = self.line(number), widths[number]
            parts = 1
            if width > 0 and here < width and line.strip() and not _RULE.fullmatch(line):
                parts = self._parts_of_row(widths, number, width)
            if width > 0 and (here == width or parts > 1):
                before = 0
                for part in range(number, number + parts):
                    heads[part], offsets[part] = head, before
                    before += widths[part]
            elif here and not _RULE.fullmatch(line):
                head, width = number, here
                heads[number] = number
            elif not _RULE.fullmatch(line) or not line.strip():
                if width > 0 and line.strip() and number + 1 < count and widths[number + 1] == width:
                    heads[number], offsets[number] = head, width  # the rest of the last cell
                else:
                    width = -1
            number += parts
        self._layouts[delimiter] = heads, offsets
        return heads, offsets

    @staticmethod
    def _parts_of_row(widths: list[int], number: int, width: int) -> int:
        """How many lines from this one make a row of this width; 1 if they do not."""
        if widths[number] == 0:
            return 1
        total = 0
        for part in range(number, min(number + 4, len(widths))):
            total += widths[part]
            if total >= width:
                return part - number + 1 if total == width else 1
        return 1

    def _width(self, number: int, delimiter: str) -> int:
        line = self.line(number)
        if '"' in line and delimiter in ",;":
            return len(self._cells(line, delimiter)) - 1
        return line.count(delimiter) - (line.count("\\&") if delimiter == "&" else 0)

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
