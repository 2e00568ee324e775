"""`dslab bench dedup`: near-duplicates beside datasketch, contamination beside Python sets, as ratios of CPU time.

8000 documents of about 0.8 kB in two scripts (`dslab.dedup.planted`), a sixth of them edited copies whose exact Jaccard
similarity is known; 128 permutations. Beside each figure stands the bar it must reach. About three minutes.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dslab.bench.measure import interleaved
from dslab.bench.report import Row, Table, command, load, this_machine

if TYPE_CHECKING:
    from dslab.dedup.planted import Planted

__all__ = ["load", "main", "measure", "row"]

DOCUMENTS, SEED, REPEATS = 8000, 3, 5
THRESHOLD, PERMUTATIONS = 0.8, 128
OURS, OURS_16 = "minhash_duplicates, 32 x 4", "minhash_duplicates, 16 x 8"
PEER, PEER_BULK, PEER_XXHASH = "datasketch", "datasketch, MinHash.generator", "datasketch, MinHash.generator and xxhash"


def main(arguments: list[str]) -> int:
    """Measure, print, and with `--save` keep the table; 1 where a bar is missed."""
    return command("dedup", __doc__ or "", measure, arguments)


def measure(say: Callable[[str], None] = lambda _: None) -> Table:
    """The whole table, on one corpus."""
    from dslab.dedup.planted import planted

    table = Table("dedup", machine=this_machine(threads=1))
    made = planted(DOCUMENTS, SEED)
    for title, part in PARTS.items():
        say(f"measuring {title} ...")
        part(table, made)
    return table


def row(documents: int = 1000, repeats: int = 3) -> dict[str, float]:
    """CPU seconds of ours and of datasketch's fastest way, on a small corpus, for a notebook: about two seconds."""
    from dslab.dedup.planted import planted

    texts = planted(documents, SEED, pairs=0).texts
    return interleaved(_ways(texts, [OURS, PEER_XXHASH]), repeats)


def _ways(texts: list[str], names: list[str]) -> dict[str, Callable[[], set[tuple[int, int]]]]:
    """Calls that find near-duplicates among the texts, each from the texts on, and return pairs."""
    from datasketch import MinHash
    from xxhash import xxh32_intdigest

    from dslab.dedup import minhash_duplicates

    def ours(bands: int, rows: int) -> set[tuple[int, int]]:
        return set(map(tuple, minhash_duplicates(texts, THRESHOLD, bands, rows).pairs.tolist()))

    def one_by_one() -> Iterator[Any]:
        for shingles in _shingle_sets(texts):
            signature = MinHash(num_perm=PERMUTATIONS)
            signature.update_batch(shingles)
            yield signature

    def bulk(**options: Any) -> Iterator[Any]:
        return MinHash.generator(_shingle_sets(texts), num_perm=PERMUTATIONS, **options)

    ways = {
        OURS: lambda: ours(32, 4),
        OURS_16: lambda: ours(16, 8),
        PEER: lambda: _index(one_by_one()),
        PEER_BULK: lambda: _index(bulk()),
        PEER_XXHASH: lambda: _index(bulk(hashfunc=xxh32_intdigest)),
    }
    return {name: ways[name] for name in names}


def _shingle_sets(texts: list[str]) -> Iterator[set[bytes]]:
    """Five words, or characters of a text without spaces: what a user of datasketch writes."""
    for text in texts:
        words = text.split() if " " in text else list(text)
        yield {" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))}


def _index(signatures: Iterator[Any]) -> set[tuple[int, int]]:
    """Each document asks datasketch's index for its like, then joins it. Bands and rows are datasketch's choice."""
    from datasketch import MinHashLSH

    index, found = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS), set()
    for number, signature in enumerate(signatures):
        found |= {(other, number) for other in index.query(signature)}
        index.insert(number, signature)
    return found


def _quality(table: Table, made: Planted) -> None:
    near = {pair for pair, similarity in made.pairs.items() if similarity >= THRESHOLD}
    for name, bars in ((OURS, (0.99, 1.0)), (OURS_16, (0.9, None)), (PEER, (0.5, None))):
        found = _ways(made.texts, [name])[name]()
        for what, value in (("precision", len(found & near) / len(found)), ("recall", len(found & near) / len(near))):
            must, aim = (0.99, 1.0) if what == "precision" and name == OURS_16 else bars
            table.rows.append(Row(f"{what} at J >= .8, {name}", value, ">=", must, aim))


