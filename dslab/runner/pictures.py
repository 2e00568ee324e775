"""Pictures outside the notebooks, such as README's: copies of saved figures, kept equal by `dslab build`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dslab.paths import data_dir

FIGURE = "application/vnd.dslab.figure+json"


def refresh(notebook: Path, executed: Mapping[str, Any]) -> list[str]:
    """Rewrite `data/figures/NN_NAME.png` from figure NAME of notebook NN. Returns the names of files that changed.

    A file is made once by hand (even empty); from then on it follows its notebook.
    Raises ValueError where the notebook has no figure of that name any more.
    """
    number = notebook.name.split("_", 1)[0]
    figures = {
        output["data"][FIGURE]["name"]: base64.b64decode("".join(output["data"]["image/png"]))
        for cell in executed["cells"]
        for output in cell.get("outputs", [])
        if FIGURE in output.get("data", {})
    }
    changed = []
    for path in sorted((data_dir() / "figures").glob(f"{number}_*.png")):
        name = path.stem.split("_", 1)[1]
        if name not in figures:
            raise ValueError(f"{path.name} shows figure {name!r}; {notebook.name} has only {sorted(figures)}")
        if path.read_bytes() != figures[name]:
            path.write_bytes(figures[name])
            changed.append(path.name)
    return changed
