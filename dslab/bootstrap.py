"""Set-up: from a checkout and a bare Python to a running command. Standard library only.

    own environment       .venv in the checkout, from requirements.lock           (nothing else is active)
    borrowed environment  an active virtualenv, conda, Binder, or a complete one  (only what is missing is added)
    hosted notebook       Colab: `notebook()`, called by the set-up cell          (likewise; torch is never touched)

Then the weights are fetched and the command is handed over. `DSLAB_NO_SETUP=1` skips all of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from dslab import __version__, paths, signals
from dslab.setup import borrowed, needs, pip
from dslab.setup.hosted import has_weights, notebook, setup_cell
from dslab.setup.venv import OwnEnvironment

__all__ = ["main", "notebook", "setup_cell"]

USAGE = """\
usage: python3 -m dslab COMMAND     (Windows: py -m dslab COMMAND; the first one sets up .venv, 1 to 10 minutes)

  run      execute the notebooks headless and write a report      lab      open JupyterLab on your own copy
  test     run every test                                         doctor   check this machine, say what to do
  fetch    get the model's weights                                params   list a notebook's parameters
  build    save outputs in place                                  claims   print the ledger of claims
  bench    measure this machine                                   clean    mask personal data in a corpus, drop copies

After the set-up, `python3 -m dslab COMMAND --help` says more about each."""
WITHOUT_WEIGHTS = {"fetch", "doctor", "params", "claims"}  # `fetch` gets them itself; the others can do without
EXTRAS = {"test": (*needs.EVERYDAY, "test"), "clean": ("clean",)}  # what a command needs, where it is not everyday


def main(arguments: list[str]) -> int:
    """Set up what is missing, then run the command; the exit code is the command's, 1 for a failed set-up, or 130."""
    if arguments[:1] == ["--version"]:
        print(f"dslab {__version__}")
        return 0
    if os.environ.get("DSLAB_NO_SETUP", "0") not in ("", "0"):
        return _command(arguments)
    signals.listen()
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
    extras = EXTRAS.get(command, needs.EVERYDAY)
    if own is None or borrowed.is_borrowed(own, extras):
        borrowed.complete(root, extras)
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


def _weights(python: str, command: str, own: OwnEnvironment | None) -> None:
    """Fetch the model unless it is here. A command that can do without goes on when that fails."""
    if command in ("fetch", "clean") or has_weights() or (own and own.stamp().get("weights") == "elsewhere"):
        return
    start = [python, "-m", "dslab.cli", "fetch"]
    with pip.step("getting the model SmolLM2-135M-Instruct (93 MB)"):
        failed = subprocess.run(start, stdout=sys.stderr).returncode
    if failed and command not in WITHOUT_WEIGHTS:
        raise pip.SetupError("the model could not be fetched; what to do stands above")
    if not failed and own and not has_weights():  # the Hub's own cache holds them
        own.write_stamp(weights="elsewhere")


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
    if os.name == "posix":
        os.execv(command[0], command)
    child = subprocess.Popen(command)
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            continue  # the child got the Ctrl-C too, and decides


def __getattr__(name: str) -> str:
    if name == "SETUP_CELL":  # computed, because the repository's address in it stands in pyproject.toml alone
        return setup_cell()
    raise AttributeError(f"module 'dslab.bootstrap' has no attribute {name!r}")
