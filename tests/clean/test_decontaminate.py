"""Test items too short to mean anything: counted, never quoted, and no reason to drop half a corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dslab.clean import command

SEVEN = "one two three four five six seven"
ITEMS = ["yes", "Marnow", SEVEN, f"{SEVEN} eight"]
ROWS = ["yes, of course", "Marnow lies by the sea", f"count: {SEVEN}.", f"count: {SEVEN} eight.", "nothing of it"]


@pytest.fixture
def call(tmp_path, capfd, monkeypatch):
    """Run the command on ROWS against test items: exit code, the rows that went out, all that was said."""
    monkeypatch.chdir(tmp_path)

    def run(items: list[str], *options: str) -> tuple[int, list[str], str]:
        for name, texts in (("in", ROWS), ("items", items)):
            Path(f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        with pytest.raises(SystemExit) as end:
            command.main(
                ["in.jsonl", "-o", "out.jsonl", "--workers", "1", "--decontaminate", "items.jsonl", *map(str, options)]
            )
        out = Path("out.jsonl")
        rows = [json.loads(line)["text"] for line in out.read_text().splitlines()] if out.exists() else []
        return int(end.value.code or 0), rows, "".join(capfd.readouterr())

    return run


def test_short_items_are_counted_and_not_looked_for(call):
    code, rows, said = call(ITEMS, "--report", "page.html")
    assert code == 0
    assert rows == [*ROWS[:3], ROWS[4]], "eight words are looked for, seven are not"
    page = Path("page.html").read_text()
    for words in (said, page):
        assert "test items of fewer than 8 words, not looked for: 3" in words
        assert "Marnow" not in words
    assert "decontaminate min words" in page


def test_a_dry_run_counts_them_too(call):
    code, rows, said = call(ITEMS, "--dry-run")
    assert (code, rows) == (0, [])
    assert "test items of fewer than 8 words, not looked for: 3" in said
    assert "Marnow" not in said


@pytest.mark.parametrize(("least", "stay"), [(1, [4]), (2, [0, 1, 4]), (7, [0, 1, 4])])
def test_the_least_number_of_words_can_be_chosen(call, least, stay):
    code, rows, said = call(ITEMS, "--decontaminate-min-words", least)
    assert code == 0
    assert rows == [ROWS[number] for number in stay]
    assert ("not looked for" in said) == (least > 1)


def test_items_that_are_all_too_short_are_refused(call):
    """The option would do nothing, and the corpus would pass for clean."""
    code, rows, said = call(["yes", "no", "Marnow"])
    assert (code, rows) == (2, [])
    assert "every test item has fewer than 8 words" in said
    assert "Marnow" not in said


def test_a_resumed_run_must_ask_for_the_same(call):
    assert call(ITEMS)[0] == 0
    code, _, said = call(ITEMS, "--resume", "--decontaminate-min-words", "2")
    assert code == 2
    assert "--decontaminate-min-words was 8, is 2" in said