def _unverified(table: Table, made: Planted) -> None:
    """What a deletion on a band match alone would take, in documents that are nobody's copy by the threshold."""
    from dslab.dedup import candidate_pairs, shingle_hashes, signatures

    sig = signatures(shingle_hashes(made.texts), PERMUTATIONS)
    matched = set(map(tuple, candidate_pairs(sig, 16, 8).tolist()))
    for low, high, must in ((0.5, 0.7, 0.15), (0.7, 0.8, 0.65)):
        pairs = [pair for pair, similarity in made.pairs.items() if low <= similarity < high]
        share = sum(pair in matched for pair in pairs) / len(pairs)
        table.rows.append(Row(f"pairs of J {low} to {high} that 16 x 8 matches unverified, share", share, ">=", must))


def _speed(table: Table, made: Planted) -> None:
    seconds = interleaved(_ways(made.texts, [OURS, OURS_16, PEER, PEER_BULK, PEER_XXHASH]), REPEATS)
    table.seconds |= seconds
    for name in (PEER, PEER_BULK, PEER_XXHASH):
        table.rows.append(Row(f"{name} over ours, 32 x 4", seconds[name] / seconds[OURS], ">=", 3.0, 6.0))
    table.rows.append(Row(f"{PEER_XXHASH} over ours, 16 x 8", seconds[PEER_XXHASH] / seconds[OURS_16], ">=", 3.0, 6.0))


def _memory(table: Table, made: Planted) -> None:
    from dslab.dedup import minhash_duplicates, shingle_hashes, signatures

    tracemalloc.start()
    minhash_duplicates(made.texts)
    peak = tracemalloc.get_traced_memory()[1] / len(made.texts)
    tracemalloc.stop()
    held = signatures(shingle_hashes(made.texts[:100]), PERMUTATIONS).nbytes / 100
    table.rows.append(Row("bytes a document that a streamed pass keeps, 128 permutations", held, "<=", 512, 512))
    table.rows.append(Row("peak bytes a document beside the text, all in memory", peak, "<=", 8000, 5000))


def _contamination(table: Table, made: Planted) -> None:
    """Every other item of 200 is written into a training text; counts, pairs and shares against sets of tuples."""
    from dslab.dedup import contaminated, reference

    rng = np.random.default_rng(SEED)
    train, test = made.texts[:2000], [text[:300] for text in made.texts[2000:2200]]
    for item, document in zip(test[::2], rng.permutation(len(train)).tolist(), strict=False):
        train[document] = f"{train[document]} “{item.upper()}”"
    found, truth = contaminated(train, test), reference.contamination(train, test)
    equal = [
        found.hits.tolist() == truth["hits"], found.overlap.tolist() == truth["overlap"],
        found.pairs.tolist() == [list(pair) for pair in truth["pairs"]],
        found.test_overlap.tolist() == truth["test_overlap"], found.hits.tolist() == _hits_by_sets(train, test),
    ]  # fmt: skip
    table.rows.append(Row("contamination: tables unlike the set-based oracle's", float(equal.count(False)), "<=", 0, 0))
    table.rows.append(
        Row("contamination: leaked items found, share", float(np.mean(found.test_overlap[::2] == 1)), ">=", 1.0)
    )
    calls: dict[str, Callable[[], Any]] = {
        "contaminated": lambda: contaminated(train, test),
        "sets of tuples": lambda: _hits_by_sets(train, test),
    }
    seconds = interleaved(calls, REPEATS)
    table.seconds |= seconds
    ratio = seconds["sets of tuples"] / seconds["contaminated"]
    table.rows.append(Row("contamination: a set of tuples over ours", ratio, ">=", 1.0, 3.0))


def _hits_by_sets(train: list[str], test: list[str], n: int = 13) -> list[int]:
    """The same counts in plain Python, written for speed: 13-grams as tuples in a set, nothing but hits."""
    from dslab.dedup.words import CJK_CHARACTER, DROPPED, fold, kinds

    dropped = dict.fromkeys(np.flatnonzero(kinds(True) == DROPPED).tolist())

    def grams(text: str) -> Iterator[tuple[str, ...]]:
        words = CJK_CHARACTER.sub(r" \g<0> ", fold(text).translate(dropped)).split()
        return zip(*(words[i:] for i in range(n)), strict=False)

    known = {gram for text in test for gram in grams(text)}
    return [sum(gram in known for gram in grams(text)) for text in train]


PARTS: dict[str, Callable[[Table, Planted], None]] = {
    "precision and recall": _quality, "matches without verification": _unverified, "memory": _memory,
    "contamination": _contamination, "speed": _speed,
}  # fmt: skip
