"""Binder: what it builds, and that each notebook fits one core and 2 GB there."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dslab import bootstrap

ROOT = Path(bootstrap.__file__).parents[1]
LIMIT, PEAK = 2147483648, 1.7e9  # bytes of data a process may have; resident memory of all processes together


def test_binder_installs_the_lock_on_the_cpu_index_and_fetches_the_weights():
    requirements = (ROOT / "binder" / "requirements.txt").read_text()
    assert "-r ../requirements.lock" in requirements
    assert "https://download.pytorch.org/whl/cpu" in requirements
    assert (ROOT / "binder" / "runtime.txt").read_text().strip() == "python-3.11"
    assert "dslab fetch" in (ROOT / "binder" / "postBuild").read_text()
    assert os.name == "nt" or os.access(ROOT / "binder" / "postBuild", os.X_OK)


def resident_bytes(pid: int) -> tuple[int, int]:
    """Resident memory of a process and all its descendants: each page once, as a container counts it; and their RSS.

    A file's pages (libraries, weights that are mapped) count once however many of them map it. The kernel's own share
    of a page (PSS) would not do: it falls when a program outside maps the same library.
    """
    psutil = pytest.importorskip("psutil")
    own = rss = 0
    files: dict[str, int] = {}
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                for area in member.memory_maps(grouped=True):
                    own += area.anonymous
                    rss += area.rss
                    files[area.path] = max(files.get(area.path, 0), area.rss - area.anonymous)
    return own + sum(files.values()), rss


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    not (shutil.which("prlimit") and shutil.which("taskset")), reason="needs prlimit and taskset (Linux)"
)
@pytest.mark.parametrize("number", ["00", "01", "02", "03", "04", "05"])
def test_a_notebook_fits_binder(number, tmp_path):
    found = sorted((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    if not found:
        pytest.skip(f"notebook {number} does not exist yet")
    command = ["taskset", "-c", "0", "prlimit", f"--data={LIMIT}", sys.executable, "-m", "papermill", "-k", "python3",
               "--no-progress-bar", "--cwd", str(tmp_path), str(found[0]), str(tmp_path / "out.ipynb")]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peaks = [(0, 0)]

    def watch() -> None:
        while child.poll() is None:
            peaks.append(resident_bytes(child.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = child.communicate()
    watcher.join()
    assert child.returncode == 0, said[-3000:]
    peak, rss = (max(values) for values in zip(*peaks, strict=True))
    print(f"notebook {number}: peak {peak / 1e9:.2f} GB, {rss / 1e9:.2f} GB with shared pages once for each process")
    assert 0.05e9 < peak <= PEAK
