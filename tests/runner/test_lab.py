"""`dslab lab`: a learner's copy is never overwritten; what is newer is told; a reset keeps a backup."""

from __future__ import annotations

import json
from pathlib import Path

from . import toys


def test_copies_keep_a_learners_edits(house: Path) -> None:
    original = toys.write(house / "notebooks" / "01_toy.ipynb", toys.code("1", "one"))
    other = toys.write(house / "notebooks" / "02_other.ipynb", toys.code("1", "one"))
    copy, untouched = house / "work" / original.name, house / "work" / other.name

    first = toys.dslab("lab", "--no-open", cwd=house)
    assert first.code == 0, first.err
    assert copy.read_bytes() == original.read_bytes()
    assert "01_toy.ipynb: copied" in first.out

    toys.write(copy, toys.code("my = 'work'", "one"))
    mine = copy.read_bytes()
    quiet = toys.dslab("lab", "--no-open", cwd=house)
    assert "01_toy" not in quiet.out
    assert copy.read_bytes() == mine

    toys.write(original, toys.code("2", "one"))
    toys.write(other, toys.code("2", "one"))
    told = toys.dslab("lab", "--no-open", cwd=house)
    assert copy.read_bytes() == mine
    assert "01_toy.ipynb: the course has a newer one; yours is kept. dslab lab --reset 01 takes it" in told.out
    assert "02_other.ipynb: updated; you had not changed it" in told.out
    assert untouched.read_bytes() == other.read_bytes()

    reset = toys.dslab("lab", "--no-open", "--reset", "01", cwd=house)
    assert "yours is kept as 01_toy.backup-1.ipynb" in reset.out
    assert copy.read_bytes() == original.read_bytes()
    assert copy.with_name("01_toy.backup-1.ipynb").read_bytes() == mine
    copy.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    toys.dslab("lab", "--no-open", "--reset", "1", cwd=house)
    assert copy.with_name("01_toy.backup-1.ipynb").read_bytes() == mine
    assert copy.with_name("01_toy.backup-2.ipynb").exists()


def test_lab_opens_there_on_loopback_with_this_interpreter_and_no_news(house: Path) -> None:
    toys.write(house / "notebooks" / "01_toy.ipynb")
    (house / "jupyterlab").mkdir()
    (house / "jupyterlab" / "__init__.py").touch()
    (house / "jupyterlab" / "__main__.py").write_text(
        "import json, os, sys\n"
        "from jupyter_core.paths import jupyter_config_path, jupyter_path\n"
        "print(json.dumps([sys.argv[1:], jupyter_path()[0], jupyter_config_path()[0]]))\nsys.exit(5)\n"
    )
    done = toys.dslab("lab", "--port=1234", "--no-browser", cwd=house)
    assert done.code == 5, done.err
    arguments, data, config = json.loads(done.out.splitlines()[-1])
    expected = [f"--ServerApp.root_dir={house / 'work'}", "--ServerApp.ip=127.0.0.1", "--port=1234", "--no-browser"]
    assert arguments == expected
    kernel = json.loads((Path(data) / "kernels" / "python3" / "kernel.json").read_text())
    assert kernel["argv"][1:] == ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert Path(kernel["argv"][0]).is_absolute()
    settings = json.loads((Path(config) / "labconfig" / "default_setting_overrides.json").read_text())
    assert settings["@jupyterlab/apputils-extension:notification"] == {"checkForUpdates": False, "fetchNews": "false"}


def test_reset_of_what_does_not_exist_is_refused(house: Path) -> None:
    toys.write(house / "notebooks" / "01_toy.ipynb")
    done = toys.dslab("lab", "--no-open", "--reset", "7", cwd=house)
    assert done.code == 2
    assert "no notebook '7'" in done.err
    assert not (house / "work").exists()
