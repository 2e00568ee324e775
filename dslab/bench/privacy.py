"""`dslab bench privacy`: the detector beside the widespread tools, in one run: speed, quality, attacks, workers.

Speed is process CPU time, in turns, on a web-like corpus with personal data in 3 % of its rows. Two workers are
compared in wall time, which means little unless the machine is idle. Quality is measured on the two hands of
`dslab.privacy.synthetic`. Both are development data, which flatters; other people's documents can be given in a file.
About four minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from dslab.bench import privacy_peers as peers
from dslab.bench.measure import interleaved
from dslab.bench.report import Row, Table, number, show, this_machine
from dslab.paths import data_dir

__all__ = ["Compared", "load", "main", "measure", "row"]

ROWS, SLICE, SEED, REPEATS, DOCUMENTS, SHARE = 5000, 160, 3, 5, 1000, 200
HANDS = ("first", "second")
SHARED = ("CARD", "PHONE_INTL", "EMAIL", "IBAN", "US_SSN", "IP")
# Types, recall that must be reached, precision, and the aim of both.
BARS: tuple[tuple[tuple[str, ...], float, float, float | None], ...] = (
    (("CN_ID", "CARD", "USCC", "IBAN", "US_SSN"), 0.99, 0.99, 0.999),
    (("EMAIL", "CN_MOBILE"), 0.98, 0.98, 0.995),
    (("IP",), 0.98, 0.95, None),
    (("SECRET",), 0.95, 0.98, None),
    (("CN_PLATE", "PASSPORT"), 0.95, 0.95, None),
    (("PHONE_INTL",), 0.90, 0.90, None),
)
# Each repeats what some pattern repeats; the first two stop datatrove's.
ATTACKS = (
    "a.",
    "1.",
    "1",
    "a@",
    "1-",
    "1 ",
    "%41",
    "password=",
    "a:",
    "京A1",
    "+86 ",
    "://a:",
    "Aa1",
    "\\u0031",
    "１",
    "密码",
)
WORKERS_ROW = "two workers over one, wall time"
ATTACK_ROW = f"attack strings, {len(ATTACKS)} kinds, four times as long: seconds over seconds, worst"
RESEARCH_ROW = "presidio-research, six shared types: F1 of ours over presidio's"


@dataclass
class Compared(Table):
    """A bench's table, and the figures of everybody without a bar: {"part", "tool", quantity: value, ...}."""

    facts: list[dict[str, Any]] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Measure, print, and with `--save` keep the table; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="dslab bench privacy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--save", action="store_true", help="keep the table in data/bench/privacy.json")
    parser.add_argument("--presidio-research", type=Path, metavar="FILE", help="JSON lines: text, spans")
    options = parser.parse_args(arguments)
    table = measure(options.presidio_research, say=print)
    show(table)
    show_facts(table)
    if options.save:
        print(f"saved {table.save().name}")
    return int(any(row.holds is False for row in table.rows))


def measure(research: Path | None = None, say: Callable[[str], None] = lambda _: None) -> Compared:
    """The whole table. research: documents for `evaluate`, one a line."""
    table = Compared("privacy", machine=this_machine(threads=1))
    for title, part in PARTS.items():
        say(f"measuring {title} ...")
        part(table)
    say("measuring presidio-research ...")
    _research(table, research)
    return table


def load(folder: Path | None = None) -> Compared:
    """The saved table. Raises FileNotFoundError that says how to make one."""
    path = (folder or data_dir() / "bench") / "privacy.json"
    if not path.is_file():
        raise FileNotFoundError(f"no saved table {path.name}; `dslab bench privacy --save` makes it (some minutes)")
    saved = json.loads(path.read_text(encoding="utf-8"))
    return Compared(**saved | {"rows": [Row(**row) for row in saved["rows"]]})


def row(rows: int = 600, repeats: int = 3) -> dict[str, float]:
    """CPU seconds of ours and of datatrove's on a small corpus, for a notebook: about a second."""
    return interleaved(_ways(_pages(rows)), repeats)


@cache
def _pages(rows: int) -> tuple[str, ...]:
    from dslab.privacy.synthetic import corpus

    return tuple(row["text"] for row in corpus(rows, SEED, pii=0.03).rows)


def _ways(pages: tuple[str, ...]) -> dict[str, Callable[[], Any]]:
    from dslab.privacy import Detector

    detector, formatter = Detector(), peers.Datatrove()
    return {
        peers.OURS: lambda: [detector.find(page) for page in pages],
        peers.DATATROVE: lambda: [formatter.format(page) for page in pages],
    }


def _speed(table: Compared) -> None:
    """Seconds a byte; presidio reads a slice of the corpus, the same in every round."""
    from dslab.privacy import Detector, Masker

    pages = _pages(ROWS)
    masker, numbers, presidio = Masker(Detector(), mode="tag"), peers.PhoneNumbers(), peers.Presidio()
    part, share, masking = pages[:SLICE], pages[: SLICE * 5], "dslab Masker, tag"
    calls = _ways(pages) | {
        masking: lambda: [masker.apply(page) for page in pages],
        peers.PHONENUMBERS: lambda: [numbers.find(page) for page in share],
        peers.PRESIDIO: lambda: [presidio.find(page) for page in part],
    }
    seconds = interleaved(calls, REPEATS)
    table.seconds |= seconds
    read = dict.fromkeys(calls, pages) | {peers.PHONENUMBERS: share, peers.PRESIDIO: part}
    size = {name: _bytes(texts) / 1e6 for name, texts in read.items()}
    for name, taken in seconds.items():
        table.facts.append({"part": "speed", "tool": name, "MB": size[name], "MB/s": size[name] / taken})
    per_byte = {name: taken / size[name] for name, taken in seconds.items()}
    for name, must, aim in ((peers.PRESIDIO, 20.0, 60.0), (peers.DATATROVE, 1.0, 3.0)):
        ratio = per_byte[name] / per_byte[peers.OURS]
        table.rows.append(Row(f"{name} over ours, CPU time a byte", ratio, ">=", must, aim))


