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
