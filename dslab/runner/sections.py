"""A part of a notebook by itself: with `section` given, only the cells that this section names run.

A notebook that offers sections declares them, `section: str = "all"  # what runs {all,train}`, and tags each code cell
that the section needs with `section-train`. A sweep then pays for the part that its question is about. The cells tagged
`setup`, `parameters` and `injected-parameters` always run. Standard library only.
"""

from __future__ import annotations

from typing import Any

NAME, ALL, TAG = "section", "all", "section-"
ALWAYS = {"setup", "parameters", "injected-parameters"}
SKIPPED = "dslab_skipped"  # in a cell's metadata: it belongs to no section that was asked for


def skip_others(notebook: Any, values: dict[str, Any]) -> int:
    """Mark the code cells outside the section that `values` asks for and take their outputs away. Returns how many.

    Raises ValueError where no cell carries the section's tag: nothing would run, and that would look like success.
    """
    section = values.get(NAME, ALL)
    if section == ALL:
        return 0
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if not any(TAG + section in _tags(cell) for cell in code):
        there = sorted({tag.removeprefix(TAG) for cell in code for tag in _tags(cell) if tag.startswith(TAG)})
        raise ValueError(
            f"no cell is tagged {TAG}{section}; sections of this notebook: {', '.join(there) or 'none'}, or {ALL}"
        )
    skipped = [cell for cell in code if not (_tags(cell) & (ALWAYS | {TAG + section}))]
    for cell in skipped:
        cell["metadata"][SKIPPED] = True
        cell["outputs"], cell["execution_count"] = [], None
    return len(skipped)


def is_skipped(cell: Any) -> bool:
    """Whether `skip_others` marked this cell."""
    return bool(cell["metadata"].get(SKIPPED))


def _tags(cell: Any) -> set[str]:
    return set(cell["metadata"].get("tags", []))
