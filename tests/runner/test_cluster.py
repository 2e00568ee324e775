"""A sweep on a Dask cluster: real schedulers, workers and kernels, and what happens when one of them is killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dslab.runner import cluster, cluster_address
from dslab.runner.selection import Refused

from . import clusters, toys
from .clusters import Machines, alive, inner, is_busy, kill, parts, table, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
LOCAL = {"processes": False, "n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
SIX = ("-p", "window=1,2,3,4,5,6")


@pytest.fixture
def machines(tmp_path: Path, house: Path) -> Iterator[Machines]:
    with clusters.machines(tmp_path / "machines", house) as found:
        yield found


@pytest.fixture
def two(machines: Machines) -> list[Any]:
    """A scheduler and two workers."""
    return [machines.scheduler(), machines.worker(), machines.worker()]


def payload(notebook: Path, index: int, **values: Any) -> dict[str, Any]:
    return {"id": f"{index:012x}", "index": index, "name": notebook.stem, "notebook": notebook.read_bytes(),
            "values": values, "timeout": 60.0, "threads": 1}  # fmt: skip


def collect(executor: cluster.ClusterExecutor, count: int, seconds: float = 60) -> list[tuple[str, dict[str, Any]]]:
    came: list[tuple[str, dict[str, Any]]] = []
    deadline = time.monotonic() + seconds
    while len(came) < count and time.monotonic() < deadline:
        came += executor.finished(0.5)
    return came


def test_a_cluster_by_name_runs_a_point_and_brings_its_notebook(tmp_path: Path) -> None:
    notebook = toys.write(tmp_path / "toy.ipynb", *toys.GOOD)
    executor = cluster.connect("distributed:LocalCluster", LOCAL)
    executor.start()
    try:
        key = executor.submit(payload(notebook, 1, window=7))
        [(came, result)] = collect(executor, 1)
        assert executor.finished(0.3) == []
        assert (came, executor.slots) == (key, 1)
        assert "distributed:LocalCluster, 1 worker" in executor.where
    finally:
        executor.close(at_once=False)
    assert result["row"]["status"] == "passed", result
    assert (result["row"]["metric.twice"], result["row"]["threads"]) == (14, 1)
    assert b"application/vnd.dslab.metric+json" in result["notebook"]


def test_no_worker_is_said_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.5)
    heard = []

    def say(line: str) -> None:
        heard.append(line)
        raise KeyboardInterrupt  # the user's answer

    executor = cluster.connect("distributed:LocalCluster", LOCAL | {"n_workers": 0}, say)
    with pytest.raises(KeyboardInterrupt):
        executor.start()
    assert executor.client is None
    assert re.fullmatch(r"no worker at .* waiting for one \(`dask worker \S+ --nthreads 1`\)", heard[0])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tcp://127.0.0.1", "an address as in tcp://127.0.0.1:8786"),
        ("tcp://127.0.0.1:port", "an address as in tcp://127.0.0.1:8786"),
        ("http://127.0.0.1:80", "an address as in tcp://127.0.0.1:8786"),
        ("slurm", "a class as in distributed:LocalCluster; got 'slurm'"),
        ("no_such_package:Cluster", "no module no_such_package here; install Dask's package"),
        ("distributed:NoSuchCluster", "has no class NoSuchCluster"),
        ("json:loads", "is no Dask cluster class"),
    ],
)
def test_a_wrong_target_is_refused_at_once(target: str, message: str) -> None:
    with pytest.raises(Refused, match=re.escape(message)):
        cluster.connect(target, {})


def test_a_missing_package_is_refused_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Refused, match=r"pip install 'dslab-course\[cluster\]'"):
        cluster.connect("tcp://127.0.0.1:8786", {})


def test_options_that_the_class_does_not_take_are_refused() -> None:
    with pytest.raises(Refused, match=r"distributed:LocalCluster could not be started .*no_such_option"):
        cluster.connect("distributed:LocalCluster", LOCAL | {"no_such_option": 1}).start()


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def test_nobody_at_the_address_is_refused() -> None:
    with pytest.raises(Refused, match=r"no Dask scheduler answers at tcp://127.0.0.1:\d+ \(.*refused\)"):
        cluster.connect(f"tcp://127.0.0.1:{free_port()}", {}).start()


def test_somebody_else_at_the_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_address, "ANSWER_SECONDS", 1.0)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        with pytest.raises(Refused, match="is no Dask scheduler"):
            cluster.connect(f"tcp://127.0.0.1:{door.getsockname()[1]}", {}).start()


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_doubles_nothing(machines: Machines, two: list[Any], tmp_path: Path) -> None:
    notebook, out = clusters.slow_toy(tmp_path / "toy.ipynb"), tmp_path / "out"
    sweep = machines.sweep(notebook, *SIX, "--cluster", machines.address, "--out", out)
    wait_until(lambda: parts(out) and is_busy(two[1]), what="a first point")
    victims = inner(two[1])
    kill(victims[0])
    wait_until(lambda: not alive(victims), 10, "the end of the killed worker's kernel")
    assert machines.ended(sweep) == 0, machines.said(sweep)
    assert sorted(table(out)["param.window"]) == [1, 2, 3, 4, 5, 6]
    assert (table(out)["status"] == "passed").all()
    starts = (tmp_path / "starts").read_text().split()
    assert set(starts) == set("123456")
    assert len(starts) <= 7  # at most the killed one again
    assert "died; its point" in machines.said(sweep)
    assert {path.name for path in out.glob("points/*/*.ipynb")} == {"toy.ipynb"}


@pytest.mark.slow
def test_a_killed_scheduler_stops_the_sweep_and_another_goes_on(
    machines: Machines, two: list[Any], tmp_path: Path
) -> None:
    notebook, out = clusters.slow_toy(tmp_path / "toy.ipynb"), tmp_path / "out"
    sweep = machines.sweep(notebook, *SIX, "--cluster", machines.address, "--out", out)
    wait_until(lambda: parts(out) and is_busy(two[1]), what="a first point")
    running = [*inner(two[1]), *inner(two[2])]
    kill(two[0])
    began = time.monotonic()
    assert machines.ended(sweep, 60) == 1, machines.said(sweep)
    assert time.monotonic() - began < 40
    assert re.search(r"the Dask scheduler at \S+ is gone.*dslab sweep --resume", machines.said(sweep))
    wait_until(lambda: not alive(running), 60, "the end of the workers and kernels of a dead scheduler")
    before = parts(out)
    assert 0 < len(before) < 6
    assert len(table(out)) == len(before)
    machines.scheduler()
    machines.worker()
    again = machines.sweep("--resume", out, "--cluster", machines.address)
    assert machines.ended(again) == 0, machines.said(again)
    assert sorted(table(out)["param.window"]) == [1, 2, 3, 4, 5, 6]
    assert {point: parts(out)[point] for point in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_submitting_process_that_ends_leaves_idle_workers_and_can_go_on(
    machines: Machines, two: list[Any], tmp_path: Path, how: signal.Signals
) -> None:
    notebook, out = clusters.slow_toy(tmp_path / "toy.ipynb", 8), tmp_path / "out"
    sweep = machines.sweep(notebook, "-p", "window=1,2,3", "--cluster", machines.address, "--out", out)
    wait_until(lambda: parts(out) and (is_busy(two[1]) or is_busy(two[2])), what="a first point")
    kernels = [*inner(two[1])[1:], *inner(two[2])[1:]]
    sweep.send_signal(how)
    assert machines.ended(sweep, 30) == (130 if how == signal.SIGINT else -how), machines.said(sweep)
    wait_until(lambda: not alive(kernels), 6, "the end of points that nobody waits for")
    assert inner(two[1]), "the cluster itself must stay"
    before = parts(out)
    again = machines.sweep("--resume", out, "--cluster", machines.address)
    assert machines.ended(again) == 0, machines.said(again)
    assert sorted(table(out)["param.window"]) == [1, 2, 3]
    assert {point: parts(out)[point] for point in before} == before


@pytest.mark.slow
def test_a_worker_with_other_code_is_refused_and_a_late_one_gets_nothing(
    machines: Machines, house: Path, tmp_path: Path
) -> None:
    other = clusters.other_house(house, tmp_path / "other")
    notebook, out = clusters.slow_toy(tmp_path / "toy.ipynb"), tmp_path / "out"
    machines.scheduler()
    odd = machines.worker(other)
    refused = machines.sweep(notebook, *SIX, "--cluster", machines.address, "--out", out)
    assert machines.ended(refused) == 2, machines.said(refused)
    assert re.search(r"refused: .*worker tcp://\S+: dslab 9\.\S+ there, \S+ here", machines.said(refused))
    assert not out.exists()
    assert not (tmp_path / "starts").exists()
    odd.terminate()
    odd.wait(30)
    machines.worker()
    sweep = machines.sweep(notebook, *SIX, "--cluster", machines.address, "--out", out)
    wait_until(lambda: parts(out), what="a first point")
    machines.worker(other)
    assert machines.ended(sweep) == 0, machines.said(sweep)
    assert "gets no points: dslab 9." in machines.said(sweep)
    assert table(out)["dslab"].nunique() == 1
    assert len(table(out)) == 6


MURDER = """\
import os, psutil, signal
for parent in psutil.Process().parents():
    if window == 2 and "spawn_main" in " ".join(parent.cmdline()):
        os.kill(parent.pid, signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_point_that_kills_its_workers_is_lost_and_the_others_are_not(
    machines: Machines, two: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "2")
    metric = toys.code("show('metric', name='twice', value=window * 2, unit='keys')", "metric")
    notebook = toys.write(tmp_path / "toy.ipynb", toys.code(toys.SHOW, "set-up"), toys.code(MURDER, "kills"), metric)
    out = tmp_path / "out"
    sweep = machines.sweep(notebook, "-p", "window=1,2,3", "--cluster", machines.address, "--out", out)
    assert machines.ended(sweep) == 1, machines.said(sweep)
    found = table(out).set_index("param.window")
    assert found["status"].to_dict() == {1: "passed", 2: "lost", 3: "passed"}
    assert found.loc[2, "error"] == "2 workers died while they ran it", "and no addresses"
    assert "lost: 2 workers died" in (out / "report.html").read_text()


@pytest.mark.slow
def test_a_cluster_of_its_own_by_name(machines: Machines, tmp_path: Path) -> None:
    notebook, out = clusters.slow_toy(tmp_path / "toy.ipynb", 0.2), tmp_path / "out"
    study = tmp_path / "study.toml"
    study.write_text(
        f'notebook = "{notebook}"\n[parameters]\nwindow = [1, 2, 3]\n[cluster]\nworkers = 2\n'
        'n_workers = 0\nthreads_per_worker = 1\ndashboard_address = "127.0.0.1:0"\n'
    )
    sweep = machines.sweep(study, "--cluster", "distributed:LocalCluster", "--out", out)
    assert machines.ended(sweep) == 0, machines.said(sweep)
    assert sorted(table(out)["param.window"]) == [1, 2, 3]
    assert not re.search("Traceback|distributed.* - (WARNING|ERROR)", machines.said(sweep)), machines.said(sweep)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_ending_a_sweep_ends_the_cluster_it_started(machines: Machines, tmp_path: Path, how: signal.Signals) -> None:
    notebook, out = clusters.slow_toy(tmp_path / "toy.ipynb", 20), tmp_path / "out"
    name = ("--cluster", "distributed:LocalCluster", "--workers", 1)
    sweep = machines.sweep(notebook, "-p", "window=1,2", *name, "--out", out)
    wait_until(lambda: (tmp_path / "starts").exists(), what="a first point")
    family = clusters.family_of(sweep.pid)
    if how == signal.SIGINT:
        os.killpg(sweep.pid, how)  # a terminal's Ctrl-C reaches the workers too
        assert machines.ended(sweep, 30) == 130
        assert "dslab sweep --resume" in machines.said(sweep)
        assert not re.search("Traceback|WARNING|ERROR", machines.said(sweep)), machines.said(sweep)
    else:
        kill(sweep)
        sweep.wait()
    wait_until(lambda: not alive(family), 20, "the end of the workers and kernels of a dead sweep")
