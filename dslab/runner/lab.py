"""`dslab lab`: JupyterLab on a copy of the notebooks: a learner's edits survive, the repository stays clean."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dslab import paths
from dslab.runner import normalize, selection

RECORD = ".dslab/copied.json"  # name -> SHA-256 of the original when it was copied


def work_dir() -> Path:
    """The learner's folder, `work/` beside the notebooks (git-ignored)."""
    return (paths.checkout() or Path.cwd()) / "work"


def prepare(reset: Sequence[str] = ()) -> list[str]:
    """Copy what is missing to the work folder and reset what is asked for. Returns what to tell the user.

    A copy that was never touched follows its original; an edited one is kept, and its owner told of a newer original.
    Raises selection.Refused for a notebook that does not exist.
    """
    originals = selection.collection()
    if not originals:
        raise selection.Refused(f"no numbered notebooks in {selection.notebooks_dir()}")
    resetting = {path.name for path in selection.find(reset)} if reset else set()
    unknown = resetting - {path.name for path in originals}
    if unknown:
        raise selection.Refused(f"--reset takes notebooks of the collection; got {', '.join(sorted(unknown))}")
    work = work_dir()
    record_path = work / RECORD
    record_path.parent.mkdir(parents=True, exist_ok=True)
    try:
        record: dict[str, str] = json.loads(record_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    said: list[str] = []
    for original in originals:
        said += _one(original, work / original.name, record, original.name in resetting)
    normalize.write_text(record_path, json.dumps(record, indent=1, sort_keys=True) + "\n")
    return said


def _one(original: Path, copy: Path, record: dict[str, str], reset: bool) -> list[str]:
    name, current = original.name, _digest(original)
    if not copy.exists():
        _copy(original, copy)
        record[name] = current
        return [f"{name}: copied"]
    mine = _digest(copy)
    if mine == current:
        record[name] = current
        return []
    if reset:
        backup = _backup(copy)
        _copy(original, copy)
        record[name] = current
        return [f"{name}: fresh copy; yours is kept as {backup.name}"]
    if mine == record.get(name):  # as it was copied, byte for byte
        _copy(original, copy)
        record[name] = current
        return [f"{name}: updated; you had not changed it"]
    if record.get(name) != current:
        number = name[:2]
        return [
            f"{name}: the course has a newer one; yours is kept. dslab lab --reset {number} takes it, with a backup"
        ]
    return []


def _backup(copy: Path) -> Path:
    for number in range(1, 10_000):
        backup = copy.with_name(f"{copy.stem}.backup-{number}.ipynb")
        if not backup.exists():
            return copy.rename(backup)
    raise selection.Refused(f"too many backups of {copy.name}; remove some")


def _copy(original: Path, copy: Path) -> None:
    normalize.write_text(copy, original.read_text(encoding="utf-8"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lab(reset: Sequence[str] = (), options: Sequence[str] = (), *, start: bool = True) -> int:
    """Prepare the work folder and open JupyterLab there, on the loopback interface. Returns Lab's exit code."""
    console = Console(highlight=False)
    for line in prepare(reset):
        console.print(line, soft_wrap=True)
    work = work_dir()
    console.print(f"your notebooks: {work}", soft_wrap=True)
    if not start:
        return 0
    command = [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={work}", "--ServerApp.ip=127.0.0.1", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, env=_environment(work / ".dslab"))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # Lab has the same Ctrl-C and asks its own question


def _environment(folder: Path) -> dict[str, str]:
    """Lab's environment: this interpreter as kernel `python3`, no request for news, no look for updates."""
    kernel = folder / "share" / "kernels" / "python3" / "kernel.json"
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = normalize.KERNELSPEC | {"argv": argv, "metadata": {"debugger": True}}
    del specification["name"]
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    settings = folder / "config" / "labconfig" / "default_setting_overrides.json"
    for path, content in ((kernel, specification), (settings, quiet)):
        path.parent.mkdir(parents=True, exist_ok=True)
        normalize.write_text(path, json.dumps(content, indent=1) + "\n")
    added = {"JUPYTER_PATH": folder / "share", "JUPYTER_CONFIG_PATH": folder / "config"}
    environment = dict(os.environ)
    for name, path in added.items():
        environment[name] = os.pathsep.join([str(path), *filter(None, [environment.get(name)])])
    root = paths.checkout()
    if root:
        environment["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [environment.get("PYTHONPATH")])])
    if shutil.which("jupyter-lab") is None and not _has_lab():
        raise selection.Refused(
            "JupyterLab is not installed here; install the extra `lab` (python -m dslab sets it up)"
        )
    return environment


def _has_lab() -> bool:
    from importlib.util import find_spec

    return find_spec("jupyterlab") is not None
