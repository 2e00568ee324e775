"""The small pieces of HTML that a notebook shows, each with the same thing as plain text.

They must look right in Lab (light and dark), in Colab and on GitHub, which removes all styles. So: no backgrounds, text
colour inherited, meaning always in words; a coloured edge only repeats it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from dslab.book import text
from dslab.book.figures import COLORS

Card = tuple[str, str]  # html, plain text

GOOD, BAD, QUIET = COLORS["green"], COLORS["vermillion"], COLORS["sky"]


def number(value: Any) -> str:
    """A number as a reader wants it: four significant digits, thousands grouped, no noise.

    >>> number(66.6666), number(32768), number(1.2e-07), number(0.1), number(True), number("fp32")
    ('66.67', '32,768', '1.2e-07', '0.1', 'yes', 'fp32')
    """
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def size(count: int) -> str:
    """Bytes in a unit that fits: MB below a gigabyte, GB above (powers of ten)."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def edge(color: str, *lines: str) -> str:
    """Lines of HTML behind a coloured edge."""
    inner = "".join(f"<div>{line}</div>" for line in lines if line)
    return f'<div style="border-left:4px solid {color};padding:.15em 0 .15em .9em;margin:.3em 0">{inner}</div>'


def quiet(line: str) -> Card:
    """One small line: the environment, the weights, a metric."""
    return f"<small>{escape(line)}</small>", line


def metric(name: str, value: Any, unit: str) -> Card:
    """A recorded number with its unit."""
    shown = f"{number(value)} {unit}".strip()
    return f"{escape(name)}: <strong>{escape(shown)}</strong>", f"{name}: {shown}"


def caption(takeaway: str, alt: str) -> Card:
    """The sentence under a figure; the alternative text folds out, since Lab gives images none."""
    html = (
        f"<p><strong>{escape(takeaway)}</strong></p>"
        f"<details><summary><small>{escape(text.IN_WORDS)}</small></summary><small>{escape(alt)}</small></details>"
    )
    return html, takeaway


def state(holds: bool | None) -> str:
    """The words for holds, does not hold, recorded."""
    return {True: text.HOLDS, False: text.FAILS, None: text.RECORDED}[holds]


def claim(payload: Mapping[str, Any], expected: str, says: str, reference: str) -> Card:
    """A measured claim. payload: the claim's JSON (id, measured, kind, verdict, statement, holds, why, note)."""
    holds = payload["holds"]
    measured = text.MEASURED.format(measured=number(payload["measured"]), bound=expected)
    if payload["note"]:
        measured += f" ({payload['note']})"
    why = f"{payload['why'][:1].upper()}{payload['why'][1:]}." if payload["why"] else ""
    origin = [text.CLAIM_LINE.format(id=payload["id"]), text.SAYS[says], text.KINDS[payload["kind"]]]
    if payload["verdict"] != "true":
        origin.insert(2, text.VERDICTS[payload["verdict"]])
    footer = " · ".join([*origin, reference] if reference else origin)
    html = edge(
        {True: GOOD, False: BAD, None: QUIET}[holds],
        escape(payload["statement"]),
        f"<strong>{escape(state(holds))}</strong>: {escape(measured)}",
        escape(why),
        f"<small>{escape(footer)}</small>",
    )
    lines = [payload["statement"], f"{state(holds)}: {measured}", why, footer]
    return html, "\n  ".join(line for line in lines if line)


def table(rows: Sequence[Mapping[str, Any]], title: str = "", note: str = "") -> Card:
    """A table; numbers stand right, words left. Columns are the keys in order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[number(row.get(column, "")) for column in columns] for row in rows]
    right = [all(_is_number(row.get(column)) for row in rows) for column in columns]
    return _html_table(columns, cells, right, title, note), _plain_table(columns, cells, right, title, note)


def _is_number(cell: Any) -> bool:
    return cell is None or isinstance(cell, int | float) or hasattr(cell, "item")


def _html_table(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str, note: str
) -> str:
    def row(tag: str, values: Iterable[str]) -> str:
        sides = ["right" if r else "left" for r in right]
        scope = ' scope="col"' if tag == "th" else ""
        # `align` is the old attribute: GitHub keeps it where it removes styles
        return "<tr>" + "".join(
            f'<{tag}{scope} align="{side}" style="text-align:{side}">{escape(value)}</{tag}>'
            for side, value in zip(sides, values, strict=True)
        ) + "</tr>"  # fmt: skip

    head = f'<caption style="text-align:left"><strong>{escape(title)}</strong></caption>' if title else ""
    body = "\n".join(row("td", line) for line in cells)
    foot = f"<p><small>{escape(note)}</small></p>" if note else ""
    return f"<table>{head}<thead>{row('th', columns)}</thead><tbody>\n{body}\n</tbody></table>{foot}"


def _plain_table(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str, note: str
) -> str:
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]

    def row(values: Sequence[str]) -> str:
        padded = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    lines = [title, row(columns), "  ".join("-" * width for width in widths), *map(row, cells), note]
    return "\n".join(line for line in lines if line)


def exercise(name: str, status: str, message: str) -> Card:
    """The state of an exercise: to do, not yet (with a diagnosis), right."""
    word = {"todo": text.TODO, "wrong": text.WRONG, "right": text.RIGHT}[status]
    color = {"todo": QUIET, "wrong": BAD, "right": GOOD}[status]
    html = edge(color, f"<strong>{escape(name)}: {escape(word)}</strong>", escape(message))
    return html, f"{name}: {word}. {message}"


def fold(summary: str, source: str) -> Card:
    """Source code behind a line to click on."""
    code = f"<pre><code>{escape(source.strip())}</code></pre>"
    return f"<details><summary>{escape(summary)}</summary>{code}</details>", f"{summary}\n\n{source.strip()}"
