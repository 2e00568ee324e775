"""The two maps of notebook 00: which notebook asks what, and what became of each claim of the article."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dslab import paths
from dslab.book import cards, text
from dslab.book.claims import VERDICTS, Claim, load_ledger
from dslab.book.display import show
from dslab.book.figures import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICT_COLORS = {
    "true": COLORS["green"],
    "false": COLORS["vermillion"],
    "outdated": COLORS["orange"],
    "unverifiable": "#8C8C8C",
}
_REPOSITORY = re.compile(r"github:(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]+)(?::(?P<path>[\w./-]+))?")
_ADDRESS = re.compile(r"https://[^\s)]+")


def notebooks() -> list[dict[str, Any]]:
    """The entries of `data/notebooks.toml`, each with `is_here`: whether its file exists."""
    entries = tomllib.loads((paths.data_dir() / "notebooks.toml").read_text(encoding="utf-8"))["notebook"]
    root = paths.checkout()
    for entry in entries:  # outside a checkout nothing can be looked up; the ledger knows what is planned
        entry["is_here"] = (root / "notebooks" / f"{entry['stem']}.ipynb").is_file() if root else True
    return entries


def show_notebooks() -> None:
    """Show the map of notebooks: question, minutes to read, difficulty, what to know first."""
    rows = [
        {
            text.COLUMN_NOTEBOOK: _notebook_cell(entry),
            text.COLUMN_QUESTION: escape(entry["question"]),
            text.COLUMN_MINUTES: str(entry["minutes"]),
            text.COLUMN_DIFFICULTY: escape(entry["difficulty"]),
            text.COLUMN_NEEDS: escape(entry["needs"]),
        }
        for entry in notebooks()
    ]
    plain = [
        {**row, text.COLUMN_NOTEBOOK: f"{entry['number']} {entry['title']}{'' if entry['is_here'] else text.PLANNED}"}
        for row, entry in zip(rows, notebooks(), strict=True)
    ]
    show(cards.table(plain)[1], _table(rows))


def article_claims(ledger: Sequence[Claim] | None = None) -> list[Claim]:
    """The article's own statements, in its order. (Notebooks measure some of them again, under ids of their own.)"""
    ledger = load_ledger() if ledger is None else ledger
    return [claim for claim in ledger if claim.says == "article" and claim.kind == "documented"]


def show_claims(claims: Sequence[Claim]) -> None:
    """Show claims as a table: what is said, the verdict and why, sources to unfold, the notebook that settles it."""
    rows = [
        {
            text.COLUMN_CLAIM: escape(claim.statement),
            text.COLUMN_VERDICT: f"<strong>{escape(text.VERDICTS[claim.verdict])}</strong>",
            text.COLUMN_WHY: escape(claim.because) + _sources(claim.evidence),
            text.COLUMN_NOTEBOOK: escape(claim.notebook),
        }
        for claim in claims
    ]
    columns = (text.COLUMN_CLAIM, text.COLUMN_VERDICT, text.COLUMN_NOTEBOOK)
    plain = [dict(zip(columns, (c.statement, text.VERDICTS[c.verdict], c.notebook), strict=True)) for c in claims]
    show(cards.table(plain)[1], _table(rows))


def draw_claims(claims: Sequence[Claim]) -> Figure:
    """One square a claim, stacked over the notebook that settles it, coloured and lettered by verdict."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    fig, ax = plt.subplots(figsize=(7, 3.2))
    height: Counter[str] = Counter()
    numbers = [entry["number"] for entry in notebooks()][1:]
    for claim in sorted(claims, key=lambda claim: VERDICTS.index(claim.verdict)):
        x, y = numbers.index(claim.notebook), height[claim.notebook]
        height[claim.notebook] += 1
        ax.add_patch(Rectangle((x - 0.42, y + 0.06), 0.84, 0.88, color=VERDICT_COLORS[claim.verdict], linewidth=0))
        letter = text.VERDICT_LETTERS[claim.verdict]
        ax.text(x, y + 0.48, letter, color="white", ha="center", va="center", fontsize=9, fontweight="bold")
    counts = Counter(claim.verdict for claim in claims)
    for row, verdict in enumerate(VERDICTS):
        label = f"{text.VERDICT_LETTERS[verdict]}  {text.VERDICTS[verdict]}: {counts[verdict]}"
        style: dict[str, Any] = {"color": VERDICT_COLORS[verdict], "fontweight": "bold", "transform": ax.transAxes}
        ax.text(0.01, 0.97 - 0.1 * row, label, va="top", **style)
    ax.set(xlim=(-0.6, len(numbers) - 0.4), ylim=(0, max(height.values()) + 2.2))
    ax.set_xticks(range(len(numbers)), numbers)
    ax.grid(visible=False)
    ax.set(xlabel="notebook that settles it", ylabel="claims of the article")
    return fig


def _notebook_cell(entry: dict[str, Any]) -> str:
    title = f"{entry['number']} {escape(entry['title'])}"
    return f'<a href="{entry["stem"]}.ipynb">{title}</a>' if entry["is_here"] else f"{title}{text.PLANNED}"


def _sources(evidence: Sequence[str]) -> str:
    if not evidence:
        return ""
    items = "".join(f"<li>{_linked(source)}</li>" for source in evidence)
    summary = text.SOURCES_ONE if len(evidence) == 1 else text.SOURCES.format(n=len(evidence))
    return f"<details><summary><small>{summary}</small></summary><small><ul>{items}</ul></small></details>"


def _linked(source: str) -> str:
    """A source with its file or address as a link.

    >>> _linked("github:a/b@12ab:c.py (why)")
    '<a href="https://github.com/a/b/blob/12ab/c.py">a/b: c.py</a> (why)'
    """
    if match := _REPOSITORY.match(source):
        kind, path = ("blob", match["path"]) if match["path"] else ("tree", "")
        address = f"https://github.com/{match['repo']}/{kind}/{match['commit']}/{path}".rstrip("/")
        name = f"{match['repo']}: {path}" if path else match["repo"]
        return f'<a href="{address}">{escape(name)}</a>{escape(source[match.end() :])}'
    if match := _ADDRESS.match(source):
        return f'<a href="{escape(match[0])}">{escape(match[0])}</a>{escape(source[match.end() :])}'
    return escape(source)


def _table(rows: Sequence[dict[str, str]]) -> str:
    """A table whose cells are HTML already; words left, tops aligned."""
    style = 'align="left" valign="top" style="text-align:left;vertical-align:top"'
    head = "".join(f'<th scope="col" {style}>{escape(column)}</th>' for column in rows[0])
    body = "\n".join("<tr>" + "".join(f"<td {style}>{cell}</td>" for cell in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
