"""`dslab claims`: the ledger, with what the saved notebooks or a run measured beside each entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dslab.runner import report, results, selection

HOLDS = {True: "[green]holds[/]", False: "[red]fails[/]", None: "[dim]not judged[/]"}
VERDICTS = {"true": "green", "false": "red", "outdated": "yellow", "unverifiable": "magenta"}


def measured(source: str | None) -> dict[str, dict[str, Any]]:
    """Claim id to the bundle that was measured: in a run's results, or in the collection's saved outputs.

    Raises selection.Refused where `source` is no run.
    """
    if source is None:
        records = [results.collect(path) for path in selection.collection()]
    else:
        path = Path(source).expanduser()
        path = path / "results.json" if path.is_dir() else path
        try:
            records = json.loads(path.read_text(encoding="utf-8"))["notebooks"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise selection.Refused(f"--from takes a run's folder or its results.json; {path}: {error}") from None
    return {claim["id"]: claim for record in records for claim in record["claims"]}


def rows(source: str | None) -> list[dict[str, Any]]:
    """The ledger's entries in order, each with `measured` and `holds` (None where nothing was measured)."""
    from dslab.book.claims import load_ledger

    found = measured(source)
    keys = ("id", "notebook", "statement", "says", "reference", "verdict", "kind", "bound", "planned")
    table = []
    for claim in load_ledger():
        seen = found.get(claim.id, {})
        row = {key: getattr(claim, key) for key in keys}
        table.append(row | {"measured": seen.get("measured"), "holds": seen.get("holds"), "why": seen.get("why", "")})
    return table


def show(source: str | None = None, *, as_json: bool = False) -> None:
    """Print the ledger as a table, or as JSON."""
    entries = rows(source)
    if as_json:
        print(json.dumps(entries, indent=1, ensure_ascii=False, default=str))
        return
    table = Table(header_style="dim", box=None, pad_edge=False, row_styles=("", ""), padding=(0, 2, 0, 0))
    for title in ("id", "claim", "says", "verdict", "bound", "measured", "holds"):
        right = title in ("bound", "measured")
        table.add_column(title, justify="right" if right else "left", no_wrap=title not in ("claim", "id"))
    for row in entries:
        judged = "[dim]documented[/]" if row["kind"] == "documented" else HOLDS[row["holds"]]
        if row["kind"] != "documented" and row["measured"] is None:
            judged = "[dim]planned[/]" if row["planned"] else "[yellow]not measured[/]"
        verdict = f"[{VERDICTS.get(row['verdict'], 'default')}]{row['verdict']}[/]"
        value = "" if row["measured"] is None else report.number(row["measured"])
        table.add_row(row["id"], escape(row["statement"]), row["says"], verdict, row["bound"] or "", value, judged)
    Console(highlight=False).print(table)
    sum_up = [sum(row["holds"] is state for row in entries) for state in (True, False)]
    print(f"{len(entries)} claims; {sum_up[0]} measured and hold, {sum_up[1]} fail")
