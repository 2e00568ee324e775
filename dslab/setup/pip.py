"""Calling pip: its own settings stay in force, its output goes to a log, its failures become advice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class SetupError(RuntimeError):
    """Set-up cannot go on; the message says why and what to do."""


def say(line: str) -> None:
    """One line to the user, on stderr: stdout belongs to the command (`dslab params --json`)."""
    print(f"dslab: {line}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Name a step before it starts, and say how long it took."""
    start = time.monotonic()
    say(f"{what} ...")
    yield
    say(f"{what}: done in {time.monotonic() - start:.1f} s")


def run(command: list[str], log: Path, *, keep_open: tuple[int, ...] = ()) -> None:
    """Run a command, all its output appended to `log`; SetupError with advice when it fails.

    keep_open  file descriptors the child inherits: a lock stays held while an orphaned child still works.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    live = sys.stderr.isatty()
    extra = {"pass_fds": keep_open} if os.name == "posix" else {}
    with log.open("a", encoding="utf-8", errors="replace") as record:
        record.write(f"\n$ {' '.join(command)}\n")
        record.flush()
        lines: list[str] = []
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", **extra,  # type: ignore[call-overload]
        )  # fmt: skip
        try:
            for line in child.stdout or ():
                record.write(line)
                lines.append(line.rstrip())
                if live:
                    print(f"\r\033[K  {line.strip()[:76]}", end="", file=sys.stderr, flush=True)
            child.wait()
        except BaseException:
            child.terminate()  # a Ctrl-C has reached the child too; a SIGTERM to us alone has not
            child.wait()
            raise
        finally:
            if live:
                print("\r\033[K", end="", file=sys.stderr, flush=True)
    if child.returncode:
        raise SetupError(explain(lines, log))


_ADVICE: list[tuple[tuple[str, ...], str]] = [
    (("No space left", "not enough space", "Errno 28"), "The disk is full. Free about 3 GB, then run it again."),
    (
        ("ensurepip is not available", "No module named ensurepip", "No module named venv", "No module named 'venv'"),
        "This Python cannot make virtual environments. On Debian or Ubuntu: `sudo apt install python3-venv`, then run "
        "it again.",
    ),
    (("No module named pip",), "This environment has no pip. Run `python -m ensurepip`, or deactivate it."),
    (("externally-managed-environment",), "Make a virtual environment first, or run it with the system's python3."),
    (("ResolutionImpossible", "conflicting dependencies"), "Use an empty virtual environment, or none at all."),
    (("requires a different Python", "Requires-Python"), "Use Python 3.11, 3.12 or 3.13."),
    (
        ("Temporary failure in name resolution", "Name or service not known", "getaddrinfo failed",
         "NewConnectionError", "Network is unreachable", "ConnectTimeout", "ReadTimeout", "Max retries exceeded",
         "ProxyError", "SSLError", "Could not find a version", "No matching distribution"),
        "The package index could not be reached, or does not have this package. Go online and run it again; behind a "
        "proxy or with a mirror, set it in pip's settings (`pip config set global.index-url URL`): they are used.",
    ),
]  # fmt: skip


def explain(lines: list[str], log: Path) -> str:
    """What a failed command's output means and what to do, with its last lines."""
    text = "\n".join(lines)
    advice = next((advice for signs, advice in _ADVICE if any(sign in text for sign in signs)), "")
    errors = [line for line in lines if line.startswith("ERROR")] or [line for line in lines if line][-5:]
    shown = "\n  ".join(dict.fromkeys(errors[-5:]))
    return f"set-up stopped:\n  {shown}\n{advice or 'The log says more.'}\nThe whole log: {_short(log)}"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def torch_index(*, probe: Callable[[str], bool] | None = None) -> str | None:
    """PyTorch's CPU index where it is wanted and answers: Linux without an NVIDIA GPU. Elsewhere the default is right.

    The default index gives Linux users the CUDA build, gigabytes that a machine without a GPU cannot use. Both indexes
    are offered to pip; it prefers `2.13.0+cpu` because a local version sorts after the plain one.
    """
    if not sys.platform.startswith("linux") or has_nvidia() or os.environ.get("PIP_NO_INDEX", "0") not in ("", "0"):
        return None
    return TORCH_CPU_INDEX if (probe or answers)(f"{TORCH_CPU_INDEX}/torch/") else None


def has_nvidia() -> bool:
    """Whether an NVIDIA driver is present."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def answers(url: str, timeout: float = 2.0) -> bool:
    """Whether `url` answers within `timeout` seconds; proxies from the environment are used."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=timeout) as reply:
            return 200 <= int(reply.status) < 300
    except (OSError, ValueError):
        return False
