"""Faults planted into a copy of a topic's package: the tests of that topic are run against the copy.

planted = Planted("inference", Path(__file__).parent)
planted.notices(fault, tmp_path, monkeypatch)        # the test that the fault names goes red
planted.passes(faults, tmp_path, monkeypatch)        # and green where nothing was planted
"""

from __future__ import annotations

import contextlib
import importlib
import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import dslab
from dslab.paths import PACKAGE


@dataclass(frozen=True)
class Fault:
    """A change of one place in a file of the package, and the test that notices: file and expression for -k."""

    name: str
    file: str
    original: str
    replacement: str
    test: str
    only: str = ""


@dataclass(frozen=True)
class Planted:
    """topic: the package `dslab.TOPIC`. tests: the folder of its tests."""

    topic: str
    tests: Path

    def notices(self, fault: Fault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with self._copy(folder) as copy:
            _plant(fault, copy)
            code, said = self._outcome([(fault.test, fault.only)], monkeypatch)
        assert code == 1, f"{fault.name}: pytest ended with {code}\n{said[-1500:]}"

    def passes(self, faults: Sequence[Fault], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a fault the same tests pass; it is the copy that they test, and nothing of it stays."""
        name = f"dslab.{self.topic}.{faults[0].file}"
        with self._copy(folder):
            copied = importlib.import_module(name)
            assert Path(str(copied.__file__)).is_relative_to(folder), "it is the copy that is tested"
            code, said = self._outcome(sorted({(fault.test, fault.only) for fault in faults}), monkeypatch)
        assert code == 0, said[-1500:]
        assert sys.modules.get(name) is not copied

    @contextlib.contextmanager
    def _copy(self, folder: Path) -> Iterator[Path]:
        """While the block lasts, the package (from a copy) and its tests are imported anew."""
        shutil.copytree(PACKAGE / self.topic, folder / self.topic, ignore=shutil.ignore_patterns("__pycache__"))
        ours = {path.stem for path in self.tests.glob("*.py")}

        def parts() -> set[str]:
            return {name for name in sys.modules if name in ours or f"{name}.".startswith(f"dslab.{self.topic}.")}

        kept = {name: sys.modules.pop(name) for name in parts()}
        path, attribute = list(dslab.__path__), getattr(dslab, self.topic, None)
        dslab.__path__[:] = [str(folder), *path]
        importlib.invalidate_caches()
        try:
            yield folder / self.topic
        finally:
            for name in parts():
                del sys.modules[name]
            dslab.__path__[:] = path
            sys.modules.update(kept)
            if attribute is not None:
                setattr(dslab, self.topic, attribute)

    def _outcome(self, selections: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
        """pytest's exit code for these tests, and what it said. In this process: importing torch anew costs more."""
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        said = io.StringIO()
        # unraisableexception collects garbage over and over, which takes longer than the tests.
        options = ["-x", "-q", "--tb=line", "-W", "ignore", "--capture=no"]
        options += ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "--import-mode=prepend"]
        code = 0
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            for test, only in selections:
                chosen = [str(self.tests / f"{test}.py"), *(["-k", only] if only else [])]
                code = code or int(pytest.main([*options, *chosen]))
        return code, said.getvalue()


def _plant(fault: Fault, folder: Path) -> None:
    path = folder / f"{fault.file}.py"
    source = path.read_text(encoding="utf-8")
    assert source.count(fault.original) == 1, f"{fault.name}: its text occurs {source.count(fault.original)} times"
    path.write_text(source.replace(fault.original, fault.replacement), encoding="utf-8")
