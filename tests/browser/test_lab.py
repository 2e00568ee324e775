"""A reader in a real JupyterLab: open notebook 01, run all of it, move the explorer's slider, see the figure change."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("DSLAB_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
READY = """async () => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  if (!panel?.sessionContext) return false;
  await panel.context.ready; await panel.sessionContext.ready;
  return panel.sessionContext.session?.kernel?.status === 'idle' }"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH, and DSLAB_BROWSER is not set"),
]


def smoke_copy(folder: Path) -> None:
    """Notebook 01 as a reader gets it, but for its profile: this test is about the page, not about the numbers."""
    text = (ROOT / "notebooks" / "01_sparse_attention.ipynb").read_text("utf-8")
    nb = json.loads(text)
    for cell in nb["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = "".join(cell["source"]).replace('profile: str = "quick"', 'profile: str = "smoke"')
        cell.pop("outputs", None) if cell["cell_type"] != "code" else cell.update(outputs=[], execution_count=None)
    (folder / "01_sparse_attention.ipynb").write_text(json.dumps(nb), encoding="utf-8")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab over the copy: loopback only, its own settings folders, no news."""
    served = tmp_path / "served"
    served.mkdir()
    smoke_copy(served)
    # No questions about news; and cells out of sight stay in the page, where the test can look at them.
    for name, value in (
        ("apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False}),
        ("notebook-extension/tracker", {"windowingMode": "none"}),
    ):
        settings = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(value), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {
        name: str(tmp_path / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    environment = dict(os.environ, JUPYTERLAB_SETTINGS_DIR=str(tmp_path / "settings"), **folders)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
        "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--ServerApp.root_dir={served}",
        "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    log = (tmp_path / "lab.log").open("wb")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(base + "/api/status", server, tmp_path / "lab.log")
        yield base
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        server.kill()
        log.close()


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text("utf-8")
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address, timeout=2):
            return
        time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not answer within {seconds:.0f} s:\n{log.read_text('utf-8')}")


def explorer_image(page: Any) -> Any:
    """The picture beside the explorer's sliders."""
    return page.locator(".jp-OutputArea-output:has(.widget-slider) img").first


def test_run_all_and_move_the_slider(lab: str, tmp_path: Path) -> None:
    with playwright.sync_playwright() as tool:
        context = tool.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=BROWSER, headless=True, args=FLAGS,
            viewport={"width": 1280, "height": 1000},
        )  # fmt: skip
        page = context.pages[0]
        page.goto(f"{lab}/doc/tree/01_sparse_attention.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        page.wait_for_function(READY, timeout=60_000)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        playwright.expect(page.get_by_text(re.compile(r"· peak memory \d"))).to_be_visible(timeout=150_000)

        slider = page.locator(".widget-slider .noUi-target").first
        slider.scroll_into_view_if_needed()
        before = explorer_image(page).get_attribute("src")
        handle, track = page.locator(".widget-slider .noUi-handle").first.bounding_box(), slider.bounding_box()
        assert handle
        assert track
        height = handle["y"] + handle["height"] / 2
        page.mouse.move(handle["x"] + handle["width"] / 2, height)
        page.mouse.down()
        page.mouse.move(track["x"] + track["width"] * 0.8, height, steps=8)
        page.mouse.up()
        playwright.expect(explorer_image(page)).not_to_have_attribute("src", before or "", timeout=30_000)
        assert explorer_image(page).get_attribute("alt"), "a picture without words"

        assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
        page.screenshot(path=tmp_path / "explorer.png")
        context.close()
