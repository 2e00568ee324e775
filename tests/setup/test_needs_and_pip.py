"""What is missing is found by the lower bounds; pip's failures become advice; the CPU index is chosen rightly."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dslab import bootstrap
from dslab.setup import borrowed, needs, pip

ROOT = Path(bootstrap.__file__).parents[1]


def test_needs_follow_our_own_extras():
    everything = {need.name for need in needs.needs(("test",))}
    assert {"numpy", "torch", "jupyterlab", "papermill", "pytest"} <= everything
    assert needs.DISTRIBUTION not in everything
    assert {need.name for need in needs.needs(needs.HOSTED)} < everything
    with pytest.raises(ValueError, match="no extra 'gpu'"):
        needs.needs(("gpu",))


def test_missing_and_too_old_are_unmet(monkeypatch):
    present = {need.name: "99.0" for need in needs.needs()} | {"torch": "2.10.9", "numpy": "2.1.0+local"}
    del present["peft"]
    monkeypatch.setattr(needs, "installed", present.get)
    assert [need.name for need in needs.unmet()] == ["peft", "torch"]


def test_everything_installed_is_pinned_but_what_is_wanted():
    held = needs.pins(free={"numpy"})
    assert any(line.startswith("pytest==") for line in held)
    assert not any(line.startswith(("numpy==", "dslab-course==")) for line in held)


def test_the_lock_admits_the_bounds():
    lines = [line.split(";")[0].strip() for line in (ROOT / "requirements.lock").read_text().splitlines()]
    locked = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    for need in needs.needs(("test",)):
        assert needs.release(locked[need.name]) >= needs.release(need.least), need
    assert locked["torch"] == "2.13.0"


def test_adding_holds_torch_and_never_names_it(monkeypatch, tmp_path):
    seen = {}

    def record(command, log, **kwargs):
        seen["wanted"] = Path(command[command.index("-r") + 1]).read_text()
        seen["held"] = Path(command[command.index("-c") + 1]).read_text()

    monkeypatch.setattr(pip, "run", record)
    monkeypatch.setattr(needs, "pins", lambda free: ["numpy==2.1.3", "torch==2.11.0+cu128"])
    borrowed.add([needs.Need("peft", "0.20")], tmp_path / "log")
    assert seen == {"wanted": "peft>=0.20\n", "held": "numpy==2.1.3\ntorch==2.11.0+cu128\n"}


def test_a_conflict_lets_go_of_all_but_torch_and_numpy(monkeypatch, tmp_path):
    held = []

    def conflict_first(command, log, **kwargs):
        held.append(Path(command[command.index("-c") + 1]).read_text().split())
        if len(held) == 1:
            raise pip.SetupError("ResolutionImpossible")

    monkeypatch.setattr(pip, "run", conflict_first)
    monkeypatch.setattr(needs, "pins", lambda free: ["numpy==2.1.3", "rich==13.0", "torch==2.11.0"])
    borrowed.add([needs.Need("peft", "0.20")], tmp_path / "log")
    assert held[1] == ["numpy==2.1.3", "torch==2.11.0"]


@pytest.mark.parametrize(
    ("platform", "nvidia", "no_index", "answers", "wanted"),
    [
        ("linux", False, "", True, pip.TORCH_CPU_INDEX),
        ("linux", False, "", False, None),
        ("linux", True, "", True, None),
        ("linux", False, "1", True, None),
        ("darwin", False, "", True, None),
        ("win32", False, "", True, None),
    ],
)
def test_torch_index(monkeypatch, platform, nvidia, no_index, answers, wanted):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(pip, "has_nvidia", lambda: nvidia)
    monkeypatch.setenv("PIP_NO_INDEX", no_index)
    assert pip.torch_index(probe=lambda url: answers) == wanted


def test_the_probe_gives_up_soon():
    start = time.monotonic()
    assert not pip.answers("http://192.0.2.1/nothing/", timeout=0.5)  # an address that never answers (RFC 5737)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("The virtual environment was not created successfully because ensurepip is not available", "python3-venv"),
        ("ERROR: No matching distribution found for torch==2.13.0", "Go online"),
        ("ERROR: ResolutionImpossible: for help visit", "empty virtual environment"),
        ("something new", "The log says more"),
    ],
)
def test_failures_become_advice(said, advice, tmp_path):
    text = pip.explain(["Collecting things", said], tmp_path / "setup.log")
    assert advice in text
    assert said in text
    assert "setup.log" in text


def test_a_failing_command_is_logged_and_explained(tmp_path):
    log = tmp_path / "build" / "setup.log"
    with pytest.raises(pip.SetupError, match="disk is full"):
        pip.run([sys.executable, "-c", "print('No space left on device'); raise SystemExit(1)"], log)
    assert "No space left" in log.read_text()


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_help_and_version_are_fast(argument):
    """0.4 s of processor time, the best of five: the wall clock also measures whatever else the machine does."""
    times = []
    for _ in range(5):
        before = os.times()
        done = subprocess.run([sys.executable, "-m", "dslab", argument], capture_output=True, text=True, cwd=ROOT)
        after = os.times()
        assert done.returncode == 0, done.stderr
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.4


def test_main_parses_on_an_old_python_and_says_what_to_do():
    source = (ROOT / "dslab" / "__main__.py").read_text()
    ast.parse(source, feature_version=(3, 7))
    old = next((found for name in ("python3.6", "python3.7", "python3.8", "python3.9") if (found := which(name))), None)
    if old is None:
        pytest.skip("no older Python on this machine")
    done = subprocess.run([old, "-m", "dslab", "run"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "dslab needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert "Traceback" not in done.stderr


def which(name: str) -> str | None:
    """A Python that really starts (version managers leave stubs that only print an error)."""
    found = shutil.which(name)
    return found if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0 else None


def test_the_setup_modules_need_the_standard_library_alone():
    code = "import sys; sys.modules.update(dict.fromkeys(['torch', 'numpy', 'rich', 'typer', 'psutil', 'filelock'])); "
    code += "from dslab import bootstrap, doctor; bootstrap.has_weights(); print(len(doctor.diagnose()))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 9
