"""What a sweep is going to do, settled before anything starts: the study, its points, where they go, what is done."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dslab.runner import parameters, results, selection, study_toml, sweep_folder
from dslab.runner import study as studies
from dslab.runner.selection import Refused
from dslab.runner.study import Point, Study
from dslab.runner.sweep_folder import Folder


@dataclass(frozen=True)
class Asked:
    """The command line of `dslab sweep`."""

    target: str | None = None
    options: Sequence[str] = ()
    seeds: int | None = None
    random: int | None = None
    zipped: bool = False
    workers: int | None = None
    cluster: str | None = None
    out: str | None = None
    resume: str | None = None
    retry_failed: bool = False
    dry_run: bool = False
    max_points: int = 500
    timeout: float | None = None
    profile: str | None = None
    command: str = "dslab sweep"

    @property
    def shaping(self) -> list[str]:
        """The given options that make a study what it is."""
        given = {
            "-p": self.options, "--seeds": self.seeds, "--random": self.random, "--zip": self.zipped,
            "--timeout": self.timeout is not None, "--profile": self.profile,
        }  # fmt: skip
        return [name for name, value in given.items() if value]

    @property
    def where(self) -> dict[str, Any]:
        """The given options that say where it runs."""
        return {"--workers": self.workers, "--cluster": self.cluster}


@dataclass(frozen=True)
class Plan:
    """A sweep that may start. done: the rows that are there already and stay; todo: the points still to run."""

    study: Study
    points: list[Point]
    notebook: bytes
    folder: Folder
    footer: dict[str, Any] = field(default_factory=dict)
    done: list[dict[str, Any]] = field(default_factory=list)
    todo: list[Point] = field(default_factory=list)
    where: dict[str, Any] = field(default_factory=dict)  # --workers and --cluster as given

    @property
    def resume_command(self) -> str:
        """What goes on with it after an interruption."""
        where = "".join(f" {name} {shlex.quote(str(value))}" for name, value in self.where.items() if value is not None)
        return f"dslab sweep --resume {shlex.quote(self.folder.shown)}{where}"


def prepare(asked: Asked) -> Plan:
    """The plan of a command line. Raises Refused or ParameterError; writes nothing."""
    if asked.workers is not None and asked.workers < 1:
        raise Refused(f"--workers must be at least 1; got {asked.workers}")
    if asked.workers is not None and "://" in (asked.cluster or ""):
        raise Refused(
            f"--workers has no say at {asked.cluster}, whose workers are started with `dask worker`; leave it away"
        )
    if asked.resume is not None:
        return _resumed(asked, sweep_folder.existing(asked.resume))
    if asked.target is None:
        raise Refused("name a notebook, as in `dslab sweep 04 -p rank=1,2,4`, a study.toml, or --resume DIR")
    if asked.retry_failed:
        raise Refused("--retry-failed goes with --resume DIR")
    study, path = _asked_study(asked, asked.target)
    _refuse_too_many(study, asked.max_points)
    points = study.points()
    notebook = _load(path)
    footer = (results.bundles(notebook, "footer") or [{}])[-1]
    folder = sweep_folder.new(asked.out, study.notebook)
    return Plan(study, points, _without_outputs(notebook), folder, footer, [], points, asked.where)


def _asked_study(asked: Asked, target: str) -> tuple[Study, Path]:
    """The study of a notebook and options, or of a file; and the notebook's path."""
    if target.endswith(".toml"):
        if asked.shaping:
            raise Refused(f"{target} says what is run; put {', '.join(asked.shaping)} there, or name a notebook")
        file = Path(target).expanduser()
        data = study_toml.read(file)
        path = _notebook(data["notebook"], file.parent)
        return studies.from_data(data, path.stem, parameters.from_notebook(path), file.name), path
    path = _notebook(target)
    texts = selection.given_values(asked.options, asked.profile)
    timeout = studies.DEFAULT_TIMEOUT if asked.timeout is None else asked.timeout
    try:
        study = studies.build(
            path.stem, parameters.from_notebook(path), texts, how="zip" if asked.zipped else "product",
            random=asked.random, seeds=asked.seeds, timeout=timeout,
        )  # fmt: skip
    except parameters.ParameterError as error:
        raise parameters.ParameterError(f"{path.stem}: {error}") from None
    return study, path


