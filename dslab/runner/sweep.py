"""`dslab sweep`: run the points of a study, keep each as it comes, and stop so that it can go on."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Any

from rich.console import Console

from dslab import signals
from dslab.runner import sweep_folder, sweep_plan, sweep_view, table
from dslab.runner.executors import ClusterGone, Executor, Local
from dslab.runner.selection import Refused
from dslab.runner.study import Point
from dslab.runner.sweep_folder import CannotWrite
from dslab.runner.sweep_plan import Asked, Plan

GOOD, FAILED, INTERRUPTED = 0, 1, 130
REPORT_SECONDS = 10.0  # between two reports, at least
REPORT_SHARE = 20  # times as long as one takes: drawing must not take the cores from what is measured
POLL_SECONDS = 0.5


def sweep(asked: Asked) -> int:
    """Run a command line. Returns the exit code: 0 all points passed, 1 some did not, 130 interrupted.

    Raises Refused or ParameterError before any process starts.
    """
    plan = sweep_plan.prepare(asked)
    console = Console(highlight=False)
    if asked.dry_run:
        sweep_view.dry_run(plan, asked.workers or 1, console)
        return GOOD
    executor = _executor(asked, plan)
    try:
        plan.folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{plan.folder.shown} cannot be made: {error.strerror or error}") from None
    with plan.folder.held():
        if asked.resume is None:
            sweep_folder.refuse_unless_empty(plan.folder)
        else:
            plan = sweep_plan.prepare(asked)  # another sweep may have gone on in between
        try:
            return _Sweep(plan, executor, console, asked.command).run(begin=asked.resume is None)
        except Refused:  # by the cluster or the disk, before anything ran
            if asked.resume is None:
                plan.folder.remove_empty()
            raise


def _executor(asked: Asked, plan: Plan) -> Executor:
    if asked.cluster is None:
        return Local(asked.workers or 1)
    from dslab.runner import cluster

    options = plan.study.cluster | ({} if asked.workers is None else {"workers": asked.workers})
    found: Executor = cluster.connect(asked.cluster, options)
    return found


class _Sweep:
    """One session of a sweep that holds its folder."""

    def __init__(self, plan: Plan, executor: Executor, console: Console, command: str) -> None:
        self.plan, self.executor, self.console, self.command = plan, executor, console, command
        self.folder = plan.folder
        self.began = time.monotonic()
        self.report_due = self.began + REPORT_SECONDS
        self.waiting = deque(plan.todo)
        self.out: dict[str, Point] = {}

    def run(self, begin: bool) -> int:
        """From the record to the last word. Returns the exit code."""
        code, why = FAILED, ""
        try:
            self.folder.tidy()
            if self.waiting:
                self.executor.start()
            if begin:
                self.folder.begin(self.plan.study, self.plan.notebook, self.command)
            if self.waiting:
                self._say_start()
                with sweep_view.Follow(self.plan, self.console) as follow:
                    while self.waiting or self.out:
                        self._hand_out()
                        self._take_in(follow)
            code = GOOD
        except KeyboardInterrupt:
            code, why = INTERRUPTED, "interrupted"
        except (CannotWrite, ClusterGone) as error:
            why = str(error)
        finally:
            with signals.held():
                self.executor.close(at_once=code != GOOD)
        if not self.folder.is_sweep():  # it ended while it waited for a cluster: there is nothing to go on with
            self.folder.remove_empty()
            self.console.print(f"{why}; nothing was run", markup=False, soft_wrap=True)
            return code
        if code != GOOD:
            with signals.held():
                self._take_in_last()
        return self._end(code, why)

    def _say_start(self) -> None:
        sweep_view.describe(self.plan, self.console)
        done = len(self.plan.points) - len(self.plan.todo)
        kept = f", {done} are there already" if done else ""
        self.console.print(f"into {self.folder.shown}, on {self.executor.where}{kept}", markup=False, soft_wrap=True)
        told = sweep_view.prediction(self.plan, self.executor.slots)
        self.console.print(told, markup=False, soft_wrap=True)

    def _hand_out(self) -> None:
        while self.waiting and len(self.out) < 2 * self.executor.slots:
            point = self.waiting.popleft()
            self.out[point.id] = point
            study = self.plan.study
            self.executor.submit({
                "id": point.id, "index": point.index, "name": study.notebook, "notebook": self.plan.notebook,
                "values": point.values, "timeout": study.timeout, "threads": 1,
            })  # fmt: skip

    def _take_in(self, follow: sweep_view.Follow) -> None:
        came = self.executor.finished(POLL_SECONDS)
        with signals.held():
            for key, result in came:
                point = self.out.pop(key, None)
                if point is None:
                    continue  # it came twice
                if result["row"]["status"] == "interrupted":
                    self.waiting.appendleft(point)  # it is no result
                    continue
                self.folder.save(point, self.plan.study, result)
                follow.point(point, result["row"], self.executor.slots)
            if came:
                self.folder.tables()
        if came and time.monotonic() > self.report_due:
            self._report(interrupted=False, running=True)

    def _take_in_last(self) -> None:
        """Keep what had ended between the last look and the end: an hour of work may lie there."""
        with contextlib.suppress(CannotWrite, ClusterGone, KeyboardInterrupt):
            for key, result in self.executor.finished(0):
                point = self.out.pop(key, None)
                if point is not None and result["row"]["status"] not in ("interrupted", "lost"):
                    self.folder.save(point, self.plan.study, result)

    def _end(self, code: int, why: str) -> int:
        """The tables and the report as they now are, and what to do next."""
        with signals.held():
            try:
                self.folder.tables()
                page = self._report(interrupted=code == INTERRUPTED, running=False)
            except CannotWrite as error:
                page, code, why = "", FAILED if code == GOOD else code, why or str(error)
            rows = self.folder.rows()
            sweep_view.last_words(self.plan, rows, self.console)
            shown = self.folder.shown
            if rows:
                self.console.print(f"table: {shown}/{table.PARQUET} and .csv{page}", markup=False, soft_wrap=True)
            if why:
                self.console.print(f"{why}; go on with: {self.plan.resume_command}", markup=False, soft_wrap=True)
        if code == GOOD and (len(rows) < len(self.plan.points) or any(row["status"] != "passed" for row in rows)):
            return FAILED
        return code

    def _report(self, *, interrupted: bool, running: bool) -> str:
        """Write report.html; what is wrong with a page never ends a sweep. Returns the words that name it."""
        from dslab.runner import sweep_report

        began = time.monotonic()
        rows = self.folder.rows()
        state: dict[str, Any] = {
            "done": len(rows), "total": len(self.plan.points), "interrupted": interrupted, "running": running,
            "failed": sum(row["status"] != "passed" for row in rows), "seconds": began - self.began,
            "command": self.folder.begun_with() or self.command,
        }  # fmt: skip
        try:
            page = sweep_report.write(
                self.folder.path, self.plan.study, table.frame(rows), table.units(self.folder.path), state
            )
        except OSError as error:
            raise CannotWrite(f"cannot write to {self.folder.shown}: {error.strerror or error}") from None
        except Exception as error:
            told = f"the report could not be made ({type(error).__name__}: {error}); the table is not touched by that"
            self.console.print(told, markup=False, soft_wrap=True)
            return ""
        finally:
            now = time.monotonic()
            self.report_due = now + max(REPORT_SECONDS, REPORT_SHARE * (now - began))
        return f"; report: {self.folder.shown}/{page.name}"
