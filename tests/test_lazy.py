"""Packages whose names come on first use: all of them come, from the file that defines them, and none hides another."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from dslab.lazy import imports

PACKAGE = Path(__file__).resolve().parents[1] / "dslab"
LAZY = sorted(p for p in PACKAGE.rglob("__init__.py") if "lazy(__name__" in p.read_text("utf-8"))


def name_of(file: Path) -> str:
    return ".".join(file.parent.relative_to(PACKAGE.parent).parts)


@pytest.mark.parametrize("file", LAZY, ids=name_of)
def test_every_name_comes_from_where_it_is_said_to(file):
    package = importlib.import_module(name_of(file))
    table = imports(str(file))
    assert table.keys() <= set(package.__all__) == set(dir(package))
    for name, (module, original) in table.items():
        if module == package.__name__:
            assert getattr(package, name) is sys.modules[f"{module}.{original}"]
        else:
            assert getattr(package, name) is getattr(importlib.import_module(module), original)
    with pytest.raises(AttributeError, match=f"no attribute 'nothing'; it has .*{package.__all__[0]}"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("file", LAZY, ids=name_of)
def test_no_object_bears_the_name_of_a_file(file):
    """Importing the file would set that name in the package, and hide the object."""
    files = {path.stem for path in file.parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not {name for name, (module, _) in imports(str(file)).items() if module != name_of(file)} & files


def test_a_package_costs_nothing_until_a_name_is_used():
    assert len(LAZY) >= 7
    code = f"import sys, importlib; [importlib.import_module(name) for name in {[name_of(f) for f in LAZY]!r}]; "
    code += "print([name for name in ('torch', 'numpy', 'transformers', 'pyarrow') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
