"""The folder of a sweep: the record, a folder a point, the tables; held by one sweep at a time."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from dslab import paths
from dslab.runner import normalize, table
from dslab.runner.selection import Refused
from dslab.runner.study import Point, Study

if TYPE_CHECKING:
    import pandas

RECORD, LOCK, ROW = "study.toml", ".lock", "row.json"
BEGUN = "# Begun with: "  # opens the record; a sweep that was resumed still shows the command that asked the question


class CannotWrite(RuntimeError):
    """The folder takes nothing more: the disk is full, or gone. What is there is whole."""


class Folder:
    """Where a sweep lies. A point is done once its `row.json` is there, which is written last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_ours = False  # whether this process holds it
        self.shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

    def is_sweep(self) -> bool:
        """Whether a sweep was begun here."""
        return (self.path / RECORD).is_file()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this process; the lock ends with it, also after a kill. Raises Refused if it is held."""
        lock = filelock.FileLock(self.path / LOCK)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise Refused(f"another sweep is at work in {self.shown}; wait for it, or give another --out") from None
        except (OSError, NotImplementedError) as error:
            raise Refused(f"{self.shown} cannot be locked ({error}); put --out on a disk of this machine") from None
        self.is_ours = True
        try:
            yield
        finally:
            self.is_ours = False
            lock.release()

    def is_held(self) -> bool:
        """Whether a sweep is at work here."""
        try:
            with self.held():
                return False
        except Refused:
            return True

    def begin(self, study: Study, notebook: bytes, command: str) -> None:
        """Write the record and the notebook as it is run; the record last. Raises Refused, and then nothing is left."""
        try:
            normalize.write_bytes(self.notebook(study), notebook)
            line = "".join(letter if letter.isprintable() else " " for letter in command)  # a comment is one line
            normalize.write_text(self.path / RECORD, f"{BEGUN}{line}\n{study.toml()}")
        except OSError as error:
            self.notebook(study).unlink(missing_ok=True)
            raise Refused(f"cannot write to {self.shown}: {error.strerror or error}; nothing was run") from None

    def remove_empty(self) -> None:
        """Take back a folder in which nothing was begun."""
        with contextlib.suppress(OSError):
            (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()

    def begun_with(self) -> str:
        """The command line that began it; '' where the record does not say."""
        first = (self.path / RECORD).read_text(encoding="utf-8").split("\n", 1)[0]
        return first.removeprefix(BEGUN) if first.startswith(BEGUN) else ""

    def notebook(self, study: Study) -> Path:
        """The notebook that the points run, without outputs."""
        return self.path / f"{study.notebook}.ipynb"

    def tidy(self) -> None:
        """Remove what a killed sweep was writing."""
        for part in self.path.rglob(f".*{normalize.PART}"):
            part.unlink(missing_ok=True)

    def save(self, point: Point, study: Study, result: dict[str, Any]) -> None:
        """Keep one point's result: notebook and log, units, and last its row. Raises CannotWrite."""
        with self._writing():
            here = self.path / "points" / point.folder
            here.mkdir(parents=True, exist_ok=True)
            for name, content in ((f"{study.notebook}.ipynb", result["notebook"]), ("log.txt", result["log"].encode())):
                if content:
                    normalize.write_bytes(here / name, content)
                else:
                    (here / name).unlink(missing_ok=True)
            table.add_units(self.path, result.get("units", {}))
            row = json.dumps(result["row"], ensure_ascii=False, allow_nan=False, indent=1)
            normalize.write_text(here / ROW, row + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all points that are done."""
        return table.parts(self.path)

    def tables(self) -> pandas.DataFrame:
        """Write the tables anew from the rows. Raises CannotWrite."""
        with self._writing():
            return table.write(self.path, self.rows())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(f"cannot write to {self.shown}: {error.strerror or error}") from None


def new(out: str | None, stem: str) -> Folder:
    """The folder of a new sweep, not made yet: `--out`, which must hold nothing, or sweeps/<stem>-<date-time>.

    Raises Refused where the folder holds something.
    """
    if out is None:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        base = (paths.checkout() or Path.cwd()) / "sweeps"
        names = [f"{stem}-{stamp}", *(f"{stem}-{stamp}-{number}" for number in range(2, 100))]
        return Folder(next((base / name for name in names if not (base / name).exists()), base / names[-1]))
    folder = Folder(Path(out).expanduser().resolve())
    refuse_unless_empty(folder)
    return folder


def refuse_unless_empty(folder: Folder) -> None:
    """A sweep begins in a new or an empty folder; a lock that is not held counts as nothing."""
    if not folder.path.exists():
        return
    if not folder.path.is_dir():
        raise Refused(f"--out {folder.shown} is a file; name a new folder")
    holds = {entry.name for entry in folder.path.iterdir()}
    if LOCK in holds and not folder.is_ours and folder.is_held():
        raise Refused(f"another sweep is at work in {folder.shown}; wait for it, or give another --out")
    if folder.is_sweep():
        raise Refused(
            f"--out {folder.shown} holds a sweep already; `dslab sweep --resume {folder.shown}` goes on with it, "
            "or name a new folder"
        )
    if holds - {LOCK}:
        raise Refused(f"--out {folder.shown} is not empty; name a new folder, so that nothing is lost")


def existing(resume: str) -> Folder:
    """The folder that `--resume` names. Raises Refused where no sweep was begun there."""
    folder = Folder(Path(resume).expanduser().resolve())
    if not folder.is_sweep():
        raise Refused(
            f"--resume {resume}: no sweep there (it has no {RECORD}); give the folder of a sweep, "
            "or leave --resume away to begin one"
        )
    return folder
