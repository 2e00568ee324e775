"""The set-up cell of every notebook, and what it calls. Silent where all is well, so that saved outputs stay clean."""

from __future__ import annotations

import os
import sys
import tomllib
from importlib import metadata

from dslab import paths
from dslab.setup import borrowed, needs

_CELL = """\
import importlib.util, os, subprocess, sys

if importlib.util.find_spec("dslab") is None:
    if "google.colab" not in sys.modules:
        raise ModuleNotFoundError("dslab is not in this kernel. In the checkout run: python3 -m dslab lab")
    source = os.environ.get("DSLAB_SOURCE", "git+{repository}")
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "--no-deps", source])
from dslab import bootstrap

bootstrap.notebook()"""


def setup_cell() -> str:
    """The source of every notebook's set-up cell; the repository's address comes from pyproject.toml."""
    return _CELL.format(repository=repository())


def repository() -> str:
    """The address in `[project.urls]`, the one place that holds it."""
    root = paths.checkout()
    if root:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["urls"]["Repository"])
    urls = metadata.metadata(needs.DISTRIBUTION).get_all("Project-URL") or []
    return next(url.split(",", 1)[1].strip() for url in urls if url.startswith("Repository"))


def notebook() -> None:
    """What the set-up cell calls: silent where all is well. On Colab it adds what is missing, and the model.

    Raises ModuleNotFoundError elsewhere: a learner's own kernel is not ours to change.
    """
    # Before torch is loaded: idle threads should sleep. Spinning ones would count as work in every CPU time we measure.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    missing = needs.unmet(needs.HOSTED)
    if "google.colab" not in sys.modules:
        if missing:
            raise ModuleNotFoundError(
                f"this kernel lacks {', '.join(map(str, missing))}. In the checkout run: python3 -m dslab doctor"
            )
        return
    loaded = [need.name for need in missing if need.name.replace("-", "_") in sys.modules]
    if missing:
        print(f"Installing {', '.join(need.name for need in missing)} (about a minute) ...")
        borrowed.add(missing, paths.cache_dir() / "setup.log")
    if not has_weights():
        from dslab.models import resolver

        resolver.resolve(say=print)
    if loaded:
        print(f"{', '.join(loaded)} changed after being loaded: restart the runtime once, then run this cell again.")


def has_weights() -> bool:
    """Whether the model is in the cache, whole, or a directory is named; milliseconds."""
    from dslab.models import cache, resolver

    return bool(os.environ.get("DSLAB_MODEL_DIR")) or cache.check(resolver.cached_folder())[0] is not None
