"""The machine under a notebook: threads, device, arithmetic, seeds, versions, memory. Torch only on demand."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any

from dslab import paths
from dslab.book import text
from dslab.book.errors import PageError

PACKAGES = ("numpy", "torch", "transformers", "peft", "matplotlib", "ipywidgets")
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def cores() -> int:
    """Cores this process may use: the affinity mask, cut by a container's quota. Binder shows 64 and lends one."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(count, _quota() or count))


def _quota() -> int | None:
    """Whole cores of a Linux control group's quota, rounded up; None where there is no quota."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else -(-int(quota) // int(period))
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup/cpu")
        quota_us = int((group / "cpu.cfs_quota_us").read_text())
        period_us = int((group / "cpu.cfs_period_us").read_text())
        return -(-quota_us // period_us) if quota_us > 0 else None
    return None


def has_torch() -> bool:
    """Whether torch is installed, without importing it."""
    return util.find_spec("torch") is not None


def set_threads(use_torch: bool) -> int:
    """Torch's threads: OMP_NUM_THREADS where the runner or the user set it, else no more than the cores we may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    count = int(asked) if asked.isdigit() and int(asked) > 0 else cores()
    if use_torch:
        import torch

        if torch.get_num_threads() != count:
            torch.set_num_threads(count)
    return count


def set_seed(seed: int, use_torch: bool) -> None:
    """Seed python, numpy and, where it is used, torch on every device."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)
    if use_torch:
        import torch

        torch.manual_seed(seed)


def resolve_device(device: str, use_torch: bool) -> str:
    """`auto` as cuda, mps or cpu; PageError where the named one is not there."""
    if not use_torch:
        if device in ("auto", "cpu"):
            return "cpu"
        raise PageError(text.NO_DEVICE.format(device=device))
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, there in here.items() if there)
    if not here.get(device, False):
        raise PageError(text.NO_DEVICE.format(device=device))
    return device


def resolve_dtype(dtype: str, device: str, size: int = 384, repeats: int = 7) -> Any:
    """The torch dtype of a `dtype` parameter. `auto` times one small product and takes bf16 only where it is faster.

    Without AVX512-BF16 or a like unit, bf16 on a CPU can be twenty times slower than fp32.
    """
    import torch

    if dtype != "auto":
        if dtype not in DTYPES:
            raise PageError(text.DTYPE.format(dtype=dtype))
        return getattr(torch, DTYPES[dtype])
    seconds: dict[Any, list[float]] = {torch.float32: [], torch.bfloat16: []}
    factors = {kind: torch.full((size, size), 0.5, dtype=kind, device=device) for kind in seconds}
    for _ in range(repeats):  # interleaved, so that a busy moment hits both
        for kind, samples in seconds.items():
            start = time.perf_counter()
            (factors[kind] @ factors[kind]).sum().item()  # .item() waits for the device
            samples.append(time.perf_counter() - start)
    fp32, bf16 = (statistics.median(samples) for samples in seconds.values())
    return torch.bfloat16 if bf16 < 0.9 * fp32 else torch.float32


def versions() -> dict[str, str]:
    """Installed versions of what results depend on, read without importing."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def processor() -> str:
    """The processor's name as the system tells it, or its architecture."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def lock_sha256() -> str | None:
    """SHA-256 of requirements.lock; None outside a checkout."""
    root = paths.checkout()
    lock = root / "requirements.lock" if root else None
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock and lock.is_file() else None


def commit() -> str | None:
    """The checkout's commit, read from its files (git itself may be missing); None where there is none."""
    root = paths.checkout()
    if root is None:
        return None
    with contextlib.suppress(OSError, IndexError):
        head = (root / ".git" / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        loose = root / ".git" / name
        if loose.is_file():
            return loose.read_text().strip()
        packed = (root / ".git" / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
    return None


def peak_bytes() -> int:
    """Largest resident memory of this process so far, in bytes."""
    with contextlib.suppress(OSError, StopIteration):  # Linux: ru_maxrss would inherit the parent's peak
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def give_back_memory() -> None:
    """Return what has been freed to the system (glibc only). torch's freed buffers would count as ours for good:
    in notebook 01 that is 0.2 GB, and Binder ends a notebook that has too much."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def give_back_memory_after_cells(shell: Any) -> None:
    """Do so after each cell of a running IPython; asked twice, still once a cell."""
    if shell is not None and give_back_memory not in shell.events.callbacks["post_execute"]:
        shell.events.register("post_execute", give_back_memory)


@contextlib.contextmanager
def frugal() -> Iterator[None]:
    """Return each buffer above 256 KiB to the system as soon as it is freed (glibc only).

    The forward pass and autograd's own thread allocate from arenas of their own, and a training loop holds both: in
    notebook 04 that is 0.2 GB. Costs a fifth of the time, for every page comes back as a fresh one.
    """
    threshold, before, most = -3, 256 << 10, 32 << 20  # M_MMAP_THRESHOLD; glibc raises it by itself up to 32 MiB
    set_option = None
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            set_option = ctypes.CDLL("libc.so.6").mallopt
    if set_option is not None:
        set_option(threshold, before)
    try:
        yield
    finally:
        if set_option is not None:
            set_option(threshold, most)
