"""The own environment: interrupted at each step, half made, moved, killed, it always ends whole.

The fast tests replace the two commands that cost minutes by a stand-in; the slow ones kill the real thing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dslab import bootstrap
from dslab.setup import pip
from dslab.setup.venv import STAMP, STARTED, OwnEnvironment

ROOT = Path(bootstrap.__file__).parents[1]
STEPS = ["venv", "packages", "package"]


@pytest.fixture
def own(tmp_path: Path) -> OwnEnvironment:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "requirements.lock").write_text("six==1.17.0\n")
    return OwnEnvironment(tmp_path)


class StandIn:
    """Takes the place of `pip.run`: notes each step, makes what it would make, and breaks where it is told to."""

    def __init__(self, own: OwnEnvironment, breaks_at: str = "", error: type[BaseException] = KeyboardInterrupt):
        self.own, self.breaks_at, self.error, self.steps = own, breaks_at, error, []

    def __call__(self, command: list[str], log: Path, **kwargs: object) -> None:
        step = "venv" if "venv" in command else "package" if "-e" in command else "packages"
        self.steps.append(step)
        if step == "venv":
            self.own.python.parent.mkdir(parents=True)
            if self.breaks_at != step:
                self.own.python.write_text("#!/bin/sh\nexit 0\n")  # looks like a Python that works
                self.own.python.chmod(0o755)
        if step == self.breaks_at:
            raise self.error("injected")


def make(own: OwnEnvironment, monkeypatch: pytest.MonkeyPatch, **how: object) -> list[str]:
    stand_in = StandIn(own, **how)  # type: ignore[arg-type]
    monkeypatch.setattr(pip, "run", stand_in)
    monkeypatch.setattr(pip, "torch_index", lambda: None)
    own.make()
    return stand_in.steps


def test_made_once_then_ready(own, monkeypatch):
    assert not own.is_ready()
    assert make(own, monkeypatch) == STEPS
    assert own.is_ready()
    assert make(own, monkeypatch) == []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, pip.SetupError])
def test_interrupted_at_any_step_it_goes_on(own, monkeypatch, step, error):
    with pytest.raises(error):
        make(own, monkeypatch, breaks_at=step, error=error)
    assert not own.is_ready()
    assert not own.is_foreign()
    # A killed pip may leave half a package, so the environment is redone; one package more is only installed again.
    assert make(own, monkeypatch) == (["package"] if step == "package" else STEPS)
    assert own.is_ready()
    assert not (own.folder / STARTED).exists()
    assert not list(own.build.glob("venv-stale-*"))


def test_a_changed_lock_updates_in_place(own, monkeypatch):
    make(own, monkeypatch)
    own.lock_file.write_text("six==1.16.0\n")
    assert not own.is_ready()
    assert make(own, monkeypatch) == ["packages", "package"]


def test_an_interrupted_update_is_redone(own, monkeypatch):
    make(own, monkeypatch)
    own.lock_file.write_text("six==1.16.0\n")
    with pytest.raises(KeyboardInterrupt):
        make(own, monkeypatch, breaks_at="packages")
    own.lock_file.write_text("six==1.17.0\n")  # even back at the old lock: pip was at work when it was killed
    assert not own.is_ready()
    assert make(own, monkeypatch) == STEPS


def test_a_moved_checkout_is_redone(own, monkeypatch):
    make(own, monkeypatch)
    stamp = json.loads((own.folder / STAMP).read_text())
    (own.folder / STAMP).write_text(json.dumps({**stamp, "root": "elsewhere", "key": "old"}))
    assert make(own, monkeypatch) == STEPS


@pytest.mark.parametrize("stamp", ["", "{", "[]", "null"])
def test_a_damaged_stamp_is_no_stamp(own, monkeypatch, stamp):
    make(own, monkeypatch)
    (own.folder / STAMP).write_text(stamp)
    assert not own.is_ready()
    assert make(own, monkeypatch) == STEPS


def test_half_made_by_hand_is_redone(own, monkeypatch):
    (own.folder / "bin").mkdir(parents=True)
    assert not own.is_foreign()
    assert make(own, monkeypatch) == STEPS


def test_an_environment_that_someone_made_is_used_not_removed(own):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(own.folder)], check=True)
    assert not own.is_foreign()  # without pip it does not work, so it would be redone
    package = next(own.folder.glob("lib*/python3*/site-packages"), own.folder / "Lib" / "site-packages") / "pip.py"
    package.write_text("")
    assert own.is_foreign()


def test_a_full_disk_is_said_before_anything_is_made(own, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**8))
    with pytest.raises(pip.SetupError, match=r"0\.1 GB of disk are free"):
        make(own, monkeypatch)
    assert not own.folder.exists()


def test_an_installed_torch_stays(own, monkeypatch):
    own.build.mkdir()
    own.lock_file.write_text("torch==2.13.0\n")
    monkeypatch.setattr(own, "_installed_torch", lambda: "2.12.1+cu128")
    assert own._requirements().read_text() == "torch==2.12.1+cu128\n"
    monkeypatch.setattr(own, "_installed_torch", lambda: "")
    monkeypatch.setattr(pip, "torch_index", lambda: pip.TORCH_CPU_INDEX)
    assert own._requirements().read_text() == f"--extra-index-url {pip.TORCH_CPU_INDEX}\ntorch==2.13.0\n"


# --- the real thing -------------------------------------------------------------------------------------------------

SMALL = ("typer", "click", "rich", "markdown-it-py", "mdurl", "pygments", "shellingham", "typing-extensions",
         "annotated-doc", "hatchling", "editables", "packaging", "pathspec", "pluggy", "trove-classifiers", "tomlkit",
         "psutil")  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout whose lock holds only what the command line and the build backend need."""
    place = tmp_path / "checkout"
    for name in ("dslab", "data", "notebooks"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "LICENSE-PROSE"):
        shutil.copy(ROOT / name, place)
    (place / "README.md").write_text("# a copy\n")
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    (place / "requirements.lock").write_text("\n".join(x for x in lock if x.split("==")[0] in SMALL) + "\n")
    return place


