"""The memory of a run: what was asked of it, what each shard became, and whether that still stands.

`run.json` is written before any row is read and never changes; a resumed run must ask for the same. A shard's record
is written after its output. Neither holds a time of day or a path of this machine, so that an interrupted run that
was resumed leaves the same bytes as one that was not.

What is trusted on resume: an output is hashed again and must give the recorded SHA-256. That costs about a hundredth
of cleaning it, and a size or a time cannot tell a damaged file from a good one. An input of the same size and time is
taken as unchanged, as `make` and `rsync` do; with another time (a copy, a `touch`) its recorded SHA-256 decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dslab.clean.atomic import atomic_file, sha256_of
from dslab.clean.counts import ShardCounts
from dslab.clean.errors import CleanError, cannot
from dslab.clean.job import Job
from dslab.clean.layout import Layout
from dslab.clean.sources import Corpus, Shard

FORMAT = 1
SHOWN = 3  # names in a message before "and n more"


def describe(job: Job, corpus: Corpus, audit: bool) -> dict[str, Any]:
    """What run.json holds. The key appears as an HMAC under itself: it shows a change and nothing else.

    Raises CleanError if the key or a test file cannot be read.
    """
    return {
        "format": FORMAT,
        "fingerprint": job.fingerprint(),
        "options": {**job.describe(), "audit": audit},
        "inputs": [[shard.name, shard.size, shard.mtime_ns] for shard in corpus.shards],
    }


def write_run(layout: Layout, run: dict[str, Any]) -> None:
    _write(layout.run, run)


def read_run(layout: Layout) -> dict[str, Any] | None:
    """run.json, or None where there is none.

    Raises CleanError if it is damaged or of another format.
    """
    if not layout.run.exists():
        return None
    run = _read(layout.run)
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise CleanError(f"{layout.run} is damaged or of another version of dslab; start again in another place")
    return run


def changes(old: dict[str, Any], new: dict[str, Any], corpus: Corpus, layout: Layout) -> list[str]:
    """In what `new` differs from the run that `old` describes, in words; empty if resuming is sound."""
    said = []
    before, now = old["options"], new["options"]
    for name in sorted(before.keys() | now.keys()):
        if _same(name, before.get(name), now.get(name)):
            continue
        if name == "key":
            said.append("the key is another one")
        else:
            was, is_now = (option_words(name, options.get(name)) for options in (before, now))
            said.append(f"--{name.replace('_', '-')} was {was}, is {is_now}")
    said += _changed_inputs(old["inputs"], corpus, layout)
    if not said and old["fingerprint"] != new["fingerprint"]:
        said.append("dslab, Python or a library that finds or writes is of another version")
    return said


def _same(name: str, before: Any, now: Any) -> bool:
    """Whether an option is unchanged; a test file that was renamed is."""
    if name == "decontaminate":
        return [one["sha256"] for one in before or []] == [one["sha256"] for one in now or []]
    return before == now


def option_words(name: str, value: Any) -> str:
    """An option of run.json as a reader sees it; of a key, whether there is one.

    >>> option_words("types", ["EMAIL", "IP"]), option_words("quality", False), option_words("key", "91ab")
    ('EMAIL,IP', 'off', 'given')
    """
    if name == "key":
        return "given" if value else "none"
    if name == "decontaminate":
        return ", ".join(f"{one['file']} ({one['sha256'][:8]})" for one in value or []) or "none"
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "all" if name == "types" else "not given"
    return str(value)


def write_record(layout: Layout, shard: Shard, counts: ShardCounts, fingerprint: str) -> None:
    """The record of a finished shard. Written last: a shard without one is not finished."""
    _write(layout.record(shard), {"shard": shard.name, "fingerprint": fingerprint, "counts": counts.to_dict()})


def read_record(layout: Layout, shard: Shard, fingerprint: str) -> ShardCounts | None:
    """The counts of a finished shard; None if its record is missing, damaged or of another configuration."""
    try:
        record = _read(layout.record(shard))
        if record["shard"] == shard.name and record["fingerprint"] == fingerprint:
            return ShardCounts(**record["counts"]).check()
    except (CleanError, KeyError, TypeError):
        pass
    return None


def stands(layout: Layout, shard: Shard, counts: ShardCounts, audit: bool) -> bool:
    """Whether a finished shard's files are there and its output is, byte for byte, what was written."""
    target = layout.target(shard)
    if not target.is_file() or target.stat().st_size != counts.bytes_out:
        return False
    if counts.quarantined and not layout.quarantine(shard).is_file():
        return False
    if audit and not layout.audit(shard).is_file():
        return False
    return sha256_of(target) == counts.sha256_out


def write_manifest(layout: Layout, run: dict[str, Any], done: Iterable[tuple[Shard, ShardCounts]]) -> ShardCounts:
    """The record of the whole run: configuration, sums, and every shard's digests. Returns the checked sums."""
    done = list(done)
    total = ShardCounts.total(counts for _, counts in done).check()
    shards = {shard.name: counts.to_dict() for shard, counts in done}
    sums = {name: value for name, value in total.to_dict().items() if not name.startswith("sha256")}
    _write(
        layout.manifest, {**{k: run[k] for k in ("format", "fingerprint", "options")}, "sums": sums, "shards": shards}
    )
    return total


def _changed_inputs(before: list[list[Any]], corpus: Corpus, layout: Layout) -> list[str]:
    old = {name: (size, mtime) for name, size, mtime in before}
    new = {shard.name: shard for shard in corpus.shards}
    kinds = {
        "gone": [name for name in old if name not in new],
        "new": [name for name in new if name not in old],
        "changed": [name for name, shard in new.items() if name in old and _differs(*old[name], shard, layout)],
    }
    said = [f"input{'s' * (len(names) != 1)} {kind}: {_names(names)}" for kind, names in kinds.items() if names]
    if not said and list(old) != list(new):
        said.append("the inputs stand in another order")
    return said


def _differs(size: int, mtime: int, shard: Shard, layout: Layout) -> bool:
    if shard.size != size:
        return True
    if shard.mtime_ns == mtime:
        return False
    try:
        return _read(layout.record(shard))["counts"]["sha256_in"] != sha256_of(shard.source)
    except (CleanError, KeyError, TypeError):
        return True  # nothing was recorded of it: there is no telling


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_file(path) as sink:
        sink.write(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogateescape"))


def _read(path: Path) -> Any:
    damaged = False
    failed = None
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
    except OSError as error:
        failed = error
    except ValueError:
        damaged = True
    if damaged or failed is None:
        raise CleanError(f"{path} is damaged")
    raise cannot("read", path, failed)
