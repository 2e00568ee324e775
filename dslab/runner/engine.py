"""papermill's engine for the worker: this interpreter's kernel, an honest record of failures, peak memory.

papermill marks a cell that ran into the timeout, and every later one, as completed; the Record here is what counts.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager

from dslab.runner import normalize, sections

SAMPLE_SECONDS = 0.1


@dataclass
class Record:
    """How a run went. status: passed, failed (a cell raised), timeout, died (the kernel ended on its own)."""

    emit: Callable[..., None]
    status: str = "passed"
    error: dict[str, Any] | None = None
    peak_bytes: int = 0


class ThisInterpreter(AsyncKernelManager):
    """A kernel manager that starts this very Python, whatever kernelspecs the machine has under the name python3."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(
            argv=argv,
            display_name="Python 3 (ipykernel)",
            language="python",
            metadata={"supported_encryption": "curve"},
        )


class PeakMemory(threading.Thread):
    """Peak resident memory of a process tree, in bytes: sampled sums, and the kernel's own high-water mark on Linux."""

    def __init__(self, client: PapermillNotebookClient) -> None:
        super().__init__(daemon=True)
        self.client, self.peak_bytes, self.done = client, 0, threading.Event()
        self.group: int | None = None
        self.family: set[psutil.Process] = set()

    def run(self) -> None:
        while not self.done.wait(SAMPLE_SECONDS):
            pid = getattr(getattr(self.client.km, "provisioner", None), "pid", None)
            if pid:
                self.group = getattr(self.client.km.provisioner, "pgid", None)
                self.peak_bytes = max(self.peak_bytes, self._tree_bytes(pid), _high_water_bytes(pid))

    def _tree_bytes(self, pid: int) -> int:
        total = 0
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            for process in [root, *root.children(recursive=True)]:
                self.family.add(process)
                with suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def end_family(self) -> None:
        """End what the kernel started and left behind: its process group, and every descendant that was ever seen.

        Orphans of a dead kernel are nobody's children any more, so their group is what finds them.
        """
        if self.group and hasattr(os, "killpg"):
            with suppress(OSError):
                os.killpg(self.group, signal.SIGKILL)
        for process in self.family:
            with suppress(psutil.Error):
                process.kill()  # checks the identity, so a reused process id is safe


def _high_water_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) * 1024 if match else 0


class Manager(NotebookExecutionManager):
    """papermill's bookkeeping, saving through a temporary name: the file on disk is a whole notebook at any moment."""

    def save(self, **kwargs: Any) -> None:
        if self.output_path:
            normalize.write_text(Path(self.output_path), nbformat.writes(self.nb))
        self.last_save_time = self.now()


class Client(PapermillNotebookClient):
    """papermill's client, which reports each cell and records the failing one itself."""

    def __init__(self, manager: Manager, record: Record, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self.record = record

    def execute(self, **kwargs: Any) -> Any:
        self.reset_execution_trackers()
        memory = PeakMemory(self)
        memory.start()
        try:
            with self.setup_kernel(**kwargs):
                self.papermill_execute_cells()
        finally:
            memory.done.set()
            memory.join(1)
            memory.end_family()
            self.record.peak_bytes = memory.peak_bytes
        return self.nb

    def papermill_execute_cells(self) -> None:
        number = 0
        for index, cell in enumerate(self.nb.cells):
            if cell.cell_type != "code" or not cell.source.strip() or sections.is_skipped(cell):
                cell.metadata.papermill["status"] = self.nb_man.COMPLETED
                continue
            number += 1
            self.record.emit(event="cell", number=number, label=_label(cell, number))
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                self._fail(cell, index, number, "failed", error.ename, normalize.ANSI.sub("", error.evalue))
            except CellTimeoutError:
                self.shutdown_kernel = "immediate"  # a hung kernel answers no polite request
                self._fail(cell, index, number, "timeout", "CellTimeout", f"the cell ran longer than {self.timeout} s")
            except DeadKernelError:
                self._fail(cell, index, number, "died", "KernelDied", _last_words(self.km))
            finally:
                self.nb_man.cell_complete(cell, cell_index=index)
            if self.record.error:
                return

    def _fail(self, cell: Any, index: int, number: int, status: str, name: str, message: str) -> None:
        self.record.status = status
        self.record.error = {
            "cell": number, "id": cell.get("id", ""), "name": name, "message": message, "source": cell.source,
        }  # fmt: skip
        if not any(output.output_type == "error" for output in cell.outputs):
            line = f"{name}: {message}"
            cell.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[line]))
        self.nb_man.cell_exception(cell, cell_index=index)


class Engine(NBClientEngine):
    """papermill's engine with the two classes above."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: str | None = None, **kwargs: Any) -> Any:
        record: Record = kwargs["record"]
        manager = Manager(nb, output_path=output_path, progress_bar=False)
        manager.notebook_start()
        try:
            client = Client(
                manager,
                record,
                kernel_name=kernel_name,
                kernel_manager_class=ThisInterpreter,
                timeout=kwargs["timeout"],
                startup_timeout=120,
                iopub_timeout=60,  # nbclient's four seconds report a timeout on a busy machine where there is none
                store_widget_state=False,
            )
            client.execute()
        finally:
            if record.status == "passed":
                manager.notebook_complete()
            else:
                manager.save()  # notebook_complete would mark the cells that never ran as completed
        return nb


def _label(cell: Any, number: int) -> str:
    name = cell.get("id", "")
    return f"cell {number}" if re.fullmatch(r"[0-9a-f]{6,}|[0-9a-f]{8}-[0-9a-f-]{27}|", name) else name


def _last_words(kernel: Any) -> str:
    code = getattr(getattr(getattr(kernel, "provisioner", None), "process", None), "returncode", None)
    if code is None:
        return "the kernel ended on its own"
    reason = (
        f"by signal {-code}" + (" (out of memory?)" if code == -9 else "") if code < 0 else f"with exit code {code}"
    )
    return f"the kernel ended on its own {reason}"
