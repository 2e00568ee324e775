"""What `from dslab import precision` and its like offer: each name is what its own file defines, whatever came first.

A file with the name of an object would hide it: importing the file sets that name in the package.
"""

import subprocess
import sys

import pytest

from dslab import precision

IN_A_FRESH_INTERPRETER = """
import importlib, pkgutil, sys
from dslab.lazy import imports

def check(p, names):
    for name in names:
        value = getattr(p, name)
        module, original = imports(p.__file__)[name]
        if module == p.__name__:
            assert value is sys.modules[f"{module}.{name}"], name
        else:
            assert type(value) is not type(sys), f"{name} is a module"
            assert value is getattr(importlib.import_module(module), original), name

def files(p):
    for file in pkgutil.iter_modules(p.__path__):
        importlib.import_module(f"{p.__name__}.{file.name}")

def star(p):
    seen = {}
    exec(f"from {p.__name__} import *", seen)
    assert all(seen[name] is getattr(p, name) for name in p.__all__)

ORDERS = {
    "in order": lambda p: check(p, p.__all__),
    "backwards": lambda p: check(p, p.__all__[::-1]),
    "files first": lambda p: (files(p), check(p, p.__all__)),
    "files last": lambda p: (check(p, p.__all__), files(p), check(p, p.__all__)),
    "star": lambda p: (star(p), check(p, p.__all__)),
    "star after the files": lambda p: (files(p), star(p), check(p, p.__all__)),
}
package = sys.argv[1]
for order, run in ORDERS.items():
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]
    try:
        run(importlib.import_module(package))
    except AssertionError as error:
        sys.exit(f"{order}: {error}")
"""


@pytest.mark.parametrize("package", ["dslab.precision", "dslab.lora", "dslab.training"])
def test_every_name_is_its_own_object_in_any_order_of_imports(package):
    command = [sys.executable, "-c", IN_A_FRESH_INTERPRETER, package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_lists_the_known():
    with pytest.raises(AttributeError, match=r"no attribute 'fp8_matmull'; it has .*fp8_matmul"):
        precision.fp8_matmull  # noqa: B018
