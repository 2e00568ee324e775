"""A model's weights by what they are for, and what a list of targets takes and leaves: to be read before training."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from dslab.lora.targets import Targets, Weight, match, weights

_HEADINGS = ("weights", "role", "shape", "count", "parameters", "matched by")


@dataclass(frozen=True)
class Row:
    """Weights that differ only in numbers within their names. matched_by: entries of the targets, in their order."""

    pattern: str
    role: str
    shape: tuple[int, ...]
    count: int
    parameters: int
    matched_by: tuple[str, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """As shown."""
        shape = " x ".join(map(str, self.shape))
        by = ", ".join(self.matched_by) or "-"
        return self.pattern, self.role, shape, str(self.count), f"{self.parameters:,}", by


@dataclass(frozen=True)
class Explanation:
    """What `explain` found. Iterate over it, or show it.

    matched, missed: full names, in the model's order. Head, routers and embeddings are never called missed.
    unmatched_entries: the targets that match nothing, for which `inject` raises.
    """

    rows: tuple[Row, ...]
    matched: tuple[str, ...]
    missed: tuple[str, ...]
    unmatched_entries: tuple[str, ...]
    asked: bool

    @property
    def summary(self) -> str:
        """One line about the whole."""
        if not self.asked:
            return f"{sum(row.count for row in self.rows)} weights"
        lost = f"; matching nothing: {', '.join(self.unmatched_entries)}" if self.unmatched_entries else ""
        return f"{len(self.matched)} weights matched, {len(self.missed)} missed{lost}"

    def _table(self) -> list[Sequence[str]]:
        columns = len(_HEADINGS) - (not self.asked)
        return [_HEADINGS[:columns], *(row.cells[:columns] for row in self.rows)]

    def __str__(self) -> str:
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        put = [str.rjust if heading in ("count", "parameters") else str.ljust for heading in table[0]]
        lines = ["  ".join(f(cell, width) for f, cell, width in zip(put, row, widths, strict=True)) for row in table]
        return "\n".join([*(line.rstrip() for line in lines), self.summary])

    def _repr_html_(self) -> str:
        heading, *body = self._table()
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heading)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in body)
        return f"<table><tr>{head}</tr>{rows}</table><p>{html.escape(self.summary)}</p>"


def explain(model: nn.Module, targets: Targets | None = None) -> Explanation:
    """Every linear layer, fused experts parameter, router and embedding of the model; with targets, which of them take.

    Unlike `inject` it does not raise for an entry that matches nothing: it says so.
    """
    found = weights(model)
    by_entry = {} if targets is None else match(found, targets)
    taken: dict[str, list[str]] = {}
    for entry, names in by_entry.items():
        for name in names:
            taken.setdefault(name, []).append(entry)
    groups: dict[tuple, list[Weight]] = {}
    for weight in found:
        key = (re.sub(r"(?<![^.])\d+(?![^.])", "*", weight.name), weight.role, weight.shape)
        groups.setdefault((*key, tuple(taken.get(weight.name, ()))), []).append(weight)
    rows = tuple(
        Row(pattern, role, shape, len(members), sum(w.parameters for w in members), by)
        for (pattern, role, shape, by), members in groups.items()
    )
    missed = tuple(w.name for w in found if w.kind != "other" and not w.special and w.name not in taken)
    return Explanation(
        rows,
        tuple(w.name for w in found if w.name in taken),
        missed if targets is not None else (),
        tuple(entry for entry, names in by_entry.items() if not names),
        targets is not None,
    )
