"""The real ledger against the real notebooks."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from dslab import paths
from dslab.book.claims import load_ledger
from dslab.book.overview import _REPOSITORY, article_claims, notebooks
from dslab.runner import parameters, selection

ROOT = paths.checkout() or Path()
NOTEBOOKS = [*selection.collection(), *selection.studies()]
LEDGER = load_ledger()


def claimed(path: Path) -> set[str]:
    """Ids that the notebook's cells pass to `page.claim`; only literal ones can be traced to the ledger."""
    found: set[str] = set()
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] != "code" or "page.claim" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "page.claim":
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{path.name}, {cell['id']}: page.claim needs a literal id"
                found.add(first.value)
    return found


def where_claimed(notebooks: list[Path]) -> dict[str, list[str]]:
    where: dict[str, list[str]] = defaultdict(list)
    for path in notebooks:
        for claim_id in claimed(path):
            where[claim_id].append(path.name[:2])
    return where


def test_every_measured_claim_is_measured_by_its_notebook_alone() -> None:
    where = where_claimed(NOTEBOOKS)
    faults = [
        f"{claim.id}: measured in {where.get(claim.id, [])}, belongs to {claim.notebook}"
        for claim in LEDGER
        if claim.kind != "documented" and not claim.planned and where.get(claim.id, []) != [claim.notebook]
    ]
    assert not faults, "\n".join(faults)


def test_every_measured_id_has_an_entry() -> None:
    known = {claim.id for claim in LEDGER if claim.kind != "documented"}
    assert set(where_claimed(NOTEBOOKS)) <= known


def test_planned_means_that_the_notebook_does_not_exist() -> None:
    there = {path.name[:2] for path in NOTEBOOKS}
    faults = [claim.id for claim in LEDGER if claim.planned == (claim.notebook in there)]
    assert not faults, f"planned is true exactly where the notebook does not exist; not so for {', '.join(faults)}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_claims_depend_on_parameters_of_their_notebook(path: Path) -> None:
    names = {parameter.name for parameter in parameters.from_notebook(path)}
    assert {"seed", "device", "profile"} <= names
    for claim in LEDGER:
        if claim.notebook == path.name[:2]:
            assert set(claim.depends_on) <= names, claim.id


def test_ids_tell_where_a_claim_comes_from() -> None:
    for claim in LEDGER:
        prefix = claim.id.split(".")[0]
        assert prefix in {"article", "snippet", "added"} or prefix == claim.notebook, claim.id


def test_the_thirty_facts_are_all_there() -> None:
    kinds = Counter(claim.id.split(".")[0] for claim in LEDGER if claim.kind == "documented")
    assert (kinds["article"], kinds["snippet"], kinds["added"]) == (21, 6, 3)
    assert len(article_claims(LEDGER)) == 27


def test_sources_can_be_found_again() -> None:
    for claim in LEDGER:
        for source in claim.evidence:
            if source.startswith("github:"):
                assert _REPOSITORY.match(source), f"{claim.id}: {source}"


def test_the_map_of_notebooks_is_complete() -> None:
    entries = notebooks()
    numbers = [entry["number"] for entry in entries]
    assert numbers == [f"{number:02d}" for number in range(12)]
    studied = {path.stem.split("_")[0] for path in selection.studies()}
    assert {claim.notebook for claim in LEDGER} <= set(numbers) | studied
    stems = {entry["stem"] for entry in entries}
    assert {path.stem for path in selection.collection()} <= stems
    assert all(re.fullmatch(rf"{entry['number']}_[a-z_]+", entry["stem"]) for entry in entries)
