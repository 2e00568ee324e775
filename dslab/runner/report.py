"""index.html of a run: one page, no other files needed to read it, light or dark as the reader's system is."""

from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dslab.runner import normalize, results
from dslab.runner.display import duration, memory

TEMPLATES = Path(__file__).parent / "templates"
STATUS_WORDS = {
    "passed": "passed",
    "failed": "a cell failed",
    "timeout": "a cell timed out",
    "died": "the kernel died",
    "interrupted": "interrupted",
    "not run": "not run",
}


def write(run: dict[str, Any], folder: Path) -> Path:
    """Write the page from a run's record (`results.of_run`, figures with their pixels). Returns its path."""
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"duration": duration, "memory": memory, "number": number, "bound": bound}
    page = environment.get_template("report.html").render(
        run=run,
        verdict=verdict(run),
        good=run["exit_code"] == 0,
        words=STATUS_WORDS,
        state=lambda record: notebook_state(record, run["strict"]),
        started=datetime.datetime.fromisoformat(run["started"]),
        totals=totals(run),
        claim_state=lambda claim: claim_state(claim, run["strict"]),
        again=command_for,
    )
    path = folder / "index.html"
    normalize.write_text(path, page)
    return path


def number(value: Any) -> str:
    """A measured value to four significant figures; what is no number stays as it is.

    >>> number(0.00001234), number(12345.678), number(576), number(True), number(None)
    ('1.234e-5', '12,346', '576', 'true', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        text = f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
        return re.sub(r"e([+-])0*(\d)", lambda m: "e" + m[1].strip("+") + m[2], text)
    return str(value)


def bound(text: str | None) -> str:
    """A bound with the signs that print uses.

    >>> bound(">= 5"), bound("")
    ('≥ 5', '–')
    """
    return (text or "–").replace(">=", "≥").replace("<=", "≤").replace("==", "=")


def one_line(text: str, width: int = 300) -> str:
    """A message on one line, cut at `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def notebook_state(record: dict[str, Any], strict: bool) -> tuple[str, str]:
    """A notebook's state as a style and words: a notebook whose claims fail is not good, though every cell ran."""
    if record["status"] == "passed" and results.failed_claims(record, strict):
        return "bad", "a claim failed"
    return ("good" if record["status"] == "passed" else "bad"), STATUS_WORDS[record["status"]]


def claim_state(claim: dict[str, Any], strict: bool) -> tuple[str, str]:
    """A claim's state as a style and words: good, bad, soft or open."""
    if claim.get("holds") is True:
        return "good", "holds"
    if claim.get("holds") is None:
        return "open", "not judged"
    if claim.get("kind") == "measured" and not strict:
        return "soft", "missed here"
    return "bad", "fails"


def totals(run: dict[str, Any]) -> dict[str, int]:
    """What the head of the page counts."""
    claims = [claim for record in run["notebooks"] for claim in record["claims"]]
    states = [claim_state(claim, run["strict"])[0] for claim in claims]
    return {
        "notebooks": len(run["notebooks"]),
        "passed": sum(notebook_state(record, run["strict"])[0] == "good" for record in run["notebooks"]),
        "claims": len(claims),
        "held": states.count("good"),
        "missed": states.count("soft"),
        "failed": states.count("bad"),
        "open": states.count("open"),
        "peak_bytes": max((record["peak_bytes"] for record in run["notebooks"]), default=0),
    }


def verdict(run: dict[str, Any]) -> str:
    """The run in one sentence.

    >>> verdict({"interrupted": False, "strict": False, "notebooks": []})
    'Nothing was run.'
    """
    records, count = run["notebooks"], totals(run)
    if not records:
        return "Nothing was run."
    if run["interrupted"]:
        return f"Interrupted: {_of(count['passed'], count['notebooks'], 'notebook')} had finished."
    broken = [record for record in records if record["status"] != "passed"]
    if broken:
        names = ", ".join(record["notebook"] for record in broken[:3]) + (" and others" if len(broken) > 3 else "")
        also = f"; {_of(count['failed'], count['claims'], 'claim')} failed" if count["failed"] else ""
        return f"{_of(len(broken), len(records), 'notebook')} did not finish: {names}{also}."
    if count["failed"]:
        return f"Every cell ran, but {_of(count['failed'], count['claims'], 'claim')} failed."
    if not count["claims"]:
        return "Every cell ran."
    judged = count["claims"] - count["open"]
    if not judged:
        return "Every cell ran; no claim was judged."
    if count["missed"]:
        return (
            f"Every cell ran and every exact claim held; {_of(count['missed'], judged, 'claim')} missed its mark here."
        )
    return (
        "Every cell ran and every claim held." if not count["open"] else "Every cell ran and every judged claim held."
    )


def _of(part: int, whole: int, noun: str) -> str:
    return f"{part} of {whole} {noun}{'' if whole == 1 else 's'}"


def command_for(record: dict[str, Any]) -> str:
    """The command that runs one notebook of a run again with the same values."""
    return " ".join(["dslab run", shlex.quote(record["path"]), *_options(record["given"])])


def _options(values: dict[str, Any]) -> Sequence[str]:
    return [f"-p {shlex.quote(f'{name}={value}')}" for name, value in values.items()]


def last_words(run: dict[str, Any], folder: Path) -> list[str]:
    """What is printed last: each failing cell, its message and the partial notebook; each claim that failed."""
    lines: list[str] = []
    for record in run["notebooks"]:
        error = record["error"]
        if error:
            where = f"cell [{error['cell']}] {error['id']}".strip() if error["cell"] else error["id"]
            lines.append(f"{record['notebook']}: {STATUS_WORDS[record['status']]}{f' at {where}' if where else ''}")
            lines.append(f"  {one_line(error['name'] + ': ' + error['message'], 1000)}")
            if record["executed"]:
                lines.append(f"  partial notebook: {folder / record['executed']}")
        elif record["status"] == "not run":
            lines.append(f"{record['notebook']}: not run")
        for claim in results.failed_claims(record, run["strict"]):
            lines.append(
                f"{record['notebook']}: claim {claim['id']} failed: measured {number(claim.get('measured'))}, "
                f"bound {claim.get('bound')}"
            )
            if record["executed"] and not error:
                lines.append(f"  notebook: {folder / record['executed']}")
    return lines
