"""Killed at any moment, a run that is resumed leaves the same bytes as one that was not.

Two ways to be killed: at every single step that touches the disk, counted (all states there are, in one process), and
by SIGKILL to the whole process group at random times (what no step foresees: several workers, buffers, half a row).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import corpora
import pytest

from dslab.clean.job import Job
from dslab.clean.run import execute, prepare

STEPS = ("open", "fsync", "replace", "unlink", "mkdir", "rmdir")
KILLED = 9


def run(root: Path, out: str, job: Job, resume: bool = True) -> None:
    result = execute(prepare([str(root / "in")], str(root / out), job, audit=True, resume=resume))
    assert result.is_complete


def run_until(step: int, root: Path, out: str, job: Job) -> bool:
    """Run in a forked process that ends without a word just before its n-th step; whether it came that far."""
    pid = os.fork()
    if not pid:
        left = [step]

        def counted(function):
            def wrapper(*args, **options):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(KILLED)
                return function(*args, **options)

            return wrapper

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        try:
            run(root, out, job)
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, KILLED), f"step {step}: the run itself failed"
    return code == KILLED


def check_what_stands(folder: Path, whole: dict[str, bytes]) -> None:
    """Whatever has its final name is complete."""
    for name, content in corpora.tree(folder).items():
        if ".part-" not in name and "_dslab/dedup" not in name:
            assert content == whole[name], name


@pytest.mark.parametrize("dedup", [None, 0.8])
@pytest.mark.parametrize("stride", [31, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_every_step_that_touches_the_disk(tmp_path, dedup, stride):
    corpora.corpus(tmp_path / "in", shards=3, n=8)
    job = Job(dedup=dedup)
    run(tmp_path, "whole", job, resume=False)
    whole = corpora.tree(tmp_path / "whole")
    step = 0
    while run_until(step, tmp_path, f"out{step}", job):
        out = tmp_path / f"out{step}"
        check_what_stands(out, whole)
        # And killed again while it resumes, before it comes through.
        run_until(step // 2 + 1, tmp_path, out.name, job)
        run(tmp_path, out.name, job)
        assert corpora.tree(out) == whole, f"killed before step {step}"
        step += stride
    assert step > (80 if dedup else 40)


def left_alone(root: Path, arguments: list, kinds: tuple[str, ...] = (".jsonl",)) -> tuple[dict[str, bytes], float]:
    """A corpus in `in`, what a run that nothing disturbs makes of it, and how many seconds that took."""
    corpora.corpus(root / "in", shards=8, n=150, kinds=kinds)
    started = time.monotonic()
    assert corpora.dslab_clean(root / "in", "-o", root / "whole", *arguments)[0] == 0
    return corpora.tree(root / "whole"), time.monotonic() - started


def check_resumed(root: Path, out: Path, arguments: list, whole: dict[str, bytes]) -> None:
    code, _, err = corpora.dslab_clean(root / "in", "-o", out, *arguments, "--resume")
    assert code == 0, err
    assert corpora.tree(out) == whole


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("options", [["--audit"], ["--dedup", "0.8"]], ids=["plain", "dedup"])
def test_killed_at_random_times(tmp_path, workers, options):
    arguments = ["--workers", workers, *options]
    whole, seconds = left_alone(tmp_path, arguments, (".jsonl", ".jsonl.gz", ".parquet"))
    rng = random.Random(workers)
    kills = rounds = 0
    while rounds < 4 or (kills < 6 and rounds < 16):
        out = tmp_path / f"out{rounds}"
        rounds += 1
        for attempt in range(4):
            child = corpora.start(tmp_path / "in", "-o", out, *arguments, "--resume")
            started = time.monotonic()
            try:
                child.wait(rng.uniform(0.3, 0.9) * seconds)
            except subprocess.TimeoutExpired:
                kills += 1
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            if out.exists():
                check_what_stands(out, whole)
            if child.returncode == 0:
                if attempt == 0:  # a whole run: the machine is faster than it was, so kill sooner from now on
                    seconds = time.monotonic() - started
                break
        check_resumed(tmp_path, out, arguments, whole)
    print(f"{kills} kills in runs of {seconds:.1f} s")
    assert kills >= 6


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_only_the_parent_killed(tmp_path):
    """Its workers end by themselves; a run started at once is not disturbed by what they still had in hand."""
    arguments = ["--workers", 2, "--dedup", "0.8"]
    whole, seconds = left_alone(tmp_path, arguments)
    rng = random.Random(3)
    for round_ in range(6):
        out = tmp_path / f"out{round_}"
        child = corpora.start(tmp_path / "in", "-o", out, *arguments)
        time.sleep(rng.uniform(0.5, 1.1) * seconds)
        child.kill()
        check_resumed(tmp_path, out, arguments, whole)
        child.communicate()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_interrupted_at_random_times(tmp_path):
    """130; 0 where the signal came after the last word; death by it only before the first, with nothing written."""
    arguments = ["--workers", 2, "--dedup", "0.8"]
    whole, seconds = left_alone(tmp_path, arguments)
    rng = random.Random(4)
    for round_ in range(6):
        out = tmp_path / f"out{round_}"
        child = corpora.start(tmp_path / "in", "-o", out, *arguments)
        time.sleep(rng.uniform(0.5, 1.1) * seconds)
        number = rng.choice([signal.SIGINT, signal.SIGTERM])
        os.killpg(child.pid, number)
        said = "".join(child.communicate(timeout=60))
        code = child.returncode
        if code == -signal.SIGINT and "interrupted" in said:
            code = 130  # to a shell it is: Python ends this way where it heard the signal inside an `exec` of a string
        assert code in (0, 130) or (code, said, out.exists()) == (-number, "", False), (code, said)
        assert "Traceback" not in said
        assert not list(out.rglob(".part-*"))
        if code == 0:
            assert corpora.tree(out) == whole
        check_resumed(tmp_path, out, arguments, whole)
