"""The compiled decoding step: two threads, wall time, beside transformers' fp32 in the same process, in turns.

Each kind of weights is measured in a process of its own, which compiles first unless that was done on this machine;
another process then shows how long the first token takes when it was. The roofline is the best bandwidth that torch's
products of a matrix and a vector reach over 400 MB of matrices, fp32 or bf16, in turns with the rest, in that process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from dslab.bench import inference_subjects as subjects
from dslab.bench.inference_speed import between_tokens, our_way, transformers_way
from dslab.bench.report import Row, Table

THREADS, PROMPT, NEW, ROUNDS = 2, 64, 24, 5
KINDS = ("bf16", "int8", "int4")
OVER = {"bf16": (2.5, 3.3), "int8": (4.0, 5.4), "int4": (0.0, 8.0)}  # int4 is reported
SIDE, MATRICES = 4096, 6  # 403 MB in fp32
FIRST = "int8"


def compiled(table: Table) -> None:
    """Rows `compiled KIND over transformers fp32, ...`, `... share of the roofline`, and the warm first token."""
    for kind in KINDS:
        found = _child("measure", kind)
        why = found.get("why", "")
        table.seconds |= {
            f"wall ms/token {name} two threads": 1e3 * found[key]
            for name, key in ((f"compiled {kind}", "ours"), (f"transformers beside {kind}", "theirs"))
            if key in found
        }
        if "bandwidth" in found:
            table.seconds[f"GB/s of matrix times vector, beside {kind}"] = found["bandwidth"] / 1e9
        if "ready" in found:
            table.seconds[f"wall s to load and compile, or find compiled, {kind}"] = found["ready"]
        must, aim = OVER[kind]
        ratio = None if why else found["theirs"] / found["ours"]
        share = None if why else found["bytes"] / found["bandwidth"] / found["ours"]
        table.rows.append(Row(f"compiled {kind} over transformers fp32, two threads", ratio, ">=", must, aim, why))
        if must:
            table.rows.append(Row(f"compiled {kind}, share of the roofline", share, ">=", 0.75, 0.95, why))
    found = _child("first", FIRST)
    quantity = f"compiled {FIRST}: seconds to the first token, warm cache"
    table.rows.append(Row(quantity, found.get("first"), "<=", 20.0, 12.0, found.get("why", "")))


def _child(task: str, kind: str) -> dict[str, Any]:
    """What a fresh process found; {"why": ...} where nothing can be compiled. RuntimeError where it broke."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}
    environment.setdefault(
        "GOMP_SPINCOUNT", "10000"
    )  # a thread that waits bridges the gap between two products, no more
    command = [sys.executable, "-m", "dslab.bench.inference_compiled", task, kind, repr(time.time())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{task} {kind} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _first(kind: str, began: float) -> dict[str, Any]:
    """Seconds from the start of this process to the first token of a request, the prompt's reading included."""
    from dslab.inference import generate

    model = _model(kind)
    if model.why_not is not None:
        return {"why": model.why_not}
    generate(model, subjects.text(PROMPT), 1, ignore_eos=True)
    return {"first": time.time() - began}


def _model(kind: str) -> Any:
    from dslab.inference.compiled import CompiledLlama

    return CompiledLlama(subjects.llama(kind))


def _measure(kind: str) -> dict[str, Any]:
    """Wall seconds per token of both, the bandwidth, and the bytes that a token reads."""
    began = time.perf_counter()
    model = _model(kind)
    if model.why_not is not None:
        return {"why": model.why_not}
    ready = time.perf_counter() - began
    prompt, rate = subjects.text(PROMPT), bandwidth()
    ways = {
        "ours": our_way(model, prompt, NEW, time.perf_counter),
        "theirs": transformers_way(prompt, NEW, time.perf_counter),
    }
    taken: dict[str, list[float]] = {"ours": [], "theirs": [], "bandwidth": []}
    for _ in range(ROUNDS + 1):  # the first is a warm-up
        for name, seconds in between_tokens(ways, 1, warmup=0).items():
            taken[name].append(seconds)
        taken["bandwidth"].append(rate())
    found = {name: statistics.median(figures[1:]) for name, figures in taken.items()}
    return {**found, "bandwidth": max(taken["bandwidth"]), "bytes": model.nbytes(), "ready": ready}


def bandwidth() -> Callable[[], float]:
    """A call that gives the bytes per second of one pass over all matrices, the better of fp32 and bf16."""
    import torch
    import torch.nn.functional as F

    wide = [torch.randn(SIDE, SIDE) for _ in range(MATRICES)]
    narrow = [matrix.bfloat16() for matrix in [*wide, *wide]]  # as many bytes
    x = torch.randn(1, SIDE)

    def rate(matrices: list[Any], x: Any) -> float:
        began = time.perf_counter()
        for matrix in matrices:
            F.linear(x, matrix)
        return sum(matrix.nbytes for matrix in matrices) / (time.perf_counter() - began)

    return lambda: max(rate(wide, x), rate(narrow, x.bfloat16()))


if __name__ == "__main__":
    import torch

    torch.set_num_threads(THREADS)
    task, kind, began = sys.argv[1:]
    print(json.dumps(_first(kind, float(began)) if task == "first" else _measure(kind)))
