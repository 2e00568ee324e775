"""`page` in a real kernel: history, explorers with both generations of ipywidgets, a learner's own cells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from book_cells import CELL
from nbclient.exceptions import CellExecutionError

START = 'from dslab.book import page\npage.start("none", globals(), torch=False)'
DRAW = """
import matplotlib.pyplot as plt

def draw(window, mask):
    if window == 13:
        raise ValueError("thirteen is <unlucky>")
    fig, ax = plt.subplots()
    ax.plot([0, window], label=mask)
    ax.set(xlabel="x", ylabel="y")
    return fig

page.explore(
    draw, name="lines", alt="A line that rises to the window: the wider the window, the steeper it stands.",
    controls={"window": page.slider(1, 64, value=4), "mask": page.choice("local", "all")},
    samples=[{"window": 2, "mask": "local"}, {"window": 8, "mask": "local"}, {"window": 64, "mask": "all"}],
)
"""
# What a browser would do: move the slider; then look at what the widget shows.
MOVE = """
from ipywidgets.widgets import widget as module
live = list((getattr(module, "_instances", None) or module.Widget.widgets).values())
slider = next(w for w in live if type(w).__name__ == "IntSlider")
stage = next(w for w in live if type(w).__name__ == "HTML")
before = stage.value
slider.value = 30
moved = stage.value
slider.value = 13
failed = stage.value
slider.value = 5
print(before != moved, "Now: window = 30, mask = local." in moved, "data:image/png" in moved)
print(failed)
print("data:image/png" in stage.value, len(plt.get_fignums()))
"""

# What a learner does: answer question 1 wrong, the others right.
QUIZ = """
from types import SimpleNamespace
from dslab.book import quiz
questions = [
    SimpleNamespace(ask=f"{n}?", options=("a", "b <c>"), right=1, because="so", advice=f"Read {n}.") for n in "123"
]
quiz.ask(questions, "Read on.")
from ipywidgets.widgets import widget as module
live = list((getattr(module, "_instances", None) or module.Widget.widgets).values())
groups = [w for w in live if type(w).__name__ == "RadioButtons"]
groups[1].value = groups[2].value = 1
left = [w.value for w in live if type(w).__name__ == "HTML"][-1]
groups[0].value = 0
print(left, [w.value for w in live if type(w).__name__ == "HTML"][-1])
"""


def execute(*cells: str, python: str = sys.executable, **env: str) -> list[list[Any]]:
    """Run cells in a fresh kernel of that Python; the outputs of each."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class Manager(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    environment = {key: value for key, value in os.environ.items() if key != "DSLAB_HEADLESS"}
    client = nbclient.NotebookClient(notebook, timeout=60, kernel_manager_class=Manager)
    client.execute(env={**environment, "OMP_NUM_THREADS": "1", **env})
    return [cell.outputs for cell in notebook.cells]


def text(outputs: list[Any]) -> str:
    return "".join(output.get("text", "") for output in outputs)


def assert_explorer_lives(python: str = sys.executable) -> None:
    explorer, moved, asked = execute(CELL, START, DRAW, MOVE, QUIZ, python=python)[2:]
    (bundle,) = explorer
    assert set(bundle.data) == {
        "text/plain", "image/png", "application/vnd.jupyter.widget-view+json", "application/vnd.dslab.figure+json",
    }  # fmt: skip
    view = bundle.data["application/vnd.jupyter.widget-view+json"]
    assert (view["version_major"], view["version_minor"]) == (2, 0)
    assert len(view["model_id"]) == 32
    assert bundle.metadata["image/png"]["alt"].startswith("A line that rises")
    first, failed, last = text(moved).splitlines()
    assert first == "True True True"
    assert "Cannot draw this: ValueError: thirteen is &lt;unlucky&gt;" in failed
    assert last == "True 0"  # drawn again after the failure, and no figure left open
    static = next(output.data for output in asked if output.output_type == "display_data")
    assert "application/vnd.jupyter.widget-view+json" in static
    assert "<li>b &lt;c&gt;</li>" in static["text/html"]
    assert "1 of 3 questions left." in text(asked)
    assert "2 of 3 right. Read 1." in text(asked)


