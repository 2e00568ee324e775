"""A column's header is the label of its cells, in every kind of table, also where a row is broken inside a cell."""

from __future__ import annotations

import pytest

from dslab.privacy.detector import Detector
from dslab.privacy.tables import Tables

HEAD = ["旅客", "护照号", "订座编号", "phone", "ssn", "运单号"]
ROWS = [
    ["马超", "EE5052864", "MU4997-12", "614 57 00 80", "219099999", "6222020001111222202"],
    ["Nina", "C0FX21844", "123e4567-e89b-12d3-a456-426614174000", "0532 58199598", "219-09-9998", "4111111111111111"],
    ["陈静", "PE3883440", "K7ML2P", "020 7946\n0958", "219099998", "13800138000"],
    ["李四", "446862710", "123456789", "614 57 00 81", "219099997", "4111 1111 1111 1111"],
]
WANTED = [
    ("PASSPORT", "EE5052864"), ("PHONE_INTL", "614 57 00 80"), ("US_SSN", "219099999"),
    ("PASSPORT", "C0FX21844"), ("PHONE_INTL", "0532 58199598"), ("US_SSN", "219-09-9998"),
    ("PASSPORT", "PE3883440"), ("PHONE_INTL", "020 7946\n0958"), ("US_SSN", "219099998"),
    ("PASSPORT", "446862710"), ("PHONE_INTL", "614 57 00 81"), ("US_SSN", "219099997"),
]  # fmt: skip


def html(cell: str) -> str:
    head = "".join(f"<{cell}>{name}</{cell}>" for name in HEAD)
    rows = "".join("<tr>\n" + "".join(f"  <td class='x'>{value}</td>\n" for value in row) + "</tr>" for row in ROWS)
    return f"<table><tr>{head}</tr>{rows}</table>"


def lines(joint: str, first: str = "", last: str = "", rule: str = "") -> str:
    rows = [first + joint.join(row) + last for row in [HEAD, *ROWS]]
    return "\n".join([rows[0], *([rule] if rule else []), *rows[1:]])


TABLES = {
    "markdown": lines(" | ", "| ", " |", "|---|:--|--:|---|---|---|"),
    "csv": lines(","),
    "quoted csv": lines('","', '"', '"'),
    "tsv": lines("\t"),
    "semicolons": lines(";"),
    "box": lines(" │ ", "│ ", " │", "├──┼──┼──┼──┼──┼──┤"),
    "ascii": lines(" | ", "| ", " |", "+----+----+----+----+----+----+"),
    "html th": html("th"),
    "html td": html("td"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_cells_are_named_by_their_header(kind: str) -> None:
    text = TABLES[kind]
    got = [(s.type, text[s.start : s.end]) for s in Detector().find(text)]
    assert got == WANTED


def test_sql_names_its_columns() -> None:
    rows = "('Ann', '614 57 00 80', '4111111111111111'),\n ('Bob', '614 57 00 81', '1')"
    text = f"INSERT INTO t (name, phone, order_no) VALUES\n{rows};"
    assert [text[s.start : s.end] for s in Detector().find(text)] == ["614 57 00 80", "614 57 00 81"]


LATEX_RULE = "\\\\hline"
IN_A_LINE = [[cell.replace("\n", " ") for cell in row] for row in ROWS]
IN_A_LINE_WANTED = [(kind, value.replace("\n", " ")) for kind, value in WANTED]


def aligned(gap: int, rule: str = "") -> str:
    """Columns held apart by blanks; a Chinese sign is two columns wide."""

    def wide(text: str) -> int:
        return sum(1 if char.isascii() else 2 for char in text)

    widths = [max(wide(row[i]) for row in [HEAD, *IN_A_LINE]) for i in range(len(HEAD))]
    rows = [(" " * gap).join(c + " " * (w - wide(c)) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in [HEAD, *IN_A_LINE]]  # fmt: skip
    return "\n".join([rows[0], *([(" " * gap).join(rule * w for w in widths)] if rule else []), *rows[1:]])


def insert() -> str:
    values = ",".join("(" + ",".join(f"'{cell}'" for cell in row) + ")" for row in IN_A_LINE * 40)
    return f"INSERT INTO `t` ({', '.join(f'`{name}`' for name in HEAD)}) VALUES {values};\n"


WRITTEN = {
    "latex": "\\begin{tabular}{llllll}\n\\hline\n" + " & ".join(HEAD) + " \\\\ \\hline\n\\midrule\n"
    + "".join(" & ".join(row) + " \\\\\n" for row in IN_A_LINE) + "\\end{tabular}",
    "wiki": '{| class="wikitable"\n! ' + " !! ".join(HEAD) + "\n"
    + "".join("|-\n| " + " || ".join(row) + "\n" for row in IN_A_LINE) + "|}",
    "wiki, a cell a line": "{|\n|-\n" + "".join(f"! {name}\n" for name in HEAD)
    + "".join("|-\n" + "".join(f"| {cell}\n" for cell in row) for row in IN_A_LINE) + "|}",
    "aligned": aligned(2),
    "aligned, wide": aligned(5),
    "restructured": aligned(2, "="),
    "copy": f"COPY t ({', '.join(HEAD)}) FROM stdin;\n" + "\n".join("\t".join(row) for row in IN_A_LINE) + "\n\\.\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN)
def test_cells_of_other_tables(kind: str) -> None:
    text = WRITTEN[kind]
    got = [(s.type, text[s.start : s.end]) for s in Detector().find(text)]
    assert got == IN_A_LINE_WANTED


def test_a_long_list_of_rows() -> None:
    """Brackets, commas and semicolons inside quotes end neither row nor list; nor does the length."""
    text = insert()
    assert [(s.type, text[s.start : s.end]) for s in Detector().find(text)] == IN_A_LINE_WANTED * 40
    row = "('12 Main St, Apt 4; b', '(212) 555-0142', '614 57 00 80', '13800138000')"
    text = f"INSERT INTO t (street, phone, fax, order_no) VALUES {row}, {row};\ncall 614 57 00 81"
    values = ["(212) 555-0142", "614 57 00 80"]
    assert [text[s.start : s.end] for s in Detector().find(text)] == [*values, *values, "614 57 00 81"]


def test_prose_with_wide_gaps_is_no_table() -> None:
    text = "Order list  of May\ncall  614 57 00 80\n电话    13800138000"
    assert [text[s.start : s.end] for s in Detector().find(text)] == ["614 57 00 80", "13800138000"]


def test_headers() -> None:
    tables = Tables("intro\n\nname,phone\nann,1\nbob,2\n\nname;age\nx;3")
    assert [tables.header(tables.text.index(cell)) for cell in ("ann", "1", "2", "3", "intro", "phone")] == [
        "name", "phone", "phone", "age", None, None,
    ]  # fmt: skip


def test_a_head_names_its_cells_once() -> None:
    tables = Tables("user,token\nann, x1 \nbob,'y2'\n\nafter,all")
    position = tables.text.index("token")
    assert [tables.text[a:b] for a, b in tables.below(position)] == ["x1", "y2"]
    assert tables.below(position) == []
    assert tables.cell(position) == "token"
