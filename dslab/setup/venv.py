"""The checkout's own `.venv`: made once, known to be whole, redone when it is not.

A killed pip can leave a package that looks installed and is not, so an environment is only trusted once its stamp says
that every step ended; while work is under way the stamp is absent. Redoing is cheap: pip keeps its downloads. An old
environment is first renamed, because a half-deleted one could look whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dslab.setup import needs, pip

NEEDED_BYTES = 2_500_000_000
STAMP, STARTED = "dslab-ready.json", "dslab-unfinished"


class OwnEnvironment:
    """`.venv` in the checkout `root`. Everything else that set-up writes is under `build/`, which git ignores."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.build = root, root / ".venv", root / "build"
        self.lock_file, self.log = root / "requirements.lock", self.build / "setup.log"
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def key(self) -> str:
        """Changes when the lock, the package's metadata or the place of the checkout change."""
        parts = [self.lock_file.read_bytes(), (self.root / "pyproject.toml").read_bytes(), str(self.root).encode()]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def stamp(self) -> dict[str, Any]:
        try:
            stamp = json.loads((self.folder / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def is_ready(self) -> bool:
        """Whole and up to date; a few file reads."""
        return self.python.exists() and self.stamp().get("key") == self.key()

    def is_foreign(self) -> bool:
        """A `.venv` that somebody else made and that works: it is used as it is, never removed."""
        if any((self.folder / mark).exists() for mark in (STAMP, STARTED)) or not self.python.exists():
            return False
        command = [str(self.python), "-c", "import pip, sys; sys.exit(sys.version_info < (3, 11))"]
        return subprocess.run(command, capture_output=True).returncode == 0

    def make(self) -> None:
        """Bring `.venv` to the state the lock file describes. Interrupt it anywhere and call it again."""
        with self._alone() as held:
            if self.is_ready():  # another process did it while we waited
                return
            self._tidy()
            if not (self.python.exists() and self.stamp().get("root") == str(self.root)):
                self._discard()
                self._check_disk()
                with pip.step("making the environment .venv"):
                    self._mark_started()
                    pip.run([sys.executable, "-m", "venv", str(self.folder)], self.log, keep_open=held)
            locked = hashlib.sha256(self.lock_file.read_bytes()).hexdigest()
            if self.stamp().get("packages") != locked:
                self._mark_started()
                with pip.step("installing packages from requirements.lock (1 to 10 minutes)"):
                    self._install(["-r", str(self._requirements())], held)
                self.write_stamp(root=str(self.root), packages=locked)
            with pip.step("installing dslab from this checkout"):
                self._install(["--no-deps", "--no-build-isolation", "-e", str(self.root)], held)
            self.write_stamp(key=self.key())
            (self.folder / STARTED).unlink(missing_ok=True)

    def write_stamp(self, **facts: Any) -> None:
        """Add facts to the stamp, in one rename."""
        temporary = self.folder / (STAMP + ".part")
        temporary.write_text(json.dumps({**self.stamp(), **facts}, indent=1), encoding="utf-8")
        os.replace(temporary, self.folder / STAMP)

    def _install(self, arguments: list[str], held: tuple[int, ...]) -> None:
        command = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        pip.run([*command, *arguments], self.log, keep_open=held)

    def _requirements(self) -> Path:
        """The lock file, with PyTorch's CPU index where it helps, and without torch where a fit one is installed."""
        lines = self.lock_file.read_text(encoding="utf-8").splitlines()
        torch = self._installed_torch()
        least = next(need.least for need in needs.needs(("llm",)) if need.name == "torch")
        if torch and needs.release(torch) >= needs.release(least):
            lines = [f"torch=={torch}" if line.startswith("torch==") else line for line in lines]
        elif index := pip.torch_index():
            lines.insert(0, f"--extra-index-url {index}")
        chosen = self.build / "requirements.txt"
        chosen.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return chosen

    def _installed_torch(self) -> str:
        code = "from importlib.metadata import version; print(version('torch'))"
        found = subprocess.run([str(self.python), "-c", code], capture_output=True, text=True)
        return found.stdout.strip() if found.returncode == 0 else ""

    def _mark_started(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / STARTED).touch()
        (self.folder / STAMP).unlink(missing_ok=True)

    def _discard(self) -> None:
        if self.folder.is_symlink() or self.folder.is_file():
            raise pip.SetupError(f"{self.folder.name} is a file or a link, not a folder; move it away and run it again")
        if self.folder.exists():
            pip.say("the environment .venv is incomplete or was moved; making it anew")
            os.replace(self.folder, self.build / f"venv-stale-{os.getpid()}")
            self._tidy()

    def _tidy(self) -> None:
        for stale in self.build.glob("venv-stale-*"):
            shutil.rmtree(stale, ignore_errors=True)

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.root).free
        if free < NEEDED_BYTES:
            raise pip.SetupError(
                f"{free / 1e9:.1f} GB of disk are free here, set-up needs about {NEEDED_BYTES / 1e9:.1f} GB. "
                "Free some space, or move the checkout, then run it again."
            )

    @contextmanager
    def _alone(self) -> Iterator[tuple[int, ...]]:
        """One set-up at a time. Gives the descriptors a child must inherit to keep the lock if we are killed."""
        self.build.mkdir(exist_ok=True)
        with (self.build / "setup.lock").open("a+") as file:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
                yield ()
                return
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pip.say("another set-up of this checkout is at work; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield (file.fileno(),)
