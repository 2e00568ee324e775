"""What fewer bits and fewer tokens cost: perplexity, by the weights and the caches that the other parts time.

The text is Python's help, read through a cache in chunks, each token predicted from all before it (the model's context
is 8,192 tokens).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dslab.bench import inference_subjects as subjects
from dslab.bench.report import Row, Table

TOKENS, CHUNK = 4097, 32  # 4,096 predictions
WEIGHTS = {"bf16": 0.5, "int8": 2.0, "int4": 1.5}  # % more perplexity at most
WINDOW, SINKS, WINDOW_TOKENS, SKIP = 256, 4, 2049, 512  # judged after the window is long full


def weights(table: Table) -> None:
    """Rows `perplexity of KIND weights, change in %`."""
    found = {kind: _perplexity(subjects.llama(kind), chunk=256) for kind in (*subjects.KINDS, subjects.FOLDED)}
    table.seconds |= {f"perplexity {kind}": ppl for kind, ppl in found.items()}
    for kind, most in WEIGHTS.items():
        change = 100 * (found[kind] / found["fp32"] - 1)
        table.rows.append(Row(f"perplexity of {kind} weights, change in %", change, "<=", most))


def caches(table: Table) -> None:
    """Rows for the int8 cache and KIVI's layout in 4 bits; naive int4 and 2 bits among the raw figures."""
    from dslab.inference import ContiguousCache, QuantizedCache

    ways: dict[str, Callable[[], Any]] = {
        "full cache": lambda: ContiguousCache(TOKENS), "int8 cache": lambda: QuantizedCache(bits=8),
        "int4 cache, a scale a token": lambda: QuantizedCache(bits=4),
        "kivi4 cache": lambda: QuantizedCache(bits=4, scheme="kivi"),
        "kivi2 cache": lambda: QuantizedCache(bits=2, scheme="kivi"),
    }  # fmt: skip
    found = {name: _perplexity(subjects.llama(), make()) for name, make in ways.items()}
    share = {name: _share(make()) for name, make in ways.items()}
    table.seconds |= {f"perplexity {name}": ppl for name, ppl in found.items()}
    table.seconds |= {f"bytes over bf16, {name}": part for name, part in share.items()}
    for name, most, worse in (("int8 cache", 0.52, 1.0), ("kivi4 cache", 0.30, 2.0)):
        change = 100 * (found[name] / found["full cache"] - 1)
        table.rows.append(Row(f"{name}: bytes over bf16", share[name], "<=", most))
        table.rows.append(Row(f"{name}: perplexity, change in %", change, "<=", worse))


def _share(cache: Any) -> float:
    """Bytes of the cache over those of the same keys and values in bf16, as a model in bf16 hands them over."""
    import torch

    c = subjects.llama().config
    k, v = torch.randn(2, 1, c.kv_heads, TOKENS - 1, c.head_dim).bfloat16()
    for part in zip(k.split(CHUNK, 2), v.split(CHUNK, 2), strict=True):
        cache.append(0, *part)
    return float(cache.nbytes() / (k.nbytes + v.nbytes))


def windows(table: Table) -> None:
    """Rows `window of 256 ...: perplexity over full`."""
    from dslab.inference import ContiguousCache, SinkCache
    from dslab.inference.perplexity import perplexity

    llama = subjects.llama()
    ways: dict[str, Any] = {
        "everything": ContiguousCache(WINDOW_TOKENS),
        "with sinks": SinkCache(WINDOW, sinks=SINKS, rope=llama.rope),
        "alone": SinkCache(WINDOW, sinks=0),
    }
    ids = subjects.text(WINDOW_TOKENS)
    found = {name: perplexity(llama, ids, cache, chunk=CHUNK, skip=SKIP) for name, cache in ways.items()}
    table.seconds |= {f"perplexity window {name}": ppl for name, ppl in found.items()}
    for name, bound, must in (("with sinks", "<=", 1.35), ("alone", ">=", 1.8)):
        ratio = found[name] / found["everything"]
        table.rows.append(Row(f"window of {WINDOW} {name}: perplexity over full", ratio, bound, must))


def _perplexity(llama: Any, cache: Any = None, chunk: int = CHUNK) -> float:
    from dslab.inference import ContiguousCache
    from dslab.inference.perplexity import perplexity

    cache = ContiguousCache(TOKENS) if cache is None else cache
    return float(perplexity(llama, subjects.text(TOKENS), cache, chunk=chunk))
