"""Where the files of a run lie: outputs under their own names, everything else in one side folder.

    OUT/en/0.jsonl.gz                     the cleaned shard
    OUT/_dslab/run.json                   configuration and inputs, written before the first row is read
    OUT/_dslab/shards/en/0.jsonl.gz.json  what happened to that shard, written after it
    OUT/_dslab/quarantine/, audit/        rows that could not be read; what was masked where
    OUT/_dslab/dedup/                     state of the duplicate passes, removed at the end
    OUT/_dslab/manifest.json              the whole run, written at the end

With one input file and an OUT of the same suffix, OUT is that file and the side folder is "OUT._dslab".
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dslab.clean.atomic import PREFIX
from dslab.clean.errors import CleanError
from dslab.clean.shard import quarantine_suffix
from dslab.clean.sources import SIDE, Corpus, Shard, is_data
from dslab.clean.streams import suffix_of


@dataclass(frozen=True)
class Layout:
    """The places of one run. out: the folder, or the one file where `is_file`."""

    out: Path
    is_file: bool = False

    @property
    def side(self) -> Path:
        return self.out.with_name(f"{self.out.name}.{SIDE}") if self.is_file else self.out / SIDE

    @property
    def run(self) -> Path:
        return self.side / "run.json"

    @property
    def manifest(self) -> Path:
        return self.side / "manifest.json"

    @property
    def dedup(self) -> Path:
        return self.side / "dedup"

    @property
    def _ours(self) -> Path:
        return self.side if self.is_file else self.out

    def target(self, shard: Shard) -> Path:
        return self.out if self.is_file else self.out / shard.name

    def workplace(self, shard: Shard) -> Path:
        """Where the output is written before it gets its name. Where OUT is one file, its folder is the user's, and
        other runs may be at work in it: temporary files stay in the side folder, which is ours alone."""
        return self.side / f"output{suffix_of(shard.name)}" if self.is_file else self.target(shard)

    def record(self, shard: Shard) -> Path:
        return self.side / "shards" / f"{shard.name}.json"

    def quarantine(self, shard: Shard) -> Path:
        return self.side / "quarantine" / f"{shard.name}.rows{quarantine_suffix(shard.name)}"

    def audit(self, shard: Shard) -> Path:
        return self.side / "audit" / f"{shard.name}.audit.jsonl"

    def is_empty(self) -> bool:
        """Whether nothing stands where this run would write."""
        if self.is_file:
            return not self.out.exists() and not (self.side.exists() and any(self.side.iterdir()))
        return not self.out.exists() or not any(self.out.iterdir())

    def is_untouched(self) -> bool:
        """Whether there is nothing but folders and temporary files of ours: a run that was killed before it began."""
        if self.is_file and self.out.exists():
            return False
        return all(name.startswith(PREFIX) for _, _, files in os.walk(self._ours) for name in files)

    def leftovers(self) -> Iterator[Path]:
        """Temporary files of killed runs."""
        for here, _, files in os.walk(self._ours):
            yield from (Path(here, name) for name in files if name.startswith(PREFIX))


def layout_for(inputs: Sequence[str], corpus: Corpus, out: str) -> Layout:
    """OUT as a file where one file is cleaned and OUT has its suffix; else as a folder.

    Raises CleanError if OUT is the wrong one of the two, or the name of a file of another format.
    """
    path = Path(os.path.abspath(os.path.expanduser(out)))
    if path.is_dir() or not is_data(path):
        if path.exists() and not path.is_dir():
            raise CleanError(f"{out} is a file; -o must name a folder, or a file of the input's suffix for one input")
        return Layout(path)
    if len(corpus.shards) != 1 or not Path(inputs[0]).expanduser().is_file():
        raise CleanError(f"-o {out} looks like a file, but the input is no single file; -o must name a folder")
    wanted = suffix_of(corpus.shards[0].name)
    if suffix_of(path) != wanted:
        raise CleanError(f"-o {out}: formats are not converted; the input ends in {wanted}, so must this")
    return Layout(path, is_file=True)
