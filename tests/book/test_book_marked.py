"""Marked texts: what the reader sees in HTML and in plain text, escaping, and the explorer over them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dslab.book import marked
from dslab.book.errors import PageError
from dslab.book.page import Page

TEXT = "a <b> 139 and 158"
SPANS = [
    SimpleNamespace(start=14, end=17, type="OTHER", rule="toy:pattern+context"),
    SimpleNamespace(start=6, end=9, type="PHONE", rule="toy:pattern"),
]


def test_marks_stand_in_order_with_their_names_and_evidence() -> None:
    html, plain = marked.card(TEXT, SPANS, "Found", shown="masked <b>")
    assert plain.splitlines()[:2] == ["Found", "a <b> [PHONE: 139] and [OTHER: 158]"]
    assert html.count("<mark") == 2
    assert html.index(">139<") < html.index(">158<")
    assert "<sub>PHONE</sub>" in html
    assert "toy:pattern+context" in html
    assert "masked &lt;b&gt;" in html


def test_nothing_of_the_text_is_read_as_html() -> None:
    html, _ = marked.card("<script>x</script>", [SimpleNamespace(start=0, end=8, type="<i>", rule="<u>")])
    assert not any(tag in html for tag in ("<script", "<i>", "<u>"))


def test_a_text_without_spans_is_shown_as_it_is() -> None:
    assert marked.card("plain", []) == ('<div style="white-space:pre-wrap;line-height:1.9">plain</div>', "plain")


def test_an_explorer_shows_every_sample(start: Callable[..., Page], shown: list[dict[str, Any]]) -> None:
    page = start()
    page.explore_text(
        lambda text, loud: marked.card(text.upper() if loud else text, []),
        name="shout",
        controls={"text": page.textarea("one"), "loud": page.toggle()},
        samples=[{"text": "one", "loud": False}, {"text": "two", "loud": True}],
    )
    said = shown[-1]["text/plain"]
    assert "loud = False\none" in said
    assert "loud = True\nTWO" in said


def test_a_sample_that_cannot_be_drawn_is_refused_by_name(start: Callable[..., Page]) -> None:
    page = start()
    with pytest.raises(PageError, match=r"'shout'.*ZeroDivisionError"):
        page.explore_text(
            lambda text: 1 / 0, name="shout", controls={"text": page.textarea("x")}, samples=[{"text": "x"}]
        )


def test_what_a_reader_pastes_never_raises() -> None:
    said = marked._html(lambda text: 1 / 0, {"text": "x"})
    assert "ZeroDivisionError" in said
    assert 'role="alert"' in said
