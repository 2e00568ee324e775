"""Ctrl-C and SIGTERM before the command listens, while its workers start, and after its last word.

While it works, see test_command and test_resume. A signal at a chosen moment: a module that sends it when imported, or
a function that runs when Python ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import corpora
import pytest

from dslab import signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def run(command: list[str], folder, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@BOTH
@pytest.mark.parametrize("module", ["dslab", "dslab.cli"])
def test_while_it_still_imports_it_dies_of_it_without_a_word(tmp_path, number, module):
    (tmp_path / "typer.py").write_text(f"import os\nos.kill(os.getpid(), {int(number)})\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    got = run(["-m", module, "clean", "in", "-o", "out"], tmp_path, PYTHONPATH=paths, DSLAB_NO_SETUP="1")
    assert got == (-number, "", "")


@BOTH
def test_while_it_prepares_nothing_is_written(tmp_path, number):
    corpora.corpus(tmp_path / "in", shards=1, n=2)
    program = (
        "import os, sys\nfrom dslab import cli\n"
        "class Sender:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'dslab.clean.run': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Sender())\n"
        "cli.main(['clean', 'in', '-o', 'out', '--workers', '2'])\n"
    )
    assert run(["-c", program], tmp_path) == (130, "", "interrupted; nothing was written\n")
    assert not (tmp_path / "out").exists()


@BOTH
def test_after_its_last_word_it_is_not_heard(tmp_path, number):
    corpora.corpus(tmp_path / "in", shards=1, n=2)
    program = (
        "import atexit, os\nfrom dslab import cli\n"
        "@atexit.register\n"
        "def send():\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    sum(range(9))\n"
        "cli.main(['clean', 'in', '-o', 'out', '--workers', '1'])\n"
    )
    code, out, err = run(["-c", program], tmp_path)
    assert code == 0
    assert "1 of 1 shards cleaned" in out or "1 of 1 shard cleaned" in out
    assert "Traceback" not in err
    assert (tmp_path / "out" / "_dslab" / "manifest.json").is_file()


def test_what_was_ignored_from_the_start_stays_so(tmp_path):
    """As under `nohup`, or as a job in the background of a script."""
    program = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nfrom dslab import signals\n"
        "for answer in (signals.quiet, signals.listen):\n    answer()\n    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert run(["-c", program], tmp_path) == (0, "", "")


@BOTH
def test_a_worker_that_is_being_started_is_started_first(tmp_path, number):
    """Sent while the pool asks for its second process; the first is there, and neither may complain of the end."""
    program = (
        "import os\nfrom concurrent.futures import ProcessPoolExecutor as Pool\nfrom dslab import cli\n"
        "start, began, came = Pool._spawn_process, [], []\n"
        "def spawn(pool):\n"
        "    began.append(1)\n"
        f"    len(began) == 2 and os.kill(os.getpid(), {int(number)})\n"
        "    start(pool)\n"
        "    came.append(1)\n"
        "Pool._spawn_process = spawn\n"
        "try:\n    cli.main(['clean', 'in', '-o', 'out', '--workers', '2'])\n"
        "except SystemExit as end:\n    print(end.code, len(began), len(came))\n"
    )
    corpora.corpus(tmp_path / "in", shards=2, n=20)
    code, out, err = run(["-c", program], tmp_path)
    assert (code, out) == (0, "130 2 2\n"), err
    assert "Traceback" not in err


def test_held_is_answered_once_and_then_as_before():
    answers = []
    old = signal.signal(signal.SIGTERM, lambda *event: answers.append(event))
    try:
        with signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert answers == []
        assert len(answers) == 1
        with contextlib.suppress(ZeroDivisionError), signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            _ = 1 / 0
        assert len(answers) == 2
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(answers) == 3
    finally:
        signal.signal(signal.SIGTERM, old)


@pytest.mark.parametrize("wait", [0.0, 0.2])
def test_workers_that_start_leave_it_to_the_run(tmp_path, wait):
    """The server imports for half a second; a Ctrl-C then reaches it too, and must not show its traceback."""
    program = (
        "import time\nfrom dslab.clean import workers\nworkers.warm_up()\n"
        "try:\n    print('started', flush=True)\n"
        # Many short sleeps: a signal that comes just before one is heard only after it.
        "    for _ in range(600):\n        time.sleep(0.1)\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert child.stdout
    assert child.stdout.readline() == "started\n"
    time.sleep(wait)
    os.killpg(child.pid, signal.SIGINT)
    assert child.communicate(timeout=30) == ("interrupted\n", "")
