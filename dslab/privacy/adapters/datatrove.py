"""Steps for datatrove pipelines: mask a document, drop one that is full of values, clean whole files on many machines.

Two ways to use them. `MaskFormatter` masks document by document between a reader and a writer of datatrove's. Those
readers skip rows that they cannot read, and those writers write under the final name; where no row may get lost, hand
whole files to `ShardStep`: datatrove only decides which machine takes which file (here, Slurm, Ray, with its own
restarts), and `clean_shard` does to each what `dslab clean` does. On many machines:

    from datatrove.executor import LocalPipelineExecutor
    from dslab.clean import Job, clean_shard
    from dslab.privacy.adapters.datatrove import ShardStep

    job = Job(mask="tag", on_error="quarantine")

    def clean(source, target):
        counts = clean_shard(source, target, job, quarantine=f"{target}.quarantine")
        counts.check()  # rows in = rows out + quarantined + dropped
        return {"rows in": counts.rows_in, "rows out": counts.rows_out}

    LocalPipelineExecutor(                       # or SlurmPipelineExecutor(..., partition=..., time=...)
        pipeline=[ShardStep(clean, "raw", "clean", suffix=".jsonl")],
        tasks=4, workers=2, logging_dir="logs",  # a task that is done is not done again
    ).run()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dslab.privacy.adapters import missing
from dslab.privacy.masking import Finder, Masker

try:
    from datatrove.data import Document, DocumentsPipeline
    from datatrove.pipeline.base import PipelineStep
    from datatrove.pipeline.filters.base_filter import BaseFilter
    from datatrove.pipeline.formatters.base import BaseFormatter
    from datatrove.pipeline.writers.disk_base import DiskWriter
except ImportError as error:
    raise missing("datatrove") from error


class MaskFormatter(BaseFormatter):
    """Masks the text of each document; counts spans by type in datatrove's statistics."""

    name = "dslab mask"

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self.masker = masker

    def format(self, text: str) -> str:
        masked, spans = self.masker.apply(text)
        for span in spans:
            self.stat_update(f"masked_{span.type}")
        return masked


class SpanFilter(BaseFilter):
    """Drops documents with more than `most` values: contact lists and leaked tables teach a model nothing else.

    detector:         has `.find(text)`.
    exclusion_writer: datatrove's writer for what is dropped.
    """

    name = "dslab spans"

    def __init__(self, detector: Finder, most: int = 0, exclusion_writer: DiskWriter | None = None) -> None:
        if most < 0:
            raise ValueError(f"most must be >= 0, got {most}")
        super().__init__(exclusion_writer)
        self.detector, self.most = detector, most

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        return len(self.detector.find(doc.text)) <= self.most or (False, "personal_data")


class ShardStep(PipelineStep):
    """Calls `function(source, target)` for every file of a folder; task i of n takes files i, i + n, i + 2n, ...

    function: pure and idempotent, picklable where tasks run in processes; the numbers it returns become statistics.
    source:   a folder, read with its subfolders in sorted order; target: a folder, made with the same subfolders.
    suffix:   which files.
    """

    name = "dslab shards"
    type = "🔻 - SHARDS"

    def __init__(
        self, function: Callable[[str, str], Mapping[str, int] | None], source: str, target: str, suffix: str = ""
    ) -> None:
        super().__init__()
        self.function, self.source, self.target, self.suffix = function, Path(source), Path(target), suffix

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> Any:
        """Clean this task's files; what came before in the pipeline is passed on."""
        if data:
            yield from data
        files = sorted(path for path in self.source.rglob(f"*{self.suffix}") if path.is_file())
        if not files:
            raise FileNotFoundError(f"no file that ends in {self.suffix!r} under {self.source}")
        for path in files[rank::world_size]:
            target = self.target / path.relative_to(self.source)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.track_time("file"):
                counts = self.function(str(path), str(target))
            for name, value in (counts or {}).items():
                self.stat_update(name, value=value, unit="file")
