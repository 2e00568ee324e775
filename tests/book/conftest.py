"""A page outside a kernel: what it would display is caught, what ran before is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from book_cells import CELL, VALUES

from dslab.book import Page, display


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every bundle displayed: its data, with the metadata under `metadata`."""
    import IPython.display

    bundles: list[dict[str, Any]] = []

    def record(data: dict[str, Any], raw: bool, metadata: dict[str, Any]) -> None:
        assert raw
        bundles.append({**data, "metadata": metadata})

    class Shell:
        user_ns: dict[str, Any] = {"In": ["", CELL]}

    monkeypatch.setattr(display, "shell", Shell)
    monkeypatch.setattr(IPython.display, "display", record)
    return bundles


@pytest.fixture
def start(shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Page]:
    """Start a fresh page with some values changed; cells= gives the history."""

    def begin(cells: list[str] | None = None, notebook: str = "no_such_notebook", **changed: Any) -> Page:
        sources = [CELL] if cells is None else cells
        monkeypatch.setattr(type(display.shell()), "user_ns", {"In": ["", *sources]})
        page = Page()
        page.start(notebook, {**VALUES, **changed}, torch=False)
        return page

    return begin
