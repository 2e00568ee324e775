"""The page of a run: complete in one file, escaped, counts only."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import corpora
import pytest

from dslab.clean.counts import ShardCounts
from dslab.clean.errors import CleanError
from dslab.clean.job import Job
from dslab.clean.report import FAILED_SHOWN, SHARDS_SHOWN, render, write_report
from dslab.clean.run import Result, execute, prepare
from dslab.clean.summary import books, failures, row_lines, verdict


class Page(HTMLParser):
    """Visible text, tags left open, and every reference to something outside."""

    VOID = {"meta", "link", "br", "img"}

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.references: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "action")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data.strip())


@pytest.fixture
def result(tmp_path) -> Result:
    corpora.corpus(tmp_path / "in", shards=2, n=20)
    return execute(prepare([str(tmp_path / "in")], str(tmp_path / "out"), Job(dedup=0.8)))


def test_the_page_has_all_counts_and_needs_nothing_else(result):
    page = render(result)
    seen = Page(page)
    assert not seen.open
    assert not seen.references
    assert "url(" not in page
    assert "@import" not in page
    text = " ".join(seen.text)
    total = result.total
    assert books(result) in text
    for name, n in row_lines(total):
        assert f"{name}  {n}" in text.replace("\n", "") or f"{name} {n}" in re.sub(r"\s+", " ", text)
    for name, n in total.spans.items():
        assert f"{name} {n}" in re.sub(r"\s+", " ", text)
    for name, counts in result.done.items():
        assert f"{name} {counts.rows_in} {counts.rows_out}" in re.sub(r"\s+", " ", text)
    assert "prefers-color-scheme: dark" in page
    assert '<html lang="en">' in page


def test_no_text_of_a_row_stands_on_the_page(result):
    page = render(result)
    assert "@corp" not in page
    assert "no end" not in page


def test_names_are_escaped(result):
    name = "<script>alert(1)</script>&.jsonl"
    result.done = {name: next(iter(result.done.values()))}
    result.failed = {name: f"{name}: truncated"}
    page = render(result)
    assert "<script>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;.jsonl") == 3
    assert not Page(page).open


def test_a_run_that_failed_says_so_first(result):
    name, _ = result.done.popitem()
    result.failed[name] = "the compressed file is truncated"
    page = render(result)
    assert "1 of 2 shards cleaned; 1 failed" in verdict(result)
    assert page.index('class="bad"') < page.index("Failed shards") < page.index("Where the rows went")


def test_long_runs_are_cut_on_the_page_and_the_rest_is_counted(result):
    counts = ShardCounts(rows_in=1, rows_out=1)
    result.done = {f"{n}.jsonl": counts for n in range(SHARDS_SHOWN + 5)}
    result.failed = {f"bad{n}.jsonl": "truncated" for n in range(FAILED_SHOWN + 7)}
    page = render(result)
    assert f"The first {SHARDS_SHOWN}; 5 more" in page
    assert "and 7 more" in page
    assert len(list(failures(result))) == 21


def test_an_empty_run_divides_by_nothing(result):
    result.done = {"0.jsonl": ShardCounts()}
    assert "0.00%" in render(result)


def test_the_page_is_written_whole_or_not_at_all(result, tmp_path):
    write_report(result, tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text().startswith("<!doctype html>")
    (tmp_path / "file").write_text("")
    with pytest.raises(CleanError, match="cannot write"):
        write_report(result, tmp_path / "file" / "page.html")