def test_an_explorer_lives_in_a_kernel() -> None:
    assert_explorer_lives()


def test_headless_and_without_ipywidgets_an_explorer_is_a_picture() -> None:
    hide = "import sys\nsys.modules['ipywidgets'] = None"
    for outputs in (execute(CELL, START, DRAW, DSLAB_HEADLESS="1")[2], execute(hide, CELL, START, DRAW)[3]):
        (bundle,) = outputs
        assert set(bundle.data) == {"text/plain", "image/png", "application/vnd.dslab.figure+json"}


@pytest.mark.slow
def test_an_explorer_lives_with_the_ipywidgets_of_colab(tmp_path: Path) -> None:
    """ipywidgets 7.7.1 in an environment of its own; `dslab` is taken from this checkout."""
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    wanted = ["ipywidgets==7.7.1", "ipykernel", "matplotlib", "numpy", "psutil"]
    pip = subprocess.run([python, "-m", "pip", "install", "-q", *wanted], capture_output=True, text=True)
    if pip.returncode:
        pytest.skip(f"ipywidgets 7.7.1 cannot be installed here: {pip.stderr.strip()[-200:]}")
    root = Path(__file__).resolve().parents[2]
    packages = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[-1])"], capture_output=True, text=True, check=True
    )
    (Path(packages.stdout.strip()) / "dslab.pth").write_text(str(root), encoding="utf-8")
    assert_explorer_lives(str(python))


def test_papermills_unknown_parameter_is_refused_shortly() -> None:
    with pytest.raises(CellExecutionError) as caught:
        execute(CELL, "# Parameters\nwindwo = 8\n", START)
    assert caught.value.ename == "RefusedParameter"
    assert "did you mean 'window'" in caught.value.evalue
    assert "Traceback" not in str(caught.value)  # one message, no page of frames


def test_a_live_default_is_the_specification_and_the_injected_value_is_checked() -> None:
    wider = CELL.replace("[1..64]", "[1..4096]")
    outputs = execute(wider, "# Parameters\nwindow = 2048\n", START)
    environment = outputs[2][0].data["application/vnd.dslab.environment+json"]
    assert environment["parameters"]["window"] == 2048
    with pytest.raises(CellExecutionError, match="window must be an int"):
        execute(CELL, "# Parameters\nwindow = 2048\n", START)


def test_exercises_in_a_learners_cells() -> None:
    page_cell = "from dslab.exercises.n00 import score_bytes as exercise"
    stub = "def mine(B, H, L, dtype):\n    ..."
    bug = "def mine(B, H, L, dtype):\n    size = B * H\n    return size[L]"
    wrong = "def mine(B, H, L, dtype):\n    return B * H * L * {'fp32': 4}.get(dtype, 2)"
    right = "def mine(B, H, L, dtype):\n    return B * H * L * L * {'fp32': 4}.get(dtype, 2)"
    check = "page.check(exercise, mine)"
    hints = "for _ in range(4):\n    page.hint(exercise)\npage.hint(exercise, 1)\npage.solution(exercise)"
    cells = [CELL, START, page_cell, stub, check, bug, check, wrong, check, right, check, hints]
    outputs = execute(*cells)
    told = [out[0].data["application/vnd.dslab.exercise+json"] for out in (outputs[i] for i in (4, 6, 8, 10))]
    assert [exercise["state"] for exercise in told] == ["todo", "wrong", "wrong", "right"]
    assert told[0] == {"name": "score_bytes", "state": "todo", "diagnosis": None}
    assert "TypeError in line 3 of your code, `return size[L]`" in told[1]["diagnosis"]
    assert "L x L" in told[2]["diagnosis"]
    shown = [output.data["text/plain"] for output in outputs[11]]
    assert [line.split(".")[0] for line in shown[:5]] == [f"score_bytes: Hint {n} of 3" for n in (1, 2, 3, 3, 1)]
    assert "That is the last hint" in shown[2]
    assert "<details>" in outputs[11][5].data["text/html"]
    assert "bytes_per_number" in outputs[11][5].data["text/html"]
