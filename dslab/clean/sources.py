"""From what stands on the command line to shards: files, folders and globs, each file once, in a defined order.

    corpus/  "more/*.jsonl.gz"  ->  Shard("corpus/en/0.jsonl", ...), Shard("more/1.jsonl.gz", ...)

The order is the order of the arguments, then of the names within each: where duplicates are removed, what is named
first stays. A shard's name is its path from the root that all arguments share; its output lies under the same name.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from dslab.clean.atomic import PREFIX
from dslab.clean.errors import CleanError, cannot
from dslab.clean.streams import SUFFIXES

SIDE = "_dslab"  # the folder in an output that holds manifests, quarantine and audit: never input


@dataclass(frozen=True)
class Shard:
    """One input file: the unit of work.

    name:     its path from the common root, with "/"; the output's too.
    size:     bytes on disk; mtime_ns: when it was last written. Both as they were when the file was listed.
    """

    name: str
    source: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Corpus:
    """Shards in input order, and how many files were left alone because their names say they are something else."""

    shards: tuple[Shard, ...]
    others: int = 0

    @property
    def bytes(self) -> int:
        return sum(shard.size for shard in self.shards)


@dataclass
class _Found:
    """What one argument means: the folder that names start from, data files in order, other files."""

    base: Path
    files: list[Path]
    others: int = 0


def find_shards(inputs: Sequence[str], out: str | Path) -> Corpus:
    """List the shards that `inputs` mean. Files under `out` are never input, wherever a folder or glob may lead.

    inputs: files, folders (searched to the bottom, hidden files and links to folders as `ls` shows them) and globs
            (`**` for any depth); a name that exists is taken as it is, even if it holds a `*` or `[`.
    Raises  CleanError if an argument means nothing, has no suffix that is read, or lies in `out`.
    """
    if not inputs:
        raise CleanError("no input given")
    found = []
    for argument in inputs:
        one = _expand(argument)
        _refuse_inside(argument, one.base if not Path(argument).is_file() else Path(argument), out)
        one.files = [path for path in one.files if not _is_inside(path, out)]
        if not one.files:
            also = f"; {one.others} other file{'s' * (one.others != 1)} there" if one.others else ""
            raise CleanError(f"{argument}: nothing found that ends in {', '.join(SUFFIXES)}{also}")
        found.append(one)
    root = _common_root([one.base for one in found])
    paths = list(dict.fromkeys(path for one in found for path in one.files))
    return Corpus(tuple(_shard(path, root) for path in paths), sum(one.others for one in found))


def is_data(path: Path | str) -> bool:
    """Whether a name ends like a file that is read, and is neither hidden nor one of ours."""
    name = os.path.basename(path).lower()
    return name.endswith(SUFFIXES) and not name.startswith(".")


def _expand(argument: str) -> _Found:
    path = Path(os.path.abspath(os.path.expanduser(argument)))
    if path.is_dir():
        return _sorted(path, _walk(path))
    if path.exists():
        if not is_data(path):
            raise CleanError(f"{argument}: its name must end in {', '.join(SUFFIXES)} and not begin with a dot")
        return _Found(path.parent, [path])
    if not glob.has_magic(argument):
        raise CleanError(f"{argument}: no such file or folder")
    parts = path.parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
    if not matches:
        raise CleanError(f"{argument}: no file matches (looked in {base})")
    below = [inner for match in matches for inner in (_walk(match) if match.is_dir() else [match])]
    return _sorted(base, (file for file in below if not _is_side(file.relative_to(base))))


def _sorted(base: Path, files: Iterator[Path]) -> _Found:
    every = sorted(set(files), key=lambda path: path.parts)
    data = [path for path in every if is_data(path)]
    return _Found(base, data, len(every) - len(data))


def _walk(folder: Path) -> Iterator[Path]:
    """Files below `folder`. A folder that cannot be read is an error: `os.walk` would leave it out in silence."""
    failed: list[OSError] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, onerror=failed.append, followlinks=True):
        if failed:
            break
        real = os.path.realpath(here)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not (name.startswith(".") or _is_side(Path(name))))
        yield from (Path(here, name) for name in files)
    if failed:
        raise cannot("read", failed[0].filename, failed[0])


def _is_side(path: Path) -> bool:
    return any(part == SIDE or part.endswith(f".{SIDE}") for part in path.parts)


def _is_inside(path: Path, folder: str | Path) -> bool:
    inner, outer = os.path.realpath(path), os.path.realpath(folder)
    return inner == outer or inner.startswith(os.path.join(outer, ""))


def _refuse_inside(argument: str, path: Path, out: str | Path) -> None:
    if not _is_inside(path, out):
        return
    if os.path.realpath(path) == os.path.realpath(out):
        raise CleanError(f"{argument} is input and output at once; -o must name another place")
    raise CleanError(f"{argument} lies in the output {out}; -o must name another place")


def _common_root(bases: list[Path]) -> Path:
    try:
        return Path(os.path.commonpath(bases))
    except ValueError:  # drives C: and D:
        raise CleanError("the inputs lie on different drives and share no root; clean them one by one") from None


def _shard(path: Path, root: Path) -> Shard:
    name = path.relative_to(root).as_posix()
    if _is_side(Path(name)) or Path(name).name.startswith(PREFIX):
        raise CleanError(f"{name}: this name is kept for the side files of an output; rename it")
    failed = None
    try:
        stat = path.stat()
    except OSError as error:
        failed = error
    if failed is not None:
        raise cannot("read", path, failed)
    if not S_ISREG(stat.st_mode):
        raise CleanError(f"{path}: no regular file; a shard may be read more than once, so it cannot be a stream")
    return Shard(name, path, stat.st_size, stat.st_mtime_ns)
