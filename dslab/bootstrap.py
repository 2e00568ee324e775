"""Set-up: from a checkout and a bare Python to a running command. Standard library only.

    own environment       .venv in the checkout, from requirements.lock           (nothing else is active)
    borrowed environment  an active virtualenv, conda, Binder, or a complete one  (only what is missing is added)
    hosted notebook       Colab: `notebook()`, called by the set-up cell          (likewise; torch is never touched)

Then the weights are fetched and the command is handed over. `DSLAB_NO_SETUP=1` skips all of it.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from dslab import __version__, paths
from dslab.setup import needs, pip
from dslab.setup.venv import OwnEnvironment

USAGE = """\
usage: python3 -m dslab COMMAND     (Windows: py -m dslab COMMAND; the first one sets up .venv, 1 to 10 minutes)

  run      execute the notebooks headless and write a report      lab      open JupyterLab on your own copy
  test     run every test                                         doctor   check this machine, say what to do
  fetch    get the model's weights                                params   list a notebook's parameters
  build    save outputs in place                                  claims   print the ledger of claims
  bench    measure this machine

After the set-up, `python3 -m dslab COMMAND --help` says more about each."""
WITHOUT_WEIGHTS = {"fetch", "doctor", "params", "claims"}  # `fetch` gets them itself; the others can do without


def main(arguments: list[str]) -> int:
    """Set up what is missing, then run the command; the exit code is the command's, 1 for a failed set-up, or 130."""
    if arguments[:1] == ["--version"]:
        print(f"dslab {__version__}")
        return 0
    if os.environ.get("DSLAB_NO_SETUP", "0") not in ("", "0"):
        return _command(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        if asks_for_help(arguments):
            return _help(arguments)
        return _main(arguments)
    except pip.SetupError as error:
        print(f"dslab: {error}", file=sys.stderr)
        if arguments[:1] == ["doctor"]:
            return _command(arguments)
        return 1
    except KeyboardInterrupt:
        pip.say("interrupted. Nothing is lost: run the same command again and set-up goes on.")
        return 130


def asks_for_help(arguments: list[str]) -> bool:
    return not arguments or arguments[0] in ("-h", "--help")


def _main(arguments: list[str]) -> int:
    command = arguments[0]
    root = paths.checkout()
    own = OwnEnvironment(root) if root else None
    extras = (*needs.EVERYDAY, "test") if command == "test" else needs.EVERYDAY
    if own is None or is_borrowed(own, extras):
        _complete_borrowed(root, extras)
        _weights(sys.executable, command, own=None)
        return _command(arguments)

    if Path(sys.prefix).resolve() == own.folder.resolve() and not own.is_ready():
        # We run inside the environment that must be remade: let the Python it was made from do that.
        _replace([str(getattr(sys, "_base_executable", sys.executable)), "-m", "dslab", *arguments])
    if not own.is_ready():
        if own.is_foreign():
            _replace([str(own.python), "-m", "dslab", *arguments])
        own.make()
    _weights(str(own.python), command, own)
    if Path(sys.prefix).resolve() == own.folder.resolve():
        return _command(arguments)
    _replace([str(own.python), "-m", "dslab.cli", *arguments])


def is_borrowed(own: OwnEnvironment, extras: tuple[str, ...]) -> bool:
    """Whether to use the interpreter we run in: an active environment that is not ours, or a complete one."""
    if Path(sys.prefix).resolve() == own.folder.resolve():
        return own.is_foreign()
    is_virtualenv = sys.prefix != sys.base_prefix
    is_conda = Path(sys.prefix, "conda-meta").is_dir()
    is_hosted = any(os.environ.get(name) for name in ("COLAB_RELEASE_TAG", "BINDER_SERVICE_HOST", "NB_PYTHON_PREFIX"))
    if is_virtualenv or is_conda or is_hosted:
        return True
    return not own.folder.exists() and not needs.unmet(extras) and _is_installed(own.root)


def _is_installed(root: Path | None) -> bool:
    """Whether `import dslab` gives this checkout from any folder (a kernel does not run in the checkout)."""
    if root is None:
        return True
    code = "import dslab, sys; print(dslab.__file__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tempfile.gettempdir())
    return found.returncode == 0 and Path(found.stdout.strip()).resolve().parent == root / "dslab"


def _complete_borrowed(root: Path | None, extras: tuple[str, ...]) -> None:
    """Add to the active environment what is missing or too old, and dslab itself; replace nothing else."""
    log = (root / "build" if root else paths.cache_dir()) / "setup.log"
    missing = needs.unmet(extras)
    if missing:
        with pip.step(f"adding to the active environment: {', '.join(map(str, missing))}"):
            add(missing, log)
    if needs.installed(needs.DISTRIBUTION) is None or not _is_installed(root):
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


def _weights(python: str, command: str, own: OwnEnvironment | None) -> None:
    """Fetch the model unless it is here. A command that can do without goes on when that fails."""
    if command == "fetch" or has_weights() or (own and own.stamp().get("weights") == "elsewhere"):
        return
    start = [python, "-m", "dslab.cli", "fetch"]
    with pip.step("getting the model SmolLM2-135M-Instruct (93 MB)"):
        failed = subprocess.run(start, stdout=sys.stderr).returncode
    if failed and command not in WITHOUT_WEIGHTS:
        raise pip.SetupError("the model could not be fetched; what to do stands above")
    if not failed and own and not has_weights():  # the Hub's own cache holds them
        own.write_stamp(weights="elsewhere")


def has_weights() -> bool:
    """Whether the model is in the cache, whole, or a directory is named; milliseconds."""
    from dslab.models import cache, resolver

    return bool(os.environ.get("DSLAB_MODEL_DIR")) or cache.check(resolver.cached_folder())[0] is not None


def _help(arguments: list[str]) -> int:
    """Help never installs anything: the command's own where it can be imported, a short one else."""
    root = paths.checkout()
    own = OwnEnvironment(root) if root else None
    if needs.installed("typer") and needs.installed("rich"):
        return _command(arguments or ["--help"])
    if own and own.is_ready():
        _replace([str(own.python), "-m", "dslab.cli", *(arguments or ["--help"])])
    print(USAGE)
    return 0


def _command(arguments: list[str]) -> int:
    """Run the command in this process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        from dslab import cli
    except ModuleNotFoundError as error:
        if arguments[:1] == ["doctor"]:
            from dslab import doctor

            return doctor.main()
        pip.say(f"the package {error.name} is missing; `python3 -m dslab doctor` says what to do")
        return 1
    cli.main(arguments)
    return 0


def _replace(command: list[str]) -> NoReturn:
    """Become another process; where the system cannot (Windows), wait for it and leave with its exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.name == "posix":
        os.execv(command[0], command)
    child = subprocess.Popen(command)
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            continue  # the child got the Ctrl-C too, and decides


def _stop(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


# --- hosted notebooks -----------------------------------------------------------------------------------------------

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
        import tomllib

        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["urls"]["Repository"])
    from importlib import metadata

    urls = metadata.metadata(needs.DISTRIBUTION).get_all("Project-URL") or []
    return next(url.split(",", 1)[1].strip() for url in urls if url.startswith("Repository"))


def notebook() -> None:
    """What the set-up cell calls: silent where all is well. On Colab it adds what is missing, and the model.

    Raises ModuleNotFoundError elsewhere: a learner's own kernel is not ours to change.
    """
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
        add(missing, paths.cache_dir() / "setup.log")
    if not has_weights():
        from dslab.models import resolver

        resolver.resolve(say=print)
    if loaded:
        print(f"{', '.join(loaded)} changed after being loaded: restart the runtime once, then run this cell again.")
