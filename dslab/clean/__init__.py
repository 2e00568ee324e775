"""Cleaning a corpus file by file: nothing is lost, nothing found is printed, a file that stands is complete.

    counts = clean_shard("raw/0.jsonl.gz", "clean/0.jsonl.gz", Job(mask="tag"))
    counts.check()  # rows in = rows out + quarantined + dropped, each with its reason

    result = execute(prepare(["raw"], "clean", Job(dedup=0.8)), workers=2)  # a whole corpus, as `dslab clean` does it

Names are imported on first use, so that what needs pyarrow costs nothing until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslab.lazy import lazy

if TYPE_CHECKING:
    from dslab.clean.atomic import atomic_file as atomic_file
    from dslab.clean.counts import ShardCounts as ShardCounts
    from dslab.clean.errors import CleanError as CleanError
    from dslab.clean.job import Job as Job
    from dslab.clean.run import clean_one as clean_one
    from dslab.clean.run import execute as execute
    from dslab.clean.run import finished as finished
    from dslab.clean.run import prepare as prepare
    from dslab.clean.shard import clean_shard as clean_shard
    from dslab.clean.shard import quarantine_suffix as quarantine_suffix
    from dslab.clean.shard import texts as texts
    from dslab.clean.streams import suffix_of as suffix_of

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
