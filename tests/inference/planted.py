"""Faults planted into a copy of dslab.inference: the tests beside this file are run against the copy."""

from __future__ import annotations

import contextlib
import importlib
import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import dslab
from dslab.paths import PACKAGE

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Fault:
    """A change of one place in a file of dslab/inference, and the test that notices: file and expression for -k."""

    name: str
    file: str
    original: str
    replacement: str
    test: str
    only: str = ""


def plant(fault: Fault, folder: Path) -> None:
    path = folder / f"{fault.file}.py"
    source = path.read_text(encoding="utf-8")
    assert source.count(fault.original) == 1, f"{fault.name}: its text occurs {source.count(fault.original)} times"
    path.write_text(source.replace(fault.original, fault.replacement), encoding="utf-8")


@contextlib.contextmanager
def package_copy(folder: Path):
    """While the block lasts, `dslab.inference` and the tests beside this are imported anew, the package from a copy."""
    shutil.copytree(PACKAGE / "inference", folder / "inference", ignore=shutil.ignore_patterns("__pycache__"))
    ours = {path.stem for path in HERE.glob("*.py")}

    def parts() -> set[str]:
        return {name for name in sys.modules if name in ours or f"{name}.".startswith("dslab.inference.")}

    kept = {name: sys.modules.pop(name) for name in parts()}
    path, attribute = list(dslab.__path__), getattr(dslab, "inference", None)
    dslab.__path__[:] = [str(folder), *path]
    importlib.invalidate_caches()
    try:
        yield folder / "inference"
    finally:
        for name in parts():
            del sys.modules[name]
        dslab.__path__[:] = path
        sys.modules.update(kept)
        if attribute is not None:
            dslab.inference = attribute


def outcome(selections: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """pytest's exit code for these tests, and what it said. In this process: importing torch anew would cost more."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    said = io.StringIO()
    # unraisableexception collects garbage over and over, which takes longer than the tests.
    options = ["-x", "-q", "--tb=line", "-W", "ignore", "--capture=no"]
    options += ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "--import-mode=prepend"]
    code = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        for test, only in selections:
            code = code or int(pytest.main([*options, str(HERE / f"{test}.py"), *(["-k", only] if only else [])]))
    return code, said.getvalue()


def check_noticed(fault: Fault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with package_copy(folder) as copy:
        plant(fault, copy)
        code, said = outcome([(fault.test, fault.only)], monkeypatch)
    assert code == 1, f"{fault.name}: pytest ended with {code}\n{said[-1500:]}"


def check_green(faults: list[Fault], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a fault the same tests pass, and it is the copy that they test."""
    with package_copy(folder):
        planted = importlib.import_module(f"dslab.inference.{faults[0].file}")
        assert Path(str(planted.__file__)).is_relative_to(folder)
        code, said = outcome(sorted({(fault.test, fault.only) for fault in faults}), monkeypatch)
    assert code == 0, said[-1500:]
