"""A fence around a submission: a folder of its own, limits, no input, no output, no network.

It keeps accidents from the rest of the class and from the teacher's machine. It is no prison: a student who attacks
the checker from inside the same process, or the teacher's files, is not stopped here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from contextlib import suppress
from typing import Any

IS_LINUX = sys.platform.startswith("linux")
LARGEST_FILE = 512 * 2**20  # bytes of one file
MOST_PROCESSES = 32  # of one submission; the parent ends what has more
_SPARE = 512 * 2**20  # the kernel refuses memory only this far above the limit; below, the parent sees it first
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # of prctl
_NEWUSER, _NEWNET = 0x10000000, 0x40000000  # of unshare
_HOMES = (
    "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
    "XDG_DATA_HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR",
)  # fmt: skip


def homes(folder: str) -> dict[str, str]:
    """Environment variables that make `folder` the place for whatever a program keeps about its user."""
    return dict.fromkeys(_HOMES, folder)


def enter(folder: str) -> None:
    """Stand in `folder`, print nowhere. (Standard input is empty from the worker's start.)"""
    os.chdir(folder)
    os.environ |= homes(folder)
    tempfile.tempdir = None  # what an import has looked up before
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def limit(memory_bytes: int) -> None:
    """Limits the kernel keeps, where it has them (not on Windows). `memory_bytes` is beyond what is in use now."""
    if sys.platform == "win32":
        return
    import resource

    def lower(kind: int, to: int) -> None:
        with suppress(ValueError, OSError):  # a lower limit holds already
            resource.setrlimit(kind, (to, to))

    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, LARGEST_FILE)
    if IS_LINUX:  # private memory only; torch's libraries are mapped, and are not counted
        lower(resource.RLIMIT_DATA, _data_bytes() + memory_bytes + _SPARE)
        if os.getuid() != 0:  # for root the kernel does not count; the parent does, at its pace
            lower(resource.RLIMIT_NPROC, _tasks_of_user() + 2 * MOST_PROCESSES)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none is lost from sight (Linux)."""
    if IS_LINUX:
        _libc().prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent() -> None:
    """Be killed when the parent process ends, however it ends (Linux)."""
    if IS_LINUX:
        _libc().prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def cut_network() -> str:
    """Leave the network: "namespace" where the system permits one of its own, else "hook", a refusal inside Python."""
    if IS_LINUX and _own_namespace():
        return "namespace"
    sys.addaudithook(_refuse_network)
    return "hook"


def _own_namespace() -> bool:
    user, group = os.getuid(), os.getgid()
    if _libc().unshare(_NEWNET) == 0:
        return True
    if _libc().unshare(_NEWUSER | _NEWNET) != 0:
        return False
    with suppress(OSError):  # the same user inside, else files made there would belong to nobody
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    return True


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1] if len(arguments) > 1 else None
        if not isinstance(address, tuple) or _is_here(address[0]):
            return  # a local socket; asyncio on Windows cannot do without
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if arguments[0] is None or _is_here(arguments[0]):
            return
    else:
        return
    raise OSError(101, "there is no network while exercises are graded")


def _is_here(host: Any) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    return name in ("localhost", "::1", "") or name.startswith("127.")


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process so far."""
    with suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def _tasks_of_user() -> int:
    """Processes and threads that this process's user has now, which is what RLIMIT_NPROC counts."""
    count = 0
    for entry in os.scandir("/proc"):
        with suppress(OSError):  # it has ended meanwhile
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def kill_descendants(root: int | None = None) -> None:
    """Kill all that a process (default: this one) started, until nothing is left; a fork bomb takes several rounds."""
    import psutil

    for _ in range(50):
        with suppress(psutil.Error):
            family = psutil.Process(root).children(recursive=True)
            if not family:
                return
            for member in family:
                with suppress(psutil.Error):
                    member.kill()
        if root is None:
            with suppress(ChildProcessError):  # adopted ones are ours to bury
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
