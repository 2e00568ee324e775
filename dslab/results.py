"""The results of sweeps, for a notebook of one's own: `from dslab import results; results.load("sweeps/…")`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from dslab.runner import table

if TYPE_CHECKING:
    import pandas

SHORT = ("param.", "metric.")


def load(folder: str | Path) -> pandas.DataFrame:
    """One row a finished point of the sweep in `folder`, also while it runs; failed ones too: look at `status`.

    Parameters and metrics go by their names (`rank`, `accuracy`); where one name means two things, both keep their
    prefix (`param.`, `metric.`). Claims are `claim.<id>`, what was measured, and `holds.<id>`. seconds in s, peak_bytes
    in bytes; `columns.json` beside the table has the metrics' units.
    Raises FileNotFoundError where there is no sweep or no finished point, ValueError for a broken table.

    >>> load("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: no sweep in nowhere: there is no such folder
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"no sweep in {folder}: there is no such folder")
    whole = table.read(path)
    if "param.seed" in whole:  # the column `seed` says the same
        whole = whole.drop(columns="param.seed")
    return whole.rename(columns=_short(list(whole.columns)))


def _short(columns: list[str]) -> dict[str, str]:
    bare = {name: name.split(".", 1)[1] for name in columns if name.startswith(SHORT)}
    taken = Counter([*bare.values(), *(name for name in columns if name not in bare)])
    return {name: short for name, short in bare.items() if taken[short] == 1}
