"""A run: refuse early, do what is left, balance the books.

    prepare  reads only: inputs, output, key, an earlier run; everything that is refused is refused here
    execute  the duplicate passes where asked for, then every shard that is not finished; each stands alone

A shard is finished when its record stands (`manifest`); until then it is done again, from its input, whatever a kill
left of it. That is all there is to resuming.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dslab.clean import manifest, passes
from dslab.clean.atomic import remove_file, sync_folder
from dslab.clean.counts import ShardCounts
from dslab.clean.errors import MEANING, CleanError, cannot
from dslab.clean.exclusive import alone, swept
from dslab.clean.job import Job
from dslab.clean.layout import Layout, layout_for
from dslab.clean.progress import Progress
from dslab.clean.rows import Cleaner
from dslab.clean.shard import clean_shard
from dslab.clean.sources import Corpus, Shard, find_shards
from dslab.clean.workers import Failure, Report, each

FULL = MEANING[28]  # ENOSPC: every other shard would fail of it too


@dataclass(frozen=True)
class Recipe:
    """What is done to every shard and where it goes: all that a worker or another machine needs beside the shard."""

    layout: Layout
    job: Job
    audit: bool
    fingerprint: str


@dataclass(frozen=True)
class Plan:
    """What a run will do; the same on every machine that works on it.

    description: what run.json holds. short_items: test items with too few words to be looked for.
    """

    recipe: Recipe
    corpus: Corpus
    description: dict[str, Any]
    is_resumed: bool
    short_items: int = 0

    @property
    def shards(self) -> tuple[Shard, ...]:
        return self.corpus.shards

    @property
    def layout(self) -> Layout:
        return self.recipe.layout

    @property
    def job(self) -> Job:
        return self.recipe.job

    def start(self) -> None:
        """Write down what the run is. On many machines each may do it: all write the same bytes."""
        if not self.is_resumed:
            manifest.write_run(self.layout, self.description)


@dataclass
class Result:
    """What became of a run: counts of every finished shard, reasons of the failed, and whether it ended early."""

    plan: Plan
    done: dict[str, ShardCounts] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    reused: int = 0
    redone: int = 0
    seconds: float = 0.0
    is_stopped: bool = False

    @property
    def total(self) -> ShardCounts:
        return ShardCounts.total(self.done.values())

    @property
    def is_complete(self) -> bool:
        return len(self.done) == len(self.plan.shards)


def prepare(inputs: Sequence[str], out: str, job: Job, *, audit: bool = False, resume: bool = False) -> Plan:
    """Look at everything, change nothing.

    Raises CleanError, in one line, for what cannot be done: no input, a missing key, an output that is in use, a
    resumed run that asks for something else.
    """
    corpus = find_shards(inputs, out)
    layout = layout_for(inputs, corpus, out)
    description = manifest.describe(job, corpus, audit)
    old = manifest.read_run(layout) if resume else None
    if old is not None:
        changed = manifest.changes(old, description, corpus, layout)
        if changed:
            raise CleanError(f"{out} cannot be resumed: {'; '.join(changed)}. Undo that, or start in another place")
        description = old  # the same but for the times of inputs that were copied
    elif not layout.is_empty() and not (resume and layout.is_untouched()):
        hint = "it is no run of dslab clean" if resume else "--resume continues the run that is there"
        raise CleanError(f"{out} is not empty; {hint}. Name a new or empty place")
    cleaner = _try_out(job, corpus)
    recipe = Recipe(layout, job, audit, description["fingerprint"])
    return Plan(recipe, corpus, description, old is not None, cleaner.short_items)


def _try_out(job: Job, corpus: Corpus) -> Cleaner:
    """Build once what every worker will build, so that a missing package or a bad test file is found here."""
    cleaner = Cleaner(job)
    if any(shard.source.suffix.lower() in (".gz", ".zst", ".parquet") for shard in corpus.shards):
        import pyarrow  # noqa: F401
    return cleaner


def finished(recipe: Recipe, shard: Shard) -> ShardCounts | None:
    """The counts of a shard that is finished and whose files still stand as they were written; else None."""
    counts = manifest.read_record(recipe.layout, shard, recipe.fingerprint)
    if counts is not None and manifest.stands(recipe.layout, shard, counts, recipe.audit):
        return counts
    return None


def clean_one(recipe: Recipe, shard: Shard, report: Report | None = None) -> ShardCounts:
    """Clean one shard and write its record; on any machine that sees input and output, in any order.

    Raises CleanError if the shard fails; nothing then stands under its final name.
    """
    layout, job = recipe.layout, recipe.job
    doomed = passes.duplicates(layout, shard) if job.dedup is not None else None
    workplace = layout.workplace(shard)
    _refuse_changed(shard)
    counts = clean_shard(
        shard.source, workplace, job, duplicates=doomed, quarantine=layout.quarantine(shard),
        audit=layout.audit(shard) if recipe.audit else None, progress=report,
    )  # fmt: skip
    try:
        _refuse_changed(shard)
    except CleanError:
        remove_file(workplace)
        raise
    if workplace != layout.target(shard):
        _rename(workplace, layout.target(shard))
    manifest.write_record(layout, shard, counts, recipe.fingerprint)
    return counts


def execute(plan: Plan, workers: int = 1, progress: Progress | None = None) -> Result:
    """Do what is left of a plan. A failed shard does not stop the others, except under on_error="fail" or a full disk.

    Raises CleanError for what concerns the whole run: another run in this place, a place that cannot be written.
    """
    progress = progress or Progress(quiet=True)
    started = time.monotonic()
    result = Result(plan)
    with alone(plan.layout), swept(plan.layout):
        plan.start()
        _verify(plan, workers, progress, result)
        left = [shard for shard in plan.shards if shard.name not in result.done]
        if left and plan.job.dedup is not None:
            left = _passes(plan, left, workers, progress, result)
        with progress.phase("cleaning", left) as phase:
            for shard, outcome in _each(_clean, [(plan.recipe, shard) for shard in left], workers, phase):
                _book(result, shard, outcome)
                if isinstance(outcome, Failure) and _ends_run(plan.job, outcome):
                    result.is_stopped = True
                    break
        if result.is_complete:
            manifest.write_manifest(plan.layout, plan.description, [(s, result.done[s.name]) for s in plan.shards])
            _remove_state(plan.layout)
    result.done = {shard.name: result.done[shard.name] for shard in plan.shards if shard.name in result.done}
    result.seconds = time.monotonic() - started
    return result


def _verify(plan: Plan, workers: int, progress: Progress, result: Result) -> None:
    """Take over what an earlier run finished."""
    claimed = [shard for shard in plan.shards if plan.is_resumed and plan.layout.record(shard).is_file()]
    with progress.phase("verifying", claimed) as phase:
        for shard, counts in _each(_check, [(plan.recipe, shard) for shard in claimed], workers, phase):
            if isinstance(counts, ShardCounts):
                result.done[shard.name] = counts
                result.reused += 1
            else:
                result.redone += 1


def _passes(plan: Plan, left: list[Shard], workers: int, progress: Progress, result: Result) -> list[Shard]:
    """Passes 1 and 2, unless they are done; the shards that pass 3 can clean."""
    unreadable = passes.decided(plan.layout)
    if unreadable is None:
        unreadable = {}
        failures = {}
        tasks = [(plan.layout, plan.job, shard) for shard in plan.shards]
        with progress.phase("fingerprints", plan.shards) as phase:
            for shard, outcome in _each(passes.fingerprint, tasks, workers, phase):
                if isinstance(outcome, passes.Unreadable):
                    unreadable[shard.name] = outcome.reason
                elif isinstance(outcome, Failure):
                    failures[shard.name] = outcome.reason
                if isinstance(outcome, Failure) or (unreadable and plan.job.on_error == "fail"):
                    break
        if failures or (unreadable and plan.job.on_error == "fail"):
            # Nothing is known of this shard, so nothing can be decided: what is its own stays, what it repeats goes.
            result.failed |= failures | unreadable
            result.is_stopped = True
            return []
        readable = [shard for shard in plan.shards if shard.name not in unreadable]
        with progress.steps("comparing") as tick:
            passes.decide(plan.layout, plan.job, readable, unreadable, tick)
    result.failed |= unreadable
    return [shard for shard in left if shard.name not in unreadable]


def _each(work: Any, tasks: list[Any], workers: int, phase: Any) -> Iterator[tuple[Shard, Any]]:
    """`each` over tasks whose last part is a shard, the largest first: no long one is left for the end."""
    tasks = sorted(tasks, key=lambda task: -task[-1].size)
    for task, outcome in each(work, tasks, max(1, min(workers, len(tasks))), phase.tick):
        phase.advance(task[-1])
        yield task[-1], outcome


def _clean(task: tuple[Recipe, Shard], report: Report) -> ShardCounts:
    return clean_one(*task, report)


def _check(task: tuple[Recipe, Shard], report: Report) -> ShardCounts | None:
    return finished(*task)


def _book(result: Result, shard: Shard, outcome: ShardCounts | Failure) -> None:
    if isinstance(outcome, Failure):
        result.failed[shard.name] = outcome.reason
    else:
        result.done[shard.name] = outcome


def _ends_run(job: Job, failure: Failure) -> bool:
    return job.on_error == "fail" or FULL in failure.reason


def _refuse_changed(shard: Shard) -> None:
    """A file that grows while it is read would be cleaned in part and recorded as whole."""
    failed = None
    try:
        now = shard.source.stat()
        if (now.st_size, now.st_mtime_ns) != (shard.size, shard.mtime_ns):
            raise CleanError(f"{shard.source}: the file was changed while the run was at work")
    except OSError as error:
        failed = error
    if failed is not None:
        raise cannot("read", shard.source, failed)


def _rename(old: Any, new: Any) -> None:
    failed = None
    try:
        os.replace(old, new)
        sync_folder(new.parent)
    except OSError as error:
        failed = error
    if failed is not None:
        raise cannot("write", new, failed)


def _remove_state(layout: Layout) -> None:
    with suppress(OSError):  # what stays is a private file too many, and goes with the next --resume
        shutil.rmtree(layout.dedup)
