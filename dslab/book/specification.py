"""Which parameters a running notebook may have, and which it was given.

The cell that ran is the specification (`In` of IPython). Where there is no history (nbval keeps none) it is read from
the notebook's file. Defaults, which decide whether a claim is judged, come from the repository's own file where there
is one: a learner who edits a default has left the default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dslab import paths
from dslab.book import text
from dslab.book.errors import RefusedParameter
from dslab.runner import parameters
from dslab.runner.parameters import Parameter, ParameterError

_INJECTED = re.compile(r"# Parameters\b")  # the first line of the cell that papermill adds
_DECLARED = [re.compile(rf"^{name}\s*(:|=)", re.MULTILINE) for name in parameters.STANDARD]


def check(notebook: str, namespace: Mapping[str, Any], history: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The notebook's parameters and their defaults, both name to value.

    notebook:  number or stem, as in `page.start("01", …)`.
    namespace: the globals of the notebook.
    history:   sources of the cells that ran, oldest first; may be empty.
    Raises RefusedParameter: no specification, an unknown injected name, a missing, mistyped or impossible value.
    """
    cells = [source for source in history if source]
    try:
        specification = _specification(notebook, cells)
        injected = [source for source in cells if _INJECTED.match(source)]
        known = {parameter.name for parameter in specification}
        if injected:
            parameters.validate(specification, parameters.assigned(injected[-1]))
        for name in parameters.STANDARD:
            if name not in known:
                raise ParameterError(text.MISSING_PARAMETER.format(name=name, required=", ".join(parameters.STANDARD)))
        for name in known:
            if name not in namespace:
                raise ParameterError(text.NOT_ASSIGNED.format(name=name))
        values = parameters.validate(specification, {p.name: namespace[p.name] for p in specification})
    except ParameterError as error:
        raise RefusedParameter(str(error)) from None
    saved = parameters.defaults(_saved(notebook) or specification)
    return values, parameters.defaults(specification) | {name: saved[name] for name in saved if name in known}


def _specification(notebook: str, cells: list[str]) -> list[Parameter]:
    for source in reversed(cells):
        if not _INJECTED.match(source) and all(pattern.search(source) for pattern in _DECLARED):
            return parameters.parse(source)
    for path in _files(notebook, [Path.cwd(), Path.cwd() / "notebooks", *_homes()]):
        if found := parameters.from_notebook(path):
            return found
    raise ParameterError(text.NO_SPECIFICATION.format(notebook=notebook))


def _saved(notebook: str) -> list[Parameter]:
    """The parameters of the repository's own notebook; [] where there is none, or where it cannot be read."""
    for path in _files(notebook, _homes()):
        try:
            return parameters.from_notebook(path)
        except ParameterError:
            continue
    return []


def _homes() -> list[Path]:
    root = paths.checkout()
    return [root / "notebooks", root / "notebooks" / "studies", root / "work"] if root else []


def _files(notebook: str, folders: list[Path]) -> list[Path]:
    names = (f"{notebook}.ipynb", f"{notebook}_*.ipynb")
    return [path for folder in folders for name in names for path in sorted(folder.glob(name))]
