"""Near-duplicates over a whole corpus: fingerprints shard by shard, then one decision over all of them.

    pass 1   each shard, in parallel:  text -> 5-word shingles and a MinHash signature, both to disk
    pass 2   one process:              band by band, documents that agree -> exact Jaccard from disk -> clusters
    pass 3   each shard, in parallel:  cleaned without the rows that pass 2 named (`run`)

Of each cluster the first document in input order stays. The decision is a function of the texts in that order: neither
the number of workers nor the order in which shards end enters it.

Memory of pass 2: one band of all signatures at a time, about 75 bytes a document at the peak. On disk: 4 bytes for each
of 128 signature values, 8 for each shingle (about one a word), 16 for where they are. These files hold hashes
of text, which a short text does not withstand: mode 0600, removed at the end of the run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dslab.clean.atomic import atomic_file
from dslab.clean.errors import CleanError
from dslab.clean.job import Job
from dslab.clean.layout import Layout
from dslab.clean.shard import texts
from dslab.clean.sources import Shard
from dslab.clean.workers import Report

WORDS = 5  # of a shingle
BANDS, ROWS = 32, 4  # a pair at J = .8 is missed once in twenty million; at .7, once in 5,000
LOW, LOW_BANDS, LOW_ROWS = 0.7, 42, 3  # below that: at J = .5, once in 270
BLOCK_ROWS, BLOCK_CHARACTERS = 4096, 1 << 20
OPEN_SHARDS = 128  # memory maps held open in pass 2


@dataclass(frozen=True)
class Unreadable:
    """A shard that could not be read to its end. It is left out of the decision, and stays out of this output."""

    reason: str


class _ReadError(CleanError):
    """What `texts` raised, told from what writing raised."""


def bands_for(threshold: float) -> tuple[int, int]:
    """Bands and rows of the signatures. Verification is exact, so they err towards too many candidates."""
    return (BANDS, ROWS) if threshold >= LOW else (LOW_BANDS, LOW_ROWS)


# --- pass 1 ---------------------------------------------------------------------------------------------------------


def fingerprint(task: tuple[Layout, Job, Shard], report: Report) -> dict[str, Any] | Unreadable:
    """Write the state of one shard: signatures, shingles, and where each document's lie. Returns what they hold.

    Idempotent: what a killed run finished is kept.
    """
    layout, job, shard = task
    done = _read_json(_place(layout, shard, "json"))
    if done is not None:
        report(done["rows"], shard.size)
        return done
    try:
        content = _write_state(layout, job, shard, report)
    except _ReadError as error:
        return Unreadable(str(error))
    with atomic_file(_place(layout, shard, "json"), private=True) as sink:
        sink.write(json.dumps(content).encode())
    return content


def _write_state(layout: Layout, job: Job, shard: Shard, report: Report) -> dict[str, Any]:
    from dslab.dedup import shingle_hashes, signatures

    assert job.dedup is not None
    bands, rows = bands_for(job.dedup)
    blocks: list[int] = []
    shingles = characters = last_row = 0
    with ExitStack() as stack:
        files = {
            kind: stack.enter_context(atomic_file(_place(layout, shard, kind), private=True))
            for kind in ("signatures", "shingles", "documents")
        }
        for numbers, batch in _batches(shard.source, job):
            found = _with_wordless(shingle_hashes(batch, WORDS), batch)
            values = signatures(found, bands * rows)
            # Band-major within a block: pass 2 reads one band of all documents at a time.
            files["signatures"].write(values.reshape(len(batch), bands, rows).swapaxes(0, 1).tobytes())
            files["shingles"].write(found.hashes.tobytes())
            files["documents"].write(np.stack([numbers, found.ends + shingles], axis=1).tobytes())
            blocks.append(len(batch))
            shingles += len(found.hashes)
            last_row = int(numbers[-1]) + 1
            characters += sum(map(len, batch))
            report(last_row, min(characters, shard.size))  # the file's own position is not known here
    report(last_row, shard.size)
    return {"blocks": blocks, "shingles": shingles, "rows": last_row}


def _batches(source: Path, job: Job) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
    numbers: list[int] = []
    batch: list[str] = []
    characters = 0
    stream = texts(source, job)
    while True:
        try:
            number, text = next(stream)
        except StopIteration:
            break
        except CleanError as error:
            raise _ReadError(str(error)) from None
        numbers.append(number)
        batch.append(text)
        characters += len(text)
        if len(batch) == BLOCK_ROWS or characters >= BLOCK_CHARACTERS:
            yield np.array(numbers, np.int64), batch
            numbers, batch, characters = [], [], 0
    if batch:
        yield np.array(numbers, np.int64), batch


def _with_wordless(found: Any, batch: list[str]) -> Any:
    """The shingles; a document without words, which has none, gets the hash of its text as it stands, so that exact
    copies of it are found too."""
    from dslab.dedup import Shingles

    empty = np.flatnonzero(found.ends == found.starts)
    if not len(empty):
        return found
    digests = [
        int.from_bytes(hashlib.blake2b(batch[i].encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        for i in empty
    ]
    sizes = found.ends - found.starts
    sizes[empty] = 1
    ends = np.cumsum(sizes)
    hashes = np.insert(found.hashes, found.starts[empty], np.array(digests, np.uint64))
    return Shingles(hashes, ends - sizes, ends)


# --- pass 2 ---------------------------------------------------------------------------------------------------------


def decide(layout: Layout, job: Job, shards: list[Shard], unreadable: dict[str, str], tick: Any = None) -> None:
    """Name the rows to drop in each shard, from what pass 1 left; write them, and last that they are decided.

    shards: those that could be read, in input order. unreadable: name -> reason of the others.
    tick:   called with (bands done, bands).
    """
    assert job.dedup is not None
    state = _State(layout, shards, *bands_for(job.dedup))
    dropped = state.duplicates(job.dedup, tick or (lambda done, total: None))
    for number, shard in enumerate(shards):
        first, end = state.first[number], state.first[number + 1]
        here = dropped[np.searchsorted(dropped, first) : np.searchsorted(dropped, end)] - first
        buffer = io.BytesIO()
        np.save(buffer, state.documents(number)[here, 0])
        with atomic_file(_place(layout, shard, "duplicates.npy"), private=True) as sink:
            sink.write(buffer.getvalue())
    with atomic_file(layout.dedup / "decided.json", private=True) as sink:
        sink.write(json.dumps({"unreadable": unreadable}).encode())


def decided(layout: Layout) -> dict[str, str] | None:
    """Shards that were left out of a decision that has been made, with reasons; None if none has been made."""
    content = _read_json(layout.dedup / "decided.json")
    return None if content is None else content["unreadable"]


def duplicates(layout: Layout, shard: Shard) -> NDArray[np.int64]:
    """The row numbers of a shard that pass 2 named, ascending.

    Raises CleanError if there was no pass 2.
    """
    if not _place(layout, shard, "duplicates.npy").is_file():
        raise CleanError(f"{shard.name}: its duplicates have not been decided; `dslab clean --dedup` does that first")
    with _place(layout, shard, "duplicates.npy").open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


class _State:
    """What pass 1 left of all shards, as one sequence of documents, read from disk as needed."""

    def __init__(self, layout: Layout, shards: list[Shard], bands: int, rows: int) -> None:
        self._layout, self._shards, self.bands, self.rows = layout, shards, bands, rows
        self._contents = [_read_json(_place(layout, shard, "json")) or {"blocks": []} for shard in shards]
        self.first = np.cumsum([0, *(sum(content["blocks"]) for content in self._contents)])
        self._maps = lru_cache(OPEN_SHARDS)(self._map)

    def duplicates(self, threshold: float, tick: Any) -> NDArray[np.int64]:
        """The documents to drop, ascending: all of a cluster but its first."""
        from dslab.dedup import candidate_pairs, verify

        pairs = np.empty((0, 2), np.int64)
        members = roots = np.empty(0, np.int64)
        for band in range(self.bands):
            candidates = candidate_pairs(self._band(band), 1, self.rows)
            # Pairs already in one cluster decide nothing any more: leave their shingles on the disk.
            candidates = candidates[_root(candidates[:, 0], members, roots) != _root(candidates[:, 1], members, roots)]
            new, _ = verify(candidates, self._shingles, threshold)
            pairs = np.concatenate([pairs, new])
            members, roots = _clusters(pairs)
            tick(band + 1, self.bands)
        return members[members != roots]

    def documents(self, shard: int) -> NDArray[np.int64]:
        """(documents, 2): row number in the shard, and where the document's shingles end."""
        return self._maps(shard)[1]

    def _band(self, band: int) -> NDArray[np.uint32]:
        """(documents, rows): one band of all signatures."""
        out = np.empty((int(self.first[-1]), self.rows), np.uint32)
        at = 0
        for shard, content in zip(self._shards, self._contents, strict=True):
            if not content["blocks"]:
                continue
            with _place(self._layout, shard, "signatures").open("rb") as file:
                start = 0
                for count in content["blocks"]:
                    file.seek(4 * self.rows * (start * self.bands + count * band))
                    file.readinto(out[at : at + count].data.cast("B"))
                    at, start = at + count, start + count
        return out

    def _shingles(self, document: int) -> NDArray[np.uint64]:
        shard = int(np.searchsorted(self.first, document, side="right")) - 1
        shingles, documents = self._maps(shard)
        local = document - int(self.first[shard])
        return shingles[documents[local - 1, 1] if local else 0 : documents[local, 1]]

    def _map(self, shard: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        if not self._contents[shard]["blocks"]:  # an empty file cannot be mapped
            return np.empty(0, np.uint64), np.empty((0, 2), np.int64)
        place = [_place(self._layout, self._shards[shard], kind) for kind in ("shingles", "documents")]
        return np.memmap(place[0], np.uint64, "r"), np.memmap(place[1], np.int64, "r").reshape(-1, 2)


def _clusters(pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents that have a partner, ascending, and the first of each one's cluster."""
    from dslab.dedup import union_find

    members, places = np.unique(pairs, return_inverse=True)
    return members, members[union_find(len(members), places.reshape(-1, 2))]


def _root(documents: NDArray[np.int64], members: NDArray[np.int64], roots: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(members):
        return documents
    at = np.minimum(np.searchsorted(members, documents), len(members) - 1)
    return np.where(members[at] == documents, roots[at], documents)


def _place(layout: Layout, shard: Shard, kind: str) -> Path:
    return layout.dedup / f"{shard.name}.{kind}"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else None
