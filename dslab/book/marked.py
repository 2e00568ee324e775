"""Texts with marked passages, each with its name beside it, and an explorer over such texts.

Marks use the HTML element made for it, so that GitHub, which removes styles, still shows them; colour only repeats
what the name says. Works for any spans that have start, end, type and rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from dslab.book import cards, text
from dslab.book import explore as explorer
from dslab.book.display import show
from dslab.book.errors import PageError
from dslab.book.figures import COLORS

_PALETTE = [COLORS[name] for name in ("vermillion", "blue", "green", "orange", "purple", "sky", "black")]


def card(content: str, spans: Sequence[Any], caption: str = "", shown: str | None = None) -> cards.Card:
    """A text with its spans marked, and a table of the evidence for each.

    shown: what became of the text (masked, say), written under it.

    >>> from types import SimpleNamespace
    >>> html, plain = card("call 139", [SimpleNamespace(start=5, end=8, type="PHONE", rule="toy:pattern")])
    >>> print(plain.splitlines()[0])
    call [PHONE: 139]
    """
    kinds = list(dict.fromkeys(span.type for span in spans))
    colors = {kind: _PALETTE[place % len(_PALETTE)] for place, kind in enumerate(kinds)}
    html, plain, end = "", "", 0
    for span in sorted(spans, key=lambda span: span.start):
        value, before = content[span.start : span.end], content[end : span.start]
        style = f"background:none;color:inherit;border-bottom:3px solid {colors[span.type]}"
        html += f'{escape(before)}<mark style="{style}">{escape(value)}</mark><sub>{escape(span.type)}</sub>'
        plain += f"{before}[{span.type}: {value}]"
        end = span.end
    html, plain = html + escape(content[end:]), plain + content[end:]
    head = f"<p><strong>{escape(caption)}</strong></p>" if caption else ""
    body = f'<div style="white-space:pre-wrap;line-height:1.9">{html}</div>'
    lines = [caption, plain] if caption else [plain]
    if shown is not None:
        body += f'<p><small>{escape(text.BECOMES)}</small></p><pre style="white-space:pre-wrap">{escape(shown)}</pre>'
        lines.append(f"{text.BECOMES} {shown}")
    if spans:
        table = cards.table([{text.FOUND: _short(content, s), text.TYPE: s.type, text.EVIDENCE: s.rule} for s in spans])
        body, lines = body + table[0], [*lines, table[1]]
    return head + body, "\n".join(lines)


def explore(
    draw: Callable[..., cards.Card],
    *,
    name: str,
    controls: dict[str, explorer.Control],
    samples: Sequence[Mapping[str, Any]],
) -> None:
    """Controls over `draw(**values) -> (html, plain)`; every sample is drawn into the saved output.

    Raises PageError where samples are missing, do not fit the controls, or cannot be drawn.
    """
    explorer.check(name, controls, samples)
    drawn = []
    for sample in samples:
        try:
            html, plain = draw(**sample)
        except Exception as error:
            words = {"sample": dict(sample), "error": f"{type(error).__name__}: {error}"}
            raise PageError(text.SAMPLE_FAILED.format(name=name, **words)) from error
        settings = ", ".join(f"{key} = {value}" for key, value in sample.items() if key in _small(controls))
        drawn.append((f"<p><small>{escape(settings)}</small></p>{html}", f"{settings}\n{plain}"))
    widget = explorer.live(lambda values: _html(draw, values), controls)
    show("\n\n".join(plain for _, plain in drawn), "<hr>".join(html for html, _ in drawn), widget=widget)


def _html(draw: Callable[..., cards.Card], values: Mapping[str, Any]) -> str:
    """One drawing, or one sentence where it cannot be drawn: a reader may paste anything."""
    try:
        return draw(**values)[0]
    except Exception as error:
        said = text.CANNOT_DRAW.format(error=f"{type(error).__name__}: {error}")
        return f'<p role="alert"><strong>{escape(said)}</strong></p>'


def _small(controls: Mapping[str, explorer.Control]) -> set[str]:
    """Settings short enough to stand above a sample: a pasted text is seen anyway."""
    return {name for name, control in controls.items() if not isinstance(control, explorer.Text)}


def _short(content: str, span: Any, most: int = 40) -> str:
    value = content[span.start : span.end].replace("\n", "⏎")
    return value if len(value) <= most else f"{value[: most - 1]}…"
