"""`dslab bench inference`: caches, weights, batches and guessing ahead, beside transformers, on SmolLM2.

One thread and process CPU time, in turns, medians; `compiled` alone takes two threads and wall time, in processes of
its own. Beside each speed stands the perplexity of the same weights. Parts, each of some minutes at most:

    speed      one request, eager, fp32 to int4, beside transformers' generate with its DynamicCache
    uncached   the same model with and without a cache
    quality    perplexity by the same weights, and by int4 with the norms' gains folded in
    caches     perplexity and bytes of quantised caches
    windows    perplexity through a window of 256 tokens, with and without sinks
    batch      16 mixed requests beside a padded `generate` and `generate_batch`
    prefix     16 requests that share 96 tokens, beside 16 that share none
    lookup     prompt lookup on a text that is to be copied
    mla        one layer of DeepSeek-V2-Lite's sizes: all latents expanded, or absorbed
    compiled   the compiled step: bf16, int8, int4; its share of the roofline; its first token
    llama.cpp  the same weights by the wheel `xllamacpp`, if installed: shown, not claimed

`--part NAME ...` measures only these; with `--save` their rows go into the saved table.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from dslab.bench.inference_mla import mla_step, tiny_deepseek
from dslab.bench.report import Table, load, show, this_machine

__all__ = ["PARTS", "load", "main", "measure", "merged", "mla_step", "saved", "tiny_deepseek", "value", "weights_rows"]

PARTS = {
    "speed": ("inference_speed", "speed"), "uncached": ("inference_speed", "uncached"),
    "quality": ("inference_quality", "weights"), "caches": ("inference_quality", "caches"),
    "windows": ("inference_quality", "windows"), "batch": ("inference_batch", "mixed"),
    "prefix": ("inference_batch", "prefix"), "lookup": ("inference_batch", "lookup"),
    "mla": ("inference_mla", "absorption"), "compiled": ("inference_compiled", "compiled"),
    "llama.cpp": ("inference_llamacpp", "beside"),
}  # fmt: skip
FOLDED = "int4, gains folded in"


def main(arguments: list[str]) -> int:
    """Measure, print, and with `--save` keep the table; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="dslab bench inference", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--save", action="store_true", help="keep the table in data/bench/inference.json")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="measure only these")
    options = parser.parse_args(arguments)
    table = Table("inference")
    for part in options.part:
        found = measure([part], say=print)
        table = Table("inference", table.rows + found.rows, table.seconds | found.seconds, found.machine)
        if options.save:  # at once, so that what breaks later costs nothing of this
            merged(found).save()
    show(table)
    if options.save:
        print(f"saved {merged(table, options.part).save().name}")
    return int(any(row.holds is False for row in table.rows))


def measure(parts: Iterable[str] = tuple(PARTS), say: Callable[[str], None] = lambda _: None) -> Table:
    """The rows of these parts, measured on one thread (the compiled ones on two, elsewhere)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads would count as work
    import torch

    threads = torch.get_num_threads()
    table = Table("inference", machine=this_machine(threads=1))
    torch.set_num_threads(1)
    try:
        for name in parts:
            say(f"measuring {name} ...")
            module, function = PARTS[name]
            getattr(importlib.import_module(f"dslab.bench.{module}"), function)(table)
    finally:
        torch.set_num_threads(threads)
    return table


def merged(new: Table, parts: Iterable[str] = ()) -> Table:
    """The saved table with the new rows in the places of the old ones; the new one alone where it has all parts."""
    if set(parts) == set(PARTS):
        return new
    try:
        old = load("inference")
    except FileNotFoundError:
        return new
    rows = {row.quantity: row for row in old.rows} | {row.quantity: row for row in new.rows}
    return Table("inference", list(rows.values()), old.seconds | new.seconds, new.machine)


def saved() -> Table:
    """The table that the notebook shows. Raises FileNotFoundError that says how to make one."""
    return load("inference")


def value(table: Table, quantity: str) -> float:
    """What was measured, by its name among the rows or the raw figures.

    KeyError where the table has no such name; ValueError, with the reason, where it could not be measured.
    """
    for row in table.rows:
        if row.quantity == quantity:
            if row.value is None:
                raise ValueError(f"{quantity}: not measured ({row.why})")
            return row.value
    return table.seconds[quantity]


def weights_rows(table: Table) -> list[dict[str, Any]]:
    """One row for each kind of weights: how large, how fast (P=64), and how good, all of the same weights.

    weights; MB, read for a token; times transformers' speed; perplexity; change in % of the fp32 weights' perplexity.
    """
    raw = table.seconds
    return [
        {
            "weights": kind,
            "MB": raw[f"MB {kind}"],
            "times transformers' speed": raw["ms/token transformers P=64"] / raw[f"ms/token {kind} P=64"],
            "perplexity": raw[f"perplexity {kind}"],
            "change in %": 100 * (raw[f"perplexity {kind}"] / raw["perplexity fp32"] - 1),
        }
        for kind in ("fp32", "bf16", "int8", "int4", FOLDED)
    ]
