"""The rules of the house, read off the imports: topics know neither book nor runner, and these know no topic."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dslab"
TOPICS = {"attention", "precision", "privacy", "dedup", "clean", "lora", "training", "inference", "models"} & {
    folder.name for folder in PACKAGE.iterdir() if folder.is_dir()
}
FORBIDDEN = {
    **{topic: {"book", "runner", "exercises", "bench"} for topic in TOPICS},
    "book": TOPICS | {"exercises", "bench"},
    "runner": TOPICS | {"exercises", "bench"},
    "exercises": {"book", "runner", "bench"},
}


def rooms_imported(path: Path) -> set[str]:
    """The folders of dslab that a file imports from, wherever in the file."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        rooms |= {name.split(".")[1] for name in names if name.startswith("dslab.")}
    return rooms


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_rooms_keep_to_themselves(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        trespass = rooms_imported(path) & FORBIDDEN[room]
        assert not trespass, f"{path.relative_to(PACKAGE)} imports dslab.{', dslab.'.join(sorted(trespass))}"


def test_files_hold_one_idea() -> None:
    """60 to 250 lines is the aim; past 320 a file has become two."""
    lengths = {str(p.relative_to(PACKAGE)): len(p.read_text("utf-8").splitlines()) for p in PACKAGE.rglob("*.py")}
    long = {name: lines for name, lines in lengths.items() if lines > 320}
    assert not long, f"split these: {long}"


def test_help_needs_no_torch() -> None:
    """The command line imports its rooms only when they are needed."""
    top_level = ast.parse((PACKAGE / "cli.py").read_text(encoding="utf-8")).body
    imported = {alias.name for node in top_level if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in top_level if isinstance(node, ast.ImportFrom)}
    assert not {name for name in imported if name.split(".")[0] in {"torch", "transformers", "matplotlib", "papermill"}}
