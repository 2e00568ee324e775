"""Packages whose names are imported on first use, so that one of them costs only its own file.

    if TYPE_CHECKING:  # what type checkers and editors read is also the table: each name stands in one place
        from dslab.dedup.near import minhash_duplicates as minhash_duplicates

    __getattr__, __dir__, __all__ = lazy(__name__, __file__)

No name may be that of a module it does not mean: importing the module would set the name to it (tests/test_lazy.py).
Standard library only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


def lazy(package: str, file: str, also: Sequence[str] = ()) -> tuple[Callable[[str], Any], Callable[..., Any], Any]:
    """`__getattr__` and `__dir__` (PEP 562) and `__all__` of a package, from the imports under its `if TYPE_CHECKING:`.

    package, file: its `__name__` and `__file__`. also: names that the package defines itself.
    """
    home = imports(file)
    names = sorted({*home, *also})

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(names)}")
        module, original = home[name]
        whole = module == package  # `from dslab.dedup import quality`: a module of the package itself
        value = import_module(f"{package}.{original}") if whole else getattr(import_module(module), original)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: names, names


def imports(file: str) -> dict[str, tuple[str, str]]:
    """name -> (module, name there) for each `from module import ...` under `if TYPE_CHECKING:` in a file."""
    blocks = [node for node in ast.parse(Path(file).read_text("utf-8")).body if isinstance(node, ast.If)]
    lines = [line for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING" for line in block.body]
    return {
        alias.asname or alias.name: (str(line.module), alias.name)
        for line in lines if isinstance(line, ast.ImportFrom) for alias in line.names
    }  # fmt: skip
