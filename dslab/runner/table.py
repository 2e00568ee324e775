"""The table of a sweep: one row a point, made of the `row.json` files and of nothing else, as Parquet and as CSV."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dslab.runner import normalize

if TYPE_CHECKING:
    import pandas

PARQUET, CSV, COLUMNS = "results.parquet", "results.csv", "columns.json"
GROUPS = ("param.", "metric.", "claim.", "holds.")
NUMBERS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}  # what JSON has no number for
UNITS = {"seconds": "s", "peak_bytes": "bytes"}


def parts(folder: Path) -> list[dict[str, Any]]:
    """The rows that are there, in the order of their points. A file that holds no row counts as none."""
    rows = []
    for path in folder.glob("points/*/row.json"):
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # a crash of the whole machine may leave an empty file
            continue
        if isinstance(row, dict) and "point" in row and "index" in row:
            rows.append(row)
    return sorted(rows, key=lambda row: row["index"])


def frame(rows: Sequence[dict[str, Any]]) -> pandas.DataFrame:
    """Rows as a frame with one type a column: bool, int, float or text; missing where a point has no value."""
    import pandas

    return pandas.DataFrame({name: _column([row.get(name) for row in rows]) for name in _names(rows)})


def write(folder: Path, rows: Sequence[dict[str, Any]]) -> pandas.DataFrame:
    """Write both tables anew, each through a temporary name. Returns the frame."""
    whole = frame(rows)
    if len(whole):
        content = io.BytesIO()
        whole.to_parquet(content, index=False)
        normalize.write_bytes(folder / PARQUET, content.getvalue())
        normalize.write_text(folder / CSV, whole.to_csv(index=False, lineterminator="\n"))
    return whole


def read(folder: Path) -> pandas.DataFrame:
    """The frame of a sweep's folder: of its points, or where only a table was kept, of that.

    Raises FileNotFoundError where there is neither, ValueError where a table cannot be read.
    """
    import pandas

    rows = parts(folder)
    if rows:
        return frame(rows)
    for name, reader in ((PARQUET, pandas.read_parquet), (CSV, pandas.read_csv)):
        if (folder / name).is_file():
            try:
                return reader(folder / name)
            except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
                raise ValueError(f"{folder / name} cannot be read as a table: {error}") from None
    if (folder / "study.toml").is_file():
        raise FileNotFoundError(f"the sweep in {folder} has no finished point yet")
    raise FileNotFoundError(
        f"no sweep in {folder}: expected points/*/row.json, {PARQUET} or {CSV}; give the folder of a sweep"
    )


def units(folder: Path) -> dict[str, str]:
    """Column -> unit."""
    try:
        return UNITS | json.loads((folder / COLUMNS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return dict(UNITS)


def add_units(folder: Path, found: dict[str, str]) -> None:
    """Keep the units of a point's metrics."""
    known = units(folder)
    if not (folder / COLUMNS).is_file() or not found.items() <= known.items():
        text = json.dumps(known | found, ensure_ascii=False, indent=1, sort_keys=True)
        normalize.write_text(folder / COLUMNS, text + "\n")


def _names(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Every column once: what all rows have, then parameters, metrics, claims."""
    seen = list(dict.fromkeys(name for row in rows for name in row))
    return sorted(seen, key=lambda name: next((at for at, group in enumerate(GROUPS, 1) if name.startswith(group)), 0))


def _column(values: list[Any]) -> Any:
    import pandas

    there = [value for value in values if value is not None]
    if there and all(isinstance(value, bool) for value in there):
        return pandas.array(values, dtype="boolean")
    numbers = [NUMBERS.get(value, value) if isinstance(value, str) else value for value in values]
    kinds = {type(value) for value in numbers if value is not None}
    if kinds == {int} and all(abs(value) < 2**63 for value in there):
        return pandas.array(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pandas.array([float("nan") if value is None else float(value) for value in numbers], dtype="float64")
    return pandas.array([value if value is None else _text(value) for value in values], dtype="string")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
