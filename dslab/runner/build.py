"""`dslab build`: execute notebooks at their defaults and save the outputs in place, in normal form.

`--check` executes them too, writes nothing, and says which saved outputs no longer are what the code shows.
"""

from __future__ import annotations

import importlib
import json
import struct
import tempfile
import tomllib
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from dslab import paths
from dslab.runner import execute, normalize, parameters, pictures, report, results, selection
from dslab.runner.display import Follow
from dslab.runner.run import DEFAULT_TIMEOUT

BADGES = ("<!-- badges -->", "<!-- /badges -->")
# What these outputs hold depends on the machine or the moment; a check asks only that they are there.
MACHINE_KINDS = (normalize.ENVIRONMENT, f"{results.PREFIX}footer+json")
BINARY_IMAGES = ("image/png", "image/jpeg", "image/gif")


def build(names: Sequence[str] = (), *, check: bool = False, jobs: int = 1, timeout: float = DEFAULT_TIMEOUT) -> int:
    """Execute and save (or check) notebooks. Returns 0, 1 (a cell failed, or something is stale) or 130.

    A notebook that fails is left as it was. Raises selection.Refused or parameters.ParameterError for bad input.
    """
    if jobs < 1 or timeout <= 0:
        raise selection.Refused(f"--jobs must be at least 1 and --timeout above 0; got {jobs} and {timeout:g}")
    notebooks = selection.find(names)
    specifications = [parameters.from_notebook(notebook) for notebook in notebooks]
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="dslab-build-") as folder:
        # Sources are prepared first (badges, set-up cell), so that what is executed is what is saved.
        tasks = []
        for notebook, specification in zip(notebooks, specifications, strict=True):
            prepared = prepare(json.loads(notebook.read_text(encoding="utf-8")), notebook, specification)
            source = Path(folder) / "source" / notebook.name
            source.parent.mkdir(exist_ok=True)
            source.write_text(json.dumps(prepared), encoding="utf-8")
            out = Path(folder) / notebook.name
            tasks.append(execute.Task(source, out, timeout=timeout, cwd=notebook.parent))
        with Follow(tasks, console) as follow:
            outcomes, interrupted = execute.run_all(tasks, jobs, follow)
        said: list[str] = []
        for notebook, outcome in zip(notebooks, outcomes, strict=True):
            said += _finish(notebook, outcome, check, console)
    if not check and not said and not interrupted:
        _refresh_readme()
    for line in said:
        console.print(escape(line), soft_wrap=True)
    return 130 if interrupted else int(bool(said))


def _finish(notebook: Path, outcome: execute.Outcome, check: bool, console: Console) -> list[str]:
    """Save or check one executed notebook. Returns what is wrong, a line each."""
    if outcome.status != "passed":
        error = outcome.error or {"name": "", "message": "", "id": ""}
        message = report.one_line(f"{error['name']}: {error['message']}", 1000)
        where = f" at {error['id']}" if error["id"] else ""
        return [f"{notebook.name}: {report.STATUS_WORDS[outcome.status]}{where}; left as it was. {message}"]
    found = results.collect(outcome.task.out)
    failed = [claim["id"] for claim in results.failed_claims(found, strict=False)]
    if failed:
        return [f"{notebook.name}: claim {', '.join(failed)} failed; left as it was"]
    try:
        fresh = normalize.normalize(json.loads(outcome.task.out.read_text(encoding="utf-8")))
    except normalize.MachinePathError as error:
        return [f"{notebook.name}: {error}; left as it was"]
    if check:
        reasons = stale(json.loads(notebook.read_text(encoding="utf-8")), fresh)
        return [f"{notebook.name}: stale, {reason}" for reason in reasons]
    text = normalize.dumps(fresh)
    changed = notebook.read_text(encoding="utf-8") != text
    if changed:
        normalize.write_text(notebook, text)
    console.print(f"{notebook.name}: {'saved' if changed else 'unchanged'}")
    if notebook in selection.collection():
        for picture in pictures.refresh(notebook, fresh):
            console.print(f"{picture}: saved")
    return []


