"""The set-up cell on a stand-in for Colab: a clean environment, a fake `google.colab`, a torch that must not change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dslab import bootstrap
from dslab.models import cache, resolver

ROOT = Path(bootstrap.__file__).parents[1]
PINNED = {"torch": "2.11.0", "numpy": "2.1.3"}  # Colab's versions, of which only the metadata is stood in for

DRIVER = """
import json, sys, types
sys.modules["google"] = types.ModuleType("google")
sys.modules["google.colab"] = types.ModuleType("google.colab")
cell = json.load(sys.stdin)
for _ in range(2):
    print("<run>")
    exec(compile(cell, "cell", "exec"), {})
"""


def test_outside_colab_the_cell_is_silent(capsys):
    exec(compile(bootstrap.SETUP_CELL, "cell", "exec"), {})
    assert capsys.readouterr() == ("", "")


def test_the_cell_is_short_and_names_the_repository_once():
    lines = [line for line in bootstrap.SETUP_CELL.splitlines() if line]
    assert len(lines) <= 12
    assert bootstrap.SETUP_CELL.count("https://") == 1


def test_a_kernel_that_lacks_packages_says_so(monkeypatch):
    from dslab.setup import needs

    monkeypatch.setattr(needs, "unmet", lambda extras: [needs.Need("peft", "0.20")])
    with pytest.raises(ModuleNotFoundError, match=r"lacks peft>=0\.20.*dslab doctor"):
        bootstrap.notebook()


def stand_in(site: Path, name: str, version: str) -> None:
    """An installed distribution that is nothing but a name and a version."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{name}/__init__.py,,\n")
    (info / "INSTALLER").write_text("pip\n")
    (site / name).mkdir()
    (site / name / "__init__.py").write_text("stand_in = True\n")


@pytest.fixture
def repository(tmp_path: Path) -> str:
    """This working tree as a git address that pip can install from."""
    place = tmp_path / "repository"
    for name in ("dslab", "data"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "LICENSE-PROSE"):
        shutil.copy(ROOT / name, place)
    (place / "README.md").write_text("# a copy\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a copy"]):
        subprocess.run([*git, *arguments], cwd=place, check=True)
    return "git+" + place.as_uri()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_cell_twice_in_a_clean_environment(tmp_path, repository):
    if cache.check(resolver.cached_folder())[0] is None:
        pytest.skip("the weights are not in this machine's cache")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "colab")], check=True)
    python = tmp_path / "colab" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
    for name, version in PINNED.items():
        stand_in(site, name, version)

    def run_the_cell() -> list[str]:
        done = subprocess.run(
            [str(python), "-c", DRIVER], input=json.dumps(bootstrap.SETUP_CELL), cwd=tmp_path, text=True,
            capture_output=True, env={**os.environ, "DSLAB_SOURCE": repository, "PYTHONPATH": ""},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return [text.strip() for text in done.stdout.split("<run>")[1:]]

    first, again = run_the_cell()
    assert first.startswith("Installing ")
    assert not {"torch", "numpy"} & set(first.replace(",", "").split())
    assert again == ""
    assert run_the_cell() == ["", ""]  # a new kernel: nothing left to do
    for name, version in PINNED.items():
        assert (site / f"{name}-{version}.dist-info").is_dir()
        assert (site / name / "__init__.py").read_text() == "stand_in = True\n"
    for package in ("transformers", "peft", "papermill", "ipywidgets"):
        assert list(site.glob(f"{package}-*.dist-info")), package
