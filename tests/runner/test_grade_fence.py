"""The fence around submissions, and what is left when the one who grades is interrupted or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from .grade_class import answered, by_student, grade, hand_in

HANG = "def score_bytes(B, H, L, dtype):\n    open('here', 'w').close()\n    while True: pass"
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks and namespaces are Linux's")


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_hook_refuses_what_leaves_the_machine() -> None:
    code = """
import asyncio, socket
from dslab.runner import grade_fence as fence
fence._own_namespace = lambda: False
print(fence.cut_network())
for leave in (
    lambda: socket.create_connection(("192.0.2.1", 80), 1),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: socket.gethostbyname("example.org"),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)),
):
    try:
        leave()
    except OSError as error:
        print(error)
listener = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listener.getsockname(), 1)
asyncio.run(asyncio.sleep(0))
"""
    assert python(code).splitlines() == ["hook", *["[Errno 101] there is no network while exercises are graded"] * 4]


@on_linux
@pytest.mark.parametrize("user", ["this", "nobody"])
def test_namespace_holds_with_and_without_root(user: str) -> None:
    """Where the system permits one, it is taken, files keep their owner, and the kernel knows no way out."""
    start = """
import ctypes, os, socket, tempfile
from dslab.runner import grade_fence as fence
if DROP and os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
""".replace("DROP", str(user == "nobody"))
    permitted = any(python(start + f"print(ctypes.CDLL(None).unshare({flags}))") == "0" for flags in (1 << 30, 5 << 28))
    code = """
user, held = os.getuid(), fence.cut_network()
assert os.getuid() == user
with tempfile.TemporaryFile() as file:
    assert os.fstat(file.fileno()).st_uid == user
if held == "namespace":
    try:
        socket.socket().connect(("192.0.2.1", 80))
    except OSError as error:
        assert error.errno == 101 and "graded" not in str(error), error
    else:
        raise AssertionError("connected")
    with open("/proc/self/net/dev") as devices:
        assert [line.split(":")[0].strip() for line in list(devices)[2:]] == ["lo"]
print(held)
"""
    assert python(start + code) == ("namespace" if permitted else "hook")


@on_linux
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without other processes")
def test_a_user_cannot_start_processes_without_end() -> None:
    code = """
import os, resource, signal
from dslab.runner import grade_fence as fence
os.setgid(65534), os.setuid(65534)
fence.limit(10**9)
started = []
try:
    for _ in range(200):
        child = os.fork()
        if child == 0:
            signal.pause()
        started.append(child)
except BlockingIOError:
    pass
for child in started:
    os.kill(child, 9)
print(len(started))
"""
    assert 30 < int(python(code)) < 100


def test_work_is_done_in_a_folder_that_goes(tmp_path: Path) -> None:
    body = (
        "def score_bytes(B, H, L, dtype):\n    import os, pathlib, tempfile\n"
        "    here = pathlib.Path.cwd()\n    (here / 'mine.txt').write_text('x')\n"
        "    raise OSError(f'{here == pathlib.Path.home()} {pathlib.Path(tempfile.gettempdir()) == here} "
        "{os.listdir()} {here}')"
    )
    hand_in(tmp_path / "class", "ann.ipynb", answered("00", {"score_bytes": body}))
    before = sorted((tmp_path / "class").rglob("*"))
    assert grade(tmp_path / "class", tmp_path / "out").returncode == 0
    told = by_student(tmp_path / "out", "score_bytes")["ann"]["diagnosis"]
    assert "True True ['mine.txt'] " in told
    assert not Path(told.rsplit(" ", 1)[1]).exists()
    assert sorted((tmp_path / "class").rglob("*")) == before


@on_linux
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_whoever_is_ended_leaves_nobody(tmp_path: Path, number: signal.Signals, code: int) -> None:
    hand_in(tmp_path / "class", "ann.ipynb", answered("00", {"score_bytes": HANG}))
    command = [sys.executable, "-m", "dslab.cli", "grade", str(tmp_path / "class"), "--out", str(tmp_path / "out")]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while not list(temporary.rglob("here")):
            assert time.monotonic() < until
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2, "the worker and the fork that hangs"
        process.send_signal(number)
        assert process.wait(timeout=30) == code
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive
    finally:
        process.kill()
    if number != signal.SIGKILL:
        assert not list(temporary.iterdir())
        assert not (tmp_path / "out" / "grades.csv").exists()
