"""Where things lie: the checkout, its data, the cache. Standard library only, so the set-up can use it too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """The repository this package runs from, or None where it was installed as a wheel (Colab)."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def data_dir() -> Path:
    """The folder of tables and claims: `data/` in a checkout, `dslab/_data` in a wheel."""
    root = checkout()
    return root / "data" if root else PACKAGE / "_data"


def cache_dir() -> Path:
    """Where converted weights and compiled parts are kept: `DSLAB_CACHE`, or the platform's cache folder."""
    if os.environ.get("DSLAB_CACHE"):
        return Path(os.environ["DSLAB_CACHE"]).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "dslab"
