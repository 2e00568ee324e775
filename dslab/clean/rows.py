"""What is decided about a row's text, and how the decision is booked; the same for every format.

unreadable -> on_error     duplicate, low quality, contaminated -> dropped     else -> masked and out
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dslab.clean.atomic import Sink
from dslab.clean.counts import ShardCounts, add
from dslab.clean.errors import CleanError, cannot
from dslab.clean.job import Job

DUPLICATE = "near-duplicate"
CONTAMINATED = "contaminated"
FAILED = "cleaning failed"
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Verdict:
    """Where a text goes: out with `text`, or not, for the reason in `drop` or `error`."""

    text: str
    spans: Sequence[Any] = ()
    drop: str = ""
    error: str = ""


class Cleaner:
    """The part of a job that looks at texts: quality rules, contamination, masking, in that order."""

    def __init__(self, job: Job) -> None:
        self._masker: Any = _masker(job.mask, job.types, job.policy, job.key()) if job.mask != "off" else None
        self._index: Any = None
        if job.decontaminate:
            least = job.decontaminate_min_words
            self._index = _index(_states(job.decontaminate), job.text_column, job.ngram, least)
        self._failed: Any = None
        if job.quality:
            from dslab.dedup.quality import failed

            self._failed = failed

    @property
    def short_items(self) -> int:
        """How many test items have too few words to be looked for."""
        return 0 if self._index is None else len(self._index.ignored)

    def judge(self, texts: list[str]) -> list[Verdict]:
        """A verdict for each text, in their order.

        A row that a rule or a recogniser stumbles over is an error row: it must not go out unmasked, and one such
        row must not end a run. What they raise may quote the text, so only its type is kept.
        """
        verdicts = [Verdict(text) for text in texts]
        if self._failed is not None:
            for verdict in verdicts:
                self._try(verdict, self._rule)
        left = [verdict for verdict in verdicts if not (verdict.drop or verdict.error)]
        if self._index is not None and left:
            hits = _or_stop("decontamination", lambda: self._index.overlap([verdict.text for verdict in left]).hits)
            for verdict, n in zip(left, hits.tolist(), strict=True):
                verdict.drop = CONTAMINATED if n else ""
        if self._masker is not None:
            for verdict in left:
                if not verdict.drop:
                    self._try(verdict, self._mask)
        return verdicts

    def _rule(self, verdict: Verdict) -> None:
        rules = self._failed(verdict.text)
        verdict.drop = f"quality: {rules[0]}" if rules else ""

    def _mask(self, verdict: Verdict) -> None:
        verdict.text, verdict.spans = self._masker.apply(verdict.text)

    def _try(self, verdict: Verdict, step: Callable[[Verdict], None]) -> None:
        problem = ""
        try:
            step(verdict)
        except (ImportError, MemoryError) as error:  # not the row's fault: no row would pass
            problem = type(error).__name__
        except Exception as error:
            verdict.error = f"{FAILED} ({type(error).__name__})"
        if problem:
            raise CleanError(f"cleaning is not possible: {problem}")


class Books:
    """The counts of one shard, and the audit.

    unit, first: how a row is called and counted in messages and side files: "line" from 1, or "row" from 0.
    """

    def __init__(self, source: Path, job: Job, unit: str, first: int, audit: Sink | None, progress: Progress | None):
        self.counts = ShardCounts()
        self.source, self.unit, self.first = source, unit, first
        self._job, self._audit, self._progress = job, audit, progress
        self._records: list[bytes] = []

    def refuse(self, row: int, reason: str) -> bool:
        """Book an error row; whether it is to be put in quarantine.

        Raises CleanError with file, row and reason where a row in error fails the shard.
        """
        if self._job.on_error == "fail":
            raise CleanError(f"{self.source}: {self.unit} {row + self.first}: {reason}")
        quarantine = self._job.on_error == "quarantine"
        add(self.counts.quarantined if quarantine else self.counts.dropped, reason)
        return quarantine

    def drop(self, reason: str) -> None:
        add(self.counts.dropped, reason)

    def out(self, row: int, verdict: Verdict) -> None:
        """Book a row that goes out, and the audit of what was masked in it."""
        self.counts.rows_out += 1
        for span in verdict.spans:
            add(self.counts.spans, span.type)
        if self._audit is not None:
            self._records += [self._record(row, span) for span in verdict.spans]

    def tick(self, bytes_in: int) -> None:
        """After each batch, and at the end: write the audit of the batch, report progress."""
        if self._audit is not None and self._records:
            self._audit.write(b"".join(self._records))
            self._records.clear()
        if self._progress is not None:
            self._progress(self.counts.rows_in, bytes_in)

    def _record(self, row: int, span: Any) -> bytes:
        record = {self.unit: row + self.first, "type": span.type, "start": span.start, "end": span.end}
        return json.dumps({**record, "rule": span.rule}).encode() + b"\n"


def _or_stop(what: str, do: Callable[[], Any]) -> Any:
    """do(); its error may quote a text, so only its type is passed on."""
    try:
        return do()
    except Exception as error:
        problem = type(error).__name__
    raise CleanError(f"{what} failed ({problem})")


@lru_cache(maxsize=4)
def _masker(mode: str, types: tuple[str, ...] | None, policy: str, key: bytes | None) -> Any:
    missing = ""
    try:
        from dslab.privacy import TYPES, Detector, Masker

        return Masker(Detector(types=types or TYPES, policy=policy), mode=mode, key=key)
    except ImportError as error:
        missing = error.name or "a library"
    raise CleanError(f"masking is not possible: {missing} is not installed (pip install 'dslab-course[clean]')")


@lru_cache(maxsize=2)
def _index(files: tuple[tuple[str, int, int], ...], column: str, n: int, least: int) -> Any:
    """The n-grams of all test items of `least` words or more; built once in a process, not once a shard."""
    from dslab.clean.shard import texts
    from dslab.dedup import NgramIndex

    job = Job(text_column=column, mask="off", on_error="fail")  # an item that is not read would be let through
    items = [text for path, _, _ in files for _, text in texts(path, job)]
    index = _or_stop("decontamination", lambda: NgramIndex(items, n=n, shortest=least))
    if items and len(index.ignored) == len(items):
        raise CleanError(
            f"every test item has fewer than {least} words, so none would be looked for; "
            "join question and answer, or lower decontaminate_min_words"
        )
    return index


def _states(paths: tuple[str, ...]) -> tuple[tuple[str, int, int], ...]:
    """Each path with size and time, so that a file that changed is read again."""
    states = []
    for path in paths:
        failed = None
        try:
            state = os.stat(path)
            states.append((path, state.st_size, state.st_mtime_ns))
        except OSError as error:
            failed = error
        if failed is not None:
            raise cannot("read", path, failed)
    return tuple(states)