def _notebook(name: str, beside: Path | None = None) -> Path:
    """One notebook, by number, stem or path; for a study, what lies beside its file comes first."""
    near = beside / f"{name.removesuffix('.ipynb')}.ipynb" if beside else None
    found = selection.find([str(near) if near and near.is_file() else name])
    if len(found) != 1:
        raise Refused(f"a sweep runs one notebook; {name!r} means {len(found)}")
    return found[0]


def _refuse_too_many(study: Study, most: int) -> None:
    if study.count > most:
        lengths = {name: len(values) for name, values in study.grid.items()}
        lengths |= {"seed": len(study.seeds)} if len(study.seeds) > 1 else {}
        told = " × ".join(f"{count} {name}" for name, count in lengths.items())
        made = f"{study.random} draws" if study.how == "random" else told
        raise Refused(
            f"{study.count:,} points ({made}) are more than --max-points {most}; take fewer values, draw some with "
            "--random N, or raise --max-points"
        )


def _resumed(asked: Asked, folder: Folder) -> Plan:
    """The rest of a sweep. A study that is given again must be the recorded one."""
    if asked.out is not None and Path(asked.out).expanduser().resolve() != folder.path:
        raise Refused(f"--resume {folder.shown} goes on in that folder; leave --out away")
    data = study_toml.read(folder.path / sweep_folder.RECORD)
    path = folder.path / f"{data['notebook']}.ipynb"
    study = studies.from_data(data, path.stem, parameters.from_notebook(path), f"{folder.shown}/study.toml")
    if asked.target is not None:
        _refuse_changes(study, path, *_asked_study(asked, asked.target), folder)
    elif asked.shaping:
        raise Refused(
            f"--resume {folder.shown} goes on with the study recorded there; leave {', '.join(asked.shaping)} away, "
            "or begin another sweep in a new folder"
        )
    points = study.points()
    rows = folder.rows()
    _refuse_strangers(rows, points, folder)
    # A lost point tells of a machine, not of the notebook, and is run again; a failed one would fail again.
    done = [row for row in rows if row["status"] == "passed" or (row["status"] != "lost" and not asked.retry_failed)]
    ids = {row["point"] for row in done}
    todo = [point for point in points if point.id not in ids]
    return Plan(study, points, path.read_bytes(), folder, {}, done, todo, asked.where)


def _refuse_changes(recorded: Study, path: Path, given: Study, given_path: Path, folder: Folder) -> None:
    changes = studies.difference(recorded, given)
    if not changes:
        ours, theirs = _cells(_load(path)), _cells(_load(given_path))
        changes = [
            f"the notebook was changed since: cell {name}"
            for name in dict.fromkeys([*ours, *theirs])
            if ours.get(name) != theirs.get(name)
        ]
    if changes:
        raise Refused(
            f"this is not the study of {folder.shown}: {'; '.join(changes[:5])}{'; …' if changes[5:] else ''}. "
            f"`dslab sweep --resume {folder.shown}` goes on with the recorded one; for another, name a new --out"
        )


def _refuse_strangers(rows: list[dict[str, Any]], points: list[Point], folder: Folder) -> None:
    places = {point.id: point.index for point in points}
    strange = [row for row in rows if places.get(row["point"]) != row["index"]]
    if strange:
        raise Refused(
            f"{folder.shown}/study.toml was changed since it began: {len(strange)} of {len(rows)} finished points "
            f"(the first is number {strange[0]['index']}) are no points of it; undo the change, or name a new --out"
        )


def _load(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def _cells(notebook: dict[str, Any]) -> dict[str, str]:
    return {
        str(cell.get("id", number)): "".join(cell["source"])
        for number, cell in enumerate(notebook["cells"], 1)
        if cell["cell_type"] == "code"
    }


def _without_outputs(notebook: dict[str, Any]) -> bytes:
    """The notebook as bytes, the outputs that it was saved with left out: each point makes its own."""
    cells = [
        cell | ({"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {})
        for cell in notebook["cells"]
    ]
    return (json.dumps(notebook | {"cells": cells}, ensure_ascii=False, indent=1) + "\n").encode()
