"""A cache of model folders that survives kills, full disks and two processes at once.

A folder is built under a temporary name beside its place and renamed when complete, under a lock. Its manifest lists
the SHA-256 of every file. Hashing half a gigabyte at each load would cost up to a second, so a file whose size and
modification time are those seen when it was last hashed is trusted; anything else is hashed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MANIFEST = "dslab-manifest.json"
STAMP = ".verified.json"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits; about 0.6 s a gigabyte."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder` across processes; the operating system frees it when the holder dies."""
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        yield


def build(folder: Path, fill: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Let `fill(temporary)` write the files and return facts for the manifest; then put the folder in its place.

    Call it under `locked(folder)`. What an earlier, interrupted build left behind is removed first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}.part-*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
    try:
        facts = fill(temporary)
        files = sorted(path for path in temporary.iterdir() if path.is_file())
        manifest = {**facts, "files": {path.name: sha256_of(path) for path in files}}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _write_stamp(temporary, manifest)
        for path in temporary.iterdir():
            _flush(path)
            path.chmod(0o644)  # mkdtemp and safetensors write for one user; a classroom may share the cache
        temporary.chmod(0o755)
        if folder.exists():  # damaged: a rename cannot replace a folder that holds files
            os.replace(folder, temporary.with_name(temporary.name + "-old"))
        os.replace(temporary, folder)
        return manifest
    finally:
        for left in (temporary, temporary.with_name(temporary.name + "-old")):
            shutil.rmtree(left, ignore_errors=True)


def check(folder: Path, *, thorough: bool = False) -> tuple[dict[str, Any] | None, str]:
    """The manifest of `folder` if every file is as it was built, else None; and what is wrong with it, if anything."""
    if not folder.is_dir():
        return None, "not there"
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        expected = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, "no readable manifest"
    seen = _read_stamp(folder)
    hashed = False
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            return None, f"{name} is missing"
        if thorough or seen.get(name) != _facts(path):
            hashed = True
            if sha256_of(path) != digest:
                return None, f"{name} is damaged"
    if hashed:
        with suppress(OSError):  # a read-only cache is fine, only slower
            _write_stamp(folder, manifest)
    return manifest, ""


def _facts(path: Path) -> list[int]:
    info = path.stat()
    return [info.st_size, info.st_mtime_ns]


def _read_stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(folder: Path, manifest: dict[str, Any]) -> None:
    stamp = {name: _facts(folder / name) for name in manifest["files"]}
    temporary = folder / f"{STAMP}.{os.getpid()}"
    temporary.write_text(json.dumps(stamp), encoding="utf-8")
    os.replace(temporary, folder / STAMP)


def _flush(path: Path) -> None:
    # Without this a power cut after the rename can leave a complete-looking folder of empty files.
    with path.open("rb+") as file:
        os.fsync(file.fileno())
