"""The notebooks run headless with other parameters; bad ones are refused, by `dslab run` and under plain papermill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHANGED = {
    "00_start_here": {"seed": "7"},
    "01_sparse_attention": {
        "seed": "7",
        "window": "48",
        "n_global": "3",
        "length": "300",
        "n_sinks": "0",
        "block": "32",
    },
    "02_mixed_precision": {"seed": "7", "steps": "16", "tokens": "65536", "blocks": "2", "dtype": "fp32"},
    "03_data_cleaning": {"seed": "7", "documents": "200", "rows": "300", "copies": "3", "blocks": "2", "dtype": "fp32"},
    "04_lora": {
        "seed": "7",
        "rank": "4",
        "alpha": "8.0",
        "lr": "0.0005",
        "steps": "3",
        "task": "dates",
        "targets": "attention",
    },
    "05_kv_cache": {"seed": "7", "new_tokens": "8", "block": "7", "window": "16", "sinks": "0", "draft_tokens": "3"},
}
REFUSED = {
    "unknown": ("windw=64", "window"),
    "wrong type": ("window=wide", "int"),
    "out of range": ("window=1", "[2..4096]"),
    "not among the choices": ("profile=fast", "smoke"),
}


def dslab(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, DSLAB_NO_SETUP="1", COLUMNS="200")
    return subprocess.run(
        [sys.executable, "-m", "dslab", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False,
    )  # fmt: skip


SLOW = ("04_lora", "05_kv_cache")  # a minute and a half each on two slow cores


@pytest.mark.parametrize(
    "stem", [pytest.param(stem, marks=pytest.mark.slow) if stem in SLOW else stem for stem in CHANGED]
)
def test_smoke_run_with_other_parameters(stem: str, tmp_path: Path) -> None:
    options = [word for name, value in CHANGED[stem].items() for word in ("-p", f"{name}={value}")]
    done = dslab("run", stem, "--profile", "smoke", *options, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))["notebooks"][0]
    assert {name: str(result["parameters"][name]) for name in CHANGED[stem]} == CHANGED[stem]
    assert all(claim["holds"] is None for claim in result["claims"]), "nothing is judged at smoke"
    assert (tmp_path / "out" / "index.html").stat().st_size > 1000


@pytest.mark.parametrize(("option", "said"), REFUSED.values(), ids=REFUSED)
def test_refused_before_a_kernel_starts(option: str, said: str, tmp_path: Path) -> None:
    began = time.perf_counter()
    done = dslab("run", "01", "-p", option, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("fault", ["unknown", "out of range"])
def test_plain_papermill_is_refused_by_the_page(fault: str, tmp_path: Path) -> None:
    """A name and a value, since each costs a kernel; every kind of bad value is met in tests/book and tests/runner."""
    option, said = REFUSED[fault]
    name, value = option.split("=")
    source = ROOT / "notebooks" / "01_sparse_attention.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "papermill", str(source), str(tmp_path / "out.ipynb"), "-p", name, value,
         "--no-progress-bar", "--cwd", str(ROOT / "notebooks")],
        capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert said in done.stderr
    executed = json.loads((tmp_path / "out.ipynb").read_text("utf-8"))
    assert not any(cell.get("id") == "product" and cell["outputs"] for cell in executed["cells"])
