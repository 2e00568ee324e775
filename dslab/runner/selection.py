"""Which notebooks a command means, and with which values: everything that can be refused before a kernel starts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dslab import paths
from dslab.runner import parameters


class Refused(ValueError):
    """Input that is refused; commands print the message and leave with exit code 2."""


def notebooks_dir() -> Path:
    """The collection's folder: of the checkout, else `notebooks/` here. Raises Refused where there is neither."""
    root = paths.checkout() or Path.cwd()
    folder = root / "notebooks"
    if not folder.is_dir():
        raise Refused(
            f"no notebooks folder at {folder}; run this in a checkout of dslab, or name a notebook by its path"
        )
    return folder


def collection() -> list[Path]:
    """The numbered notebooks of the collection, in order."""
    return sorted(notebooks_dir().glob("[0-9][0-9]_*.ipynb"))


def studies() -> list[Path]:
    """Worked studies by sweep, `s1_….ipynb`, in order: found by name, but not part of a run of everything."""
    return sorted((notebooks_dir() / "studies").glob("s[0-9]_*.ipynb"))


def find(names: Sequence[str]) -> list[Path]:
    """The notebooks that names mean: a number, a stem, a path, or a folder of notebooks; none means the collection.

    Raises Refused naming what was not found, the nearest valid name and the list.
    """
    if not names:
        found = collection()
        if not found:
            raise Refused(f"no numbered notebooks in {notebooks_dir()}; name a notebook by its path")
        return found
    paths_found: list[Path] = []
    for name in names:
        for path in _find_one(name):
            if path not in paths_found:
                paths_found.append(path)
    stems = [path.stem for path in paths_found]
    for path in paths_found:
        if stems.count(path.stem) > 1:
            same = ", ".join(str(other) for other in paths_found if other.stem == path.stem)
            raise Refused(f"two notebooks are called {path.stem} ({same}); their results would overwrite each other")
    return paths_found


def _find_one(name: str) -> list[Path]:
    given = Path(name).expanduser()
    if given.suffix == ".ipynb" or given.is_dir():
        if given.is_dir():
            inside = sorted(path.resolve() for path in given.glob("*.ipynb"))
            if not inside:
                raise Refused(f"no notebooks (*.ipynb) in the folder {given}")
            return inside
        if given.is_file():
            _check_language(given)
            return [given.resolve()]
        if given.parent != Path("."):
            raise Refused(f"no notebook at {given}")
    stem = given.name.removesuffix(".ipynb")
    known = [*collection(), *studies()]
    wanted = stem.zfill(2) if stem.isdigit() else stem
    matches = [path for path in known if wanted in (path.stem, path.stem[:2])]
    if matches:
        return matches
    stems = [path.stem for path in known]
    near = difflib.get_close_matches(stem, [*stems, *(s[3:] for s in stems)], n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise Refused(
        f"no notebook {name!r}{hint}; there are: {', '.join(stems) or 'none yet'}; or give a path to an .ipynb"
    )


def _check_language(path: Path) -> None:
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{path} is not a notebook in format 4 ({type(error).__name__}: {error})") from None
    language = (metadata.get("kernelspec") or {}).get("language") or (metadata.get("language_info") or {}).get("name")
    if language and language.lower() != "python":
        raise Refused(f"{path} is a {language} notebook; dslab runs Python notebooks only")


def given_values(options: Sequence[str], profile: str | None = None) -> dict[str, str]:
    """`-p name=value` options, and `--profile`, as texts by name. Raises Refused for a malformed or repeated one."""
    texts: dict[str, str] = {}
    for option in [*options, *([f"profile={profile}"] if profile is not None else [])]:
        name, equals, text = option.partition("=")
        if not equals or not name.strip().isidentifier():
            raise Refused(f"-p takes name=value, as in -p seed=3; got {option!r}")
        if name.strip() in texts and texts[name.strip()] != text:
            raise Refused(f"parameter {name.strip()} is given twice: {texts[name.strip()]!r} and {text!r}")
        texts[name.strip()] = text
    return texts


def check_values(notebooks: Sequence[Path], texts: dict[str, str]) -> list[dict[str, Any]]:
    """Each notebook's typed values. Every selected notebook must have every given parameter.

    Raises parameters.ParameterError naming the notebook, what was expected and what came.
    """
    typed: list[dict[str, Any]] = []
    for notebook in notebooks:
        specification = parameters.from_notebook(notebook)
        try:
            typed.append(parameters.coerce(specification, texts))
        except parameters.ParameterError as error:
            raise parameters.ParameterError(f"{notebook.stem}: {error}") from None
    return typed