def _bytes(texts: tuple[str, ...]) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def _quality(table: Compared) -> None:
    """Ours against the bars; everybody's figures on a share of the documents, because presidio is slow."""
    from dslab.privacy import Detector, evaluate
    from dslab.privacy.synthetic import documents

    for hand in HANDS:
        docs = documents(DOCUMENTS, SEED, hand=hand)
        for name, finder in peers.everybody().items():
            table.facts.append({"part": f"{hand} hand", "tool": name} | _shares(evaluate(docs[:SHARE], finder)))
        found = evaluate(docs, Detector())
        recalls = {kind: counts.recall for kind, counts in sorted(found.types.items())}
        table.facts.append({"part": f"{hand} hand, recall by type", "tool": peers.OURS} | recalls)
        for group, recall, precision, aim in BARS:
            for what, must in (("recall", recall), ("precision", precision)):
                lowest = min(getattr(found.types[kind], what) for kind in group)
                table.rows.append(Row(f"{hand} hand, {what}, lowest of {' '.join(group)}", lowest, ">=", must, aim))
        kinds = {kind: hit / planted for kind, (hit, planted) in found.negatives.items()}
        table.rows += [
            Row(f"{hand} hand, values eaten by half", float(found.half_eaten), "<=", 0, 0),
            Row(f"{hand} hand, look-alikes hit", found.negatives_hit, "<=", 0.01, 0.003),
            Row(f"{hand} hand, look-alikes hit, worst kind", max(kinds.values()), "<=", 0.03),
        ]


def _shares(found: Any) -> dict[str, float]:
    return {
        "recall": found.recall, "precision": found.precision, "F1": found.f1, "half eaten": found.half_eaten,
        "look-alikes hit": found.negatives_hit,
    }  # fmt: skip


def _research(table: Compared, path: Path | None) -> None:
    """F1 on the six types that both know. presidio is read at two thresholds, and its better one counts."""
    from dslab.privacy import Detector, evaluate

    if path is None:
        table.rows.append(Row(RESEARCH_ROW, None, ">=", 1.0, why="needs --presidio-research FILE"))
        return
    docs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    finders = {peers.PRESIDIO: peers.Presidio(), f"{peers.PRESIDIO}, score > .4": peers.Presidio(0.41)}
    results = {name: evaluate(docs, finder, SHARED) for name, finder in (finders | {peers.OURS: Detector()}).items()}
    for name, found in results.items():
        shares = {what: share for what, share in _shares(found).items() if what != "look-alikes hit"}
        table.facts.append({"part": "presidio-research", "tool": name} | shares)
    theirs = max(found.f1 for name, found in results.items() if name != peers.OURS)
    table.rows.append(Row(RESEARCH_ROW, results[peers.OURS].f1 / theirs, ">=", 1.0))


def _attacks(table: Compared) -> None:
    """Seconds for a string and for one four times as long; datatrove's only at a length that it survives."""
    from dslab.privacy import Detector

    detector, formatter = Detector(), peers.Datatrove()
    worst = ("", 0.0)
    for unit in ATTACKS:
        ratio = _fourfold(table, peers.OURS, detector.find, unit, 25_000)
        worst = max(worst, (unit, ratio), key=lambda pair: pair[1])
    for unit in ATTACKS[:2]:
        _fourfold(table, peers.DATATROVE, formatter.format, unit, 4_000)
    table.rows.append(Row(ATTACK_ROW, worst[1], "<=", 6.0, 4.5, why=repr(worst[0])))


def _fourfold(table: Compared, name: str, call: Callable[[str], Any], unit: str, length: int) -> float:
    """Median seconds of four short strings, one after another, and of one that is as long as all of them."""
    short, long = (unit * (size // len(unit)) for size in (length, 4 * length))
    repeats, warmup = (REPEATS, 1) if name == peers.OURS else (1, 0)
    calls = {"short": lambda: [call(short) for _ in range(4)], "long": lambda: call(long)}
    taken = interleaved(calls, repeats, warmup)
    seconds = taken["short"] / 4
    table.facts.append({
        "part": "attack strings", "tool": name, "string": unit, "characters": len(long), "seconds": taken["long"],
        "ratio": taken["long"] / seconds,
    })  # fmt: skip
    return taken["long"] / seconds


def _workers(table: Compared) -> None:
    from dslab.bench.privacy_workers import seconds

    wall, busy = seconds(_pages(ROWS))
    for workers, taken in wall.items():
        table.facts.append(
            {"part": "workers", "tool": f"{workers} workers", "wall seconds": taken, "load before": busy}
        )
    table.rows.append(Row(WORKERS_ROW, wall[1] / wall[2], ">=", 1.7, 1.9, why=f"load average {busy} before"))


def show_facts(table: Compared) -> None:
    """Everybody's figures, part by part."""
    for fact in table.facts:
        values = [f"{key} {number(v) if isinstance(v, float) else v}" for key, v in list(fact.items())[2:]]
        print(f"{fact['part']}: {fact['tool']}: {', '.join(values)}")


PARTS: dict[str, Callable[[Compared], None]] = {
    "speed": _speed, "quality": _quality, "attack strings": _attacks, "two workers": _workers,
}  # fmt: skip
