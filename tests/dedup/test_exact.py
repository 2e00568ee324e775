"""Exact repeats: equal when they read the same, offsets into the original text, nothing lost between units."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslab.dedup import exact_duplicates

PIECES = st.lists(
    st.sampled_from(["a", "b", "中", "é", "e\u0301", " ", "\n", "\n\n", "\t", "\r\n", "\u3000", "\ud800"])
)
TEXTS = st.lists(PIECES.map("".join), max_size=5)


@given(texts=TEXTS)
def test_documents_against_a_dictionary(texts: list[str]) -> None:
    seen: dict[str, int] = {}
    expected = [seen.setdefault(" ".join(unicodedata.normalize("NFC", t).split()), i) for i, t in enumerate(texts)]
    found = exact_duplicates(texts)
    assert found.clusters.tolist() == expected
    assert found.repeated.tolist() == [i for i, first in enumerate(expected) if first != i]
    assert found.pairs.tolist() == [[first, i] for i, first in enumerate(expected) if first != i]


@pytest.mark.parametrize(("unit", "separator"), [("paragraph", r"\n[^\S\n]*\n"), ("line", r"\n")])
@given(texts=TEXTS)
def test_units_cover_everything_but_white_space(unit, separator: str, texts: list[str]) -> None:
    found = exact_duplicates(texts, unit)
    rows = list(zip(found.document.tolist(), found.start.tolist(), found.end.tolist(), strict=True))
    assert rows == sorted(rows)
    for number, text in enumerate(texts):
        mine = [(start, end) for document, start, end in rows if document == number]
        parts = [text[start:end] for start, end in mine]
        assert parts == [part.strip() for part in re.split(separator, text) if part.strip()]
        covered = {i for start, end in mine for i in range(start, end)}
        assert all(i in covered or c.isspace() for i, c in enumerate(text))
    contents = [" ".join(unicodedata.normalize("NFC", texts[d][a:b]).split()) for d, a, b in rows]
    assert found.clusters.tolist() == [contents.index(content) for content in contents]


def test_what_counts_as_equal() -> None:
    texts = [
        "Café au lait",
        "Cafe\u0301  au\nlait ",
        "cafe au lait",
        "Café au lait.",
        "Ｃafé au lait",
        "\ud800",
        "\udc00",
    ]
    assert exact_duplicates(texts).clusters.tolist() == [0, 0, 2, 3, 4, 5, 6]
    assert exact_duplicates(texts, normalize=str).clusters.tolist() == list(range(7))
    assert exact_duplicates(texts, normalize=str.casefold).repeated.tolist() == []


def test_empty_documents_are_equal_to_each_other() -> None:
    assert exact_duplicates(["", "a", " \n", ""]).clusters.tolist() == [0, 1, 0, 0]
    assert exact_duplicates(["", "\n \n\n"], "paragraph").document.tolist() == []
    assert exact_duplicates([]).pairs.shape == (0, 2)


def test_a_footer_is_found_across_documents_and_windows_line_ends() -> None:
    texts = ["News of today.\n\nAll rights reserved.", "Other news.\r\n\r\nAll rights  reserved.\r\n"]
    found = exact_duplicates(texts, "paragraph")
    assert found.pairs.tolist() == [[1, 3]]
    assert texts[1][found.start[3] : found.end[3]] == "All rights  reserved."


def test_refusals() -> None:
    with pytest.raises(ValueError, match="document, paragraph or line"):
        exact_duplicates(["a"], "sentence")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"pass \[text\]"):
        exact_duplicates("a")  # type: ignore[arg-type]
