"""An environment somebody else made: an active virtualenv, conda, Binder, Colab. It is used, and changed as little as
possible: what is missing or below pyproject.toml's lower bounds is added, everything else is held at its version.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from dslab import paths
from dslab.setup import needs, pip
from dslab.setup.venv import OwnEnvironment


def is_borrowed(own: OwnEnvironment, extras: tuple[str, ...]) -> bool:
    """Whether to use the interpreter we run in: an active environment that is not ours, or a complete one."""
    if Path(sys.prefix).resolve() == own.folder.resolve():
        return own.is_foreign()
    is_virtualenv = sys.prefix != sys.base_prefix
    is_conda = Path(sys.prefix, "conda-meta").is_dir()
    is_hosted = any(os.environ.get(name) for name in ("COLAB_RELEASE_TAG", "BINDER_SERVICE_HOST", "NB_PYTHON_PREFIX"))
    if is_virtualenv or is_conda or is_hosted:
        return True
    return not own.folder.exists() and not needs.unmet(extras) and is_installed(own.root)


def is_installed(root: Path | None) -> bool:
    """Whether `import dslab` gives this checkout from any folder (a kernel does not run in the checkout)."""
    if root is None:
        return True
    code = "import dslab, sys; print(dslab.__file__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tempfile.gettempdir())
    return found.returncode == 0 and Path(found.stdout.strip()).resolve().parent == root / "dslab"


def complete(root: Path | None, extras: tuple[str, ...]) -> None:
    """Add to the active environment what is missing or too old, and dslab itself; replace nothing else."""
    log = (root / "build" if root else paths.cache_dir()) / "setup.log"
    missing = needs.unmet(extras)
    if missing:
        with pip.step(f"adding to the active environment: {', '.join(map(str, missing))}"):
            add(missing, log)
    if needs.installed(needs.DISTRIBUTION) is None or not is_installed(root):
        with pip.step("installing dslab from this checkout"):
            pip.run([sys.executable, "-m", "pip", "install", "--no-deps", "-e", str(root)], log)


def add(missing: list[needs.Need], log: Path) -> None:
    """Install `missing` here with everything else held at its version, torch and numpy above all.

    Where that cannot be solved, only torch, numpy and their kin stay held, and we say so.
    """
    names = {need.name for need in missing}
    held = needs.pins(free=names)
    kin = [pin for pin in held if pin.split("==")[0] in {"torch", "torchvision", "torchaudio", "triton", "numpy"}]
    try:
        _pip_add(missing, held, log)
    except pip.SetupError as error:
        if "conflict" not in str(error) and "ResolutionImpossible" not in str(error):
            raise
        pip.say("other packages must change too; torch and numpy stay as they are")
        _pip_add(missing, kin, log)
    importlib.invalidate_caches()


def _pip_add(missing: list[needs.Need], held: list[str], log: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = [str(need) for need in missing]
        if any(need.name == "torch" for need in missing) and (index := pip.torch_index()):
            lines.insert(0, f"--extra-index-url {index}")
        wanted, constraints = Path(folder, "wanted.txt"), Path(folder, "held.txt")
        wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
        constraints.write_text("\n".join(held) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        pip.run([*command, "-r", str(wanted), "-c", str(constraints)], log)
