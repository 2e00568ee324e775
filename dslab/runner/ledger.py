"""`dslab claims`: the ledger, with what the saved notebooks or a run measured beside each entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from dslab.runner import report, results, selection

WORDS = {"holds": "green", "fails": "red", "not measured": "yellow"}
VERDICTS = {"true": "green", "false": "red", "outdated": "yellow", "unverifiable": "magenta"}


def measured(source: str | None) -> dict[str, dict[str, Any]]:
    """Claim id to the bundle that was measured: in a run's results, or in the collection's saved outputs.

    Raises selection.Refused where `source` is no run.
    """
    if source is None:
        records = [results.collect(path) for path in [*selection.collection(), *selection.studies()]]
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


def _judgement(row: dict[str, Any]) -> str:
    if row["kind"] == "documented":
        return "documented"
    if row["measured"] is None and row["holds"] is None:
        return "planned" if row["planned"] else "not measured"
    return {True: "holds", False: "fails", None: "not judged"}[row["holds"]]


def _padded(colours: dict[str, str], word: str, width: int) -> str:
    return f"[{colours.get(word, 'dim')}]{word:<{width}}[/]"


def show(source: str | None = None, *, as_json: bool = False) -> None:
    """Print the ledger, two lines a claim (facts, then the statement), or as JSON."""
    entries = rows(source)
    if as_json:
        print(json.dumps(entries, indent=1, ensure_ascii=False, default=str))
        return
    console = Console(highlight=False)
    width = max([len(row["id"]) for row in entries], default=0)
    for row in entries:
        value = "" if row["measured"] is None else f"measured {report.number(row['measured'])}"
        facts = [f"[bold]{row['id']:<{width}}[/]", f"{row['says']:<13}", _padded(VERDICTS, row["verdict"], 12)]
        facts += [_padded(WORDS, _judgement(row), 12), escape(f"{row['bound'] or '':<16}"), value]
        console.print("  ".join(facts).rstrip(), soft_wrap=True)
        console.print(Padding(escape(row["statement"]), (0, 0, 0, width + 2)), style="dim")
    sum_up = [sum(row["holds"] is state for row in entries) for state in (True, False)]
    print(f"{len(entries)} claims; {sum_up[0]} measured and hold, {sum_up[1]} fail")