def prepare(notebook: dict[str, Any], path: Path, specification: Sequence[parameters.Parameter]) -> dict[str, Any]:
    """The source to execute: badges and set-up cell as they must be, the parameters' specification in the metadata."""
    in_collection = path.parent == (paths.checkout() or Path()) / "notebooks"
    setup = _setup_cell()
    for cell in notebook["cells"]:
        if normalize.has_tag(cell, "setup") and cell["cell_type"] == "code" and setup:
            cell["source"] = setup
    first = next((cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"), None)
    if in_collection and first is not None:
        first["source"] = with_badges(normalize.text_of(first["source"]), badges(path.name))
    if specification:
        own = notebook["metadata"].setdefault("dslab", {})
        own["parameters"] = [parameter.as_dict() for parameter in specification]
    return notebook


def _setup_cell() -> str | None:
    try:
        text = getattr(importlib.import_module("dslab.bootstrap"), "SETUP_CELL", None)
    except ModuleNotFoundError:
        return None
    return text.strip() if text else None


def badges(name: str) -> str:
    """Colab and Binder badges of a notebook of the collection; empty where the repository is not on GitHub."""
    root = paths.checkout()
    if root is None:
        return ""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Repository", "").rstrip("/").removesuffix(".git")
    if not address.startswith("https://github.com/"):
        return ""
    repository = address.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}"
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/notebooks/{name}"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})\n"
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def _refresh_readme() -> None:
    """Fill README's badge region, if it has one: its badges open the first notebook with something to run."""
    root = paths.checkout()
    if root is None or not (root / "README.md").is_file():
        return
    text = (root / "README.md").read_text(encoding="utf-8")
    fresh = with_badges(text, badges("01_sparse_attention.ipynb")) if BADGES[0] in text else text
    if fresh != text:
        normalize.write_text(root / "README.md", fresh)


def with_badges(text: str, lines: str) -> str:
    """The text with its badge region filled; one without a region gets it after the title line.

    >>> with_badges("# Title\\n\\nText", "[b](c)")
    '# Title\\n\\n<!-- badges -->\\n[b](c)\\n<!-- /badges -->\\n\\nText'
    """
    if not lines:
        return text
    region = f"{BADGES[0]}\n{lines}\n{BADGES[1]}"
    before, opening, rest = text.partition(BADGES[0])
    if opening:
        _, closing, after = rest.partition(BADGES[1])
        if not closing:
            raise selection.Refused(f"the first cell opens {BADGES[0]} but never closes it with {BADGES[1]}")
        return before + region + after
    title, _, body = text.partition("\n")
    return f"{title}\n\n{region}\n\n{body.lstrip()}".rstrip()


def stale(saved: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    """Why the saved notebook is not what building it now would give, a reason a cell; [] where it is up to date.

    Outputs of cells tagged `timing` are not compared; images are compared by presence and size in pixels.
    """
    reasons: list[str] = []
    for key in ("metadata", "nbformat_minor"):
        if saved.get(key) != fresh[key]:
            reasons.append(f"its {key.split('_')[0]} is not as built; run dslab build")
    if [cell.get("id") for cell in saved["cells"]] != [cell["id"] for cell in fresh["cells"]]:
        return [*reasons, "its cells have other ids; run dslab build"]
    for old, new in zip(saved["cells"], fresh["cells"], strict=True):
        where = f"cell {new['id']}"
        if normalize.text_of(old["source"]) != new["source"]:
            reasons.append(f"{where}: its badges, set-up text or source differ")
        elif new["cell_type"] == "code" and not normalize.has_tag(new, "timing"):
            was, now = ([_comparable(output) for output in cell["outputs"]] for cell in (old, new))
            if old.get("execution_count") is None and new["execution_count"] is not None:
                reasons.append(f"{where}: saved without being run")
            elif was != now:
                reasons.append(f"{where}: {_difference(was, now)}")
    return reasons


def _comparable(output: dict[str, Any]) -> dict[str, Any]:
    """An output without its execution count, with images as sizes and machine facts as nothing."""
    kept = {key: value for key, value in output.items() if key not in ("execution_count", "metadata")}
    if "text" in kept:
        kept["text"] = normalize.text_of(kept["text"])
    if "data" in kept:
        if set(MACHINE_KINDS) & set(kept["data"]):
            return {"output_type": kept["output_type"], "kinds": sorted(kept["data"])}
        kept["data"] = {mime: _comparable_data(mime, value) for mime, value in kept["data"].items()}
    return kept


def _comparable_data(mime: str, value: Any) -> Any:
    if mime == "image/png":
        return f"{mime} of {'{} x {}'.format(*struct.unpack('>II', b64decode(normalize.text_of(value))[16:24]))} pixels"
    if mime in BINARY_IMAGES:
        return f"{mime} image"
    return normalize.text_of(value) if isinstance(value, str | list) and not mime.endswith("json") else value


def _difference(was: list[dict[str, Any]], now: list[dict[str, Any]]) -> str:
    if len(was) != len(now):
        return f"{len(was)} outputs saved, {len(now)} now"
    old, new = next((old, new) for old, new in zip(was, now, strict=True) if old != new)
    old, new = (_flat(output) for output in (old, new))
    keys = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    shown = (report.one_line(str(output.get(keys[0], "nothing")), 120) for output in (old, new))
    return "{} was {!r}, is {!r}".format(keys[0], *shown)


def _flat(output: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in output.items() if key != "data"} | output.get("data", {})
