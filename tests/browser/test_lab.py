"""A reader in a real JupyterLab: open a notebook, run all of it, move a control of its explorer, see the output change.

Notebook 01 every time; the others, which take longer, with the slow tests.
"""

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
from collections.abc import Callable, Iterator
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
    pytest.mark.timeout(600),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH, and DSLAB_BROWSER is not set"),
]


def smoke_copy(name: str, folder: Path) -> None:
    """A notebook as a reader gets it, but for its profile: this test is about the page, not about the numbers."""
    nb = json.loads((ROOT / "notebooks" / name).read_text("utf-8"))
    for cell in nb["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = "".join(cell["source"]).replace('profile: str = "quick"', 'profile: str = "smoke"')
        cell.pop("outputs", None) if cell["cell_type"] != "code" else cell.update(outputs=[], execution_count=None)
    (folder / name).write_text(json.dumps(nb), encoding="utf-8")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab over the folder `served`: loopback only, its own settings folders, no news."""
    served = tmp_path / "served"
    served.mkdir()
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


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text("utf-8")
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address, timeout=2):
            return
        time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not answer within {seconds:.0f} s:\n{log.read_text('utf-8')}")


def drag(page: Any, explorer: Any) -> None:
    """Take the first slider's handle to a third of its track; the picture is drawn anew, and says its settings."""
    slider, picture = explorer.locator(".widget-slider").first, explorer.locator("img")
    before = picture.get_attribute("src")
    handle, track = (slider.locator(part).bounding_box() for part in (".noUi-handle", ".noUi-target"))
    height = handle["y"] + handle["height"] / 2
    page.mouse.move(handle["x"] + handle["width"] / 2, height)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.35, height, steps=8)
    page.mouse.up()
    see_another_picture(picture, before)


def choose(page: Any, explorer: Any) -> None:
    """Another entry of the first list, then the slider as well."""
    picture = explorer.locator("img")
    before = picture.get_attribute("src")
    explorer.locator("select").first.select_option(index=1)
    see_another_picture(picture, before)
    drag(page, explorer)


def write(page: Any, explorer: Any) -> None:
    """A text of the reader's own: once the field is left, its address is masked, and by another way when asked."""
    shown = explorer.locator(".widget-html-content").last
    explorer.locator("textarea").fill("Write to li.wei@corp-77.com today")
    explorer.locator("textarea").press("Tab")
    playwright.expect(shown).to_contain_text("<EMAIL>", timeout=30_000)
    playwright.expect(shown).to_contain_text("today")
    explorer.locator("select").last.select_option("partial")
    playwright.expect(shown).not_to_contain_text("<EMAIL>", timeout=30_000)


def see_another_picture(picture: Any, before: str) -> None:
    playwright.expect(picture).not_to_have_attribute("src", before, timeout=30_000)
    assert "Now: " in picture.get_attribute("alt"), "a picture without words"


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("01_sparse_attention.ipynb", drag),
        pytest.param("02_mixed_precision.ipynb", choose, marks=pytest.mark.slow),
        pytest.param("03_data_cleaning.ipynb", write, marks=pytest.mark.slow),
        pytest.param("04_lora.ipynb", choose, marks=pytest.mark.slow),
        pytest.param("05_kv_cache.ipynb", drag, marks=pytest.mark.slow),
    ],
)
def test_run_all_and_move_a_control(name: str, move: Callable[[Any, Any], None], lab: str, tmp_path: Path) -> None:
    smoke_copy(name, tmp_path / "served")
    with playwright.sync_playwright() as tool:
        context = tool.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=BROWSER, headless=True, args=FLAGS,
            viewport={"width": 1280, "height": 1000},
        )  # fmt: skip
        page = context.pages[0]
        page.goto(f"{lab}/doc/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)
        page.wait_for_function(READY, timeout=120_000)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        playwright.expect(page.get_by_text(re.compile(r"· peak memory \d"))).to_be_visible(timeout=400_000)

        explorer = page.locator(".jp-OutputArea-output:has(.widget-html)").first
        explorer.scroll_into_view_if_needed()
        move(page, explorer)
        assert explorer.get_by_role("alert").count() == 0, "a setting that cannot be drawn"

        for kind in ("error", "stderr"):
            assert page.locator(f'.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.{kind}"]').count() == 0
        page.screenshot(path=tmp_path / "explorer.png")
        context.close()