def start(checkout: Path) -> subprocess.Popen[str]:
    base = getattr(sys, "_base_executable", sys.executable)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "DSLAB", "PYTHON"))
    }
    command = [base, "-m", "dslab", "params", "--help"]
    environment = {**kept, "DSLAB_MODEL_DIR": str(checkout)}  # no weights are needed for this
    return subprocess.Popen(
        command, cwd=checkout, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finishes(checkout: Path) -> float:
    """Run set-up to its end; seconds taken. The command must have been handed over and have answered."""
    began = time.monotonic()
    child = start(checkout)
    said, _ = child.communicate(timeout=280)
    assert child.returncode == 0, said
    assert "--json" in said
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name != "posix", reason="kills process groups")
def test_killed_at_each_step_the_next_start_ends_whole(checkout):
    # Each is killed well before it can end: on a quiet machine the last takes half a second.
    for step, seconds in (("making the environment", 0.7), ("installing packages", 0.7), ("installing dslab", 0.05)):
        child = start(checkout)
        assert child.stdout
        for line in child.stdout:
            if step in line:
                break
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert not OwnEnvironment(checkout).is_ready(), step
    finishes(checkout)
    assert OwnEnvironment(checkout).is_ready()
    assert min(finishes(checkout) for _ in range(3)) < 1.5  # two starts of Python, the check and the help itself


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process group")
def test_ctrl_c_says_how_to_go_on(checkout):
    child = start(checkout)
    assert child.stdout
    for line in child.stdout:
        if "installing packages" in line:
            break
    time.sleep(0.5)
    os.killpg(child.pid, signal.SIGINT)
    said = child.stdout.read()
    assert child.wait() == 130
    assert "run the same command again" in said
    assert "Traceback" not in said
