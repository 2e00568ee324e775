"""`dslab bench attention`: sparse attention beside PyTorch's own, as ratios of CPU time in one process.

B=1, H=8, D=64, fp32, causal window of 256 with 64 global columns. Beside each ratio stands the bar it must reach.
About four minutes on two quiet cores; `--without-compile` leaves out FlexAttention, whose compilation takes one.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dslab.bench.measure import interleaved
from dslab.bench.memory import extra_peak_bytes
from dslab.bench.report import Row, Table, load, show, this_machine

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load", "main", "measure", "row"]

HEADS, WIDTH, WINDOW, GLOBALS = 8, 64, 256, 64
REPEATS = 5
CAUSAL, MASKED, SPARSE, FLEX = "causal SDPA", "SDPA with a bool mask", "sparse_attention", "compiled FlexAttention"


def main(arguments: list[str]) -> int:
    """Measure, print, and with `--save` keep the table; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="dslab bench attention", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--save", action="store_true", help="keep the table in data/bench/attention.json")
    parser.add_argument("--without-compile", action="store_true", help="leave out FlexAttention")
    options = parser.parse_args(arguments)
    table = measure(with_flex=not options.without_compile, say=print)
    show(table)
    if options.save:
        print(f"saved {table.save().name}")
    return int(any(row.holds is False for row in table.rows))


def measure(with_flex: bool = True, say: Callable[[str], None] = lambda _: None) -> Table:
    """The whole table. Memory comes first, while little has been allocated and freed."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads would count as work
    import torch

    torch.manual_seed(0)
    table = Table("attention", machine=this_machine(torch.get_num_threads()))
    for title, part in PARTS.items():
        if title != "FlexAttention" or with_flex:
            say(f"measuring {title} ...")
            part(table)
    return table


def row(L: int = 4096, repeats: int = 3) -> dict[str, float]:
    """Forward CPU seconds at one length, for a notebook: a few seconds' work."""
    return interleaved(_ways(L, [CAUSAL, MASKED, SPARSE]), repeats)


def pattern() -> Any:
    """The mask of the bench."""
    from dslab.attention import causal, global_tokens, local_window

    return causal() & (local_window(WINDOW) | global_tokens(range(GLOBALS)))


def _random(L: int, requires_grad: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    import torch

    return tuple(torch.randn(1, HEADS, L, WIDTH, requires_grad=requires_grad) for _ in range(3))  # type: ignore[return-value]


def _ways(L: int, names: list[str], backward: bool = False) -> dict[str, Callable[[], Any]]:
    """Calls on the same numbers; with `backward`, a training step's gradients too."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention as sdpa

    from dslab.attention import sparse_attention

    q, k, v = _random(L, backward)
    upstream = torch.randn_like(q)
    dense = pattern().dense(L) if MASKED in names else None
    forward: dict[str, Callable[[], Tensor]] = {
        CAUSAL: lambda: sdpa(q, k, v, is_causal=True),
        MASKED: lambda: sdpa(q, k, v, attn_mask=dense),
        SPARSE: lambda: sparse_attention(q, k, v, pattern(), backend="sparse"),
        FLEX: lambda: sparse_attention(q, k, v, pattern(), backend="flex"),
    }
    if not backward:
        return {name: forward[name] for name in names}

    def step(name: str) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(forward[name](), (q, k, v), upstream)

    return {name: step(name) for name in names}


def _memory(table: Table) -> None:
    L = 8192
    for backward, must, aim in ((False, 2.0, 1.2), (True, 5.0, 3.5)):
        call = _ways(L, [SPARSE], backward)[SPARSE]
        call()  # the plan, the threads
        extra = extra_peak_bytes(call)
        words = "forward and backward" if backward else "forward"
        value = None if extra is None else extra / (4 * HEADS * L * WIDTH * 4)
        why = "needs /proc" if extra is None else ""
        table.rows.append(Row(f"extra peak memory, times q+k+v+o, {words}, {L}", value, "<=", must, aim, why))


def _errors(table: Table) -> None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention as sdpa

    from dslab.attention import sparse_attention

    L = 4096
    q, k, v = _random(L, requires_grad=True)
    upstream, inputs = torch.randn(1, HEADS, L, WIDTH), (q, k, v)
    ours, theirs = sparse_attention(*inputs, pattern(), backend="sparse"), sdpa(*inputs, attn_mask=pattern().dense(L))
    pairs = zip(torch.autograd.grad(ours, inputs, upstream), torch.autograd.grad(theirs, inputs, upstream), strict=True)
    gradient = max((a - b).abs().max().item() for a, b in pairs)
    table.rows.append(Row(f"largest error of the output, {L}", (ours - theirs).abs().max().item(), "<=", 1e-6))
    table.rows.append(Row(f"largest error of the gradients, {L}", gradient, "<=", 1e-5))


def _forward(table: Table) -> None:
    import torch

    seconds: dict[int, dict[str, float]] = {}
    for L in (2048, 4096, 8192, 16384):
        names = [CAUSAL, SPARSE] + ([MASKED] if L <= 8192 else [])
        seconds[L] = interleaved(_ways(L, names), REPEATS)
        table.seconds |= {f"forward {name} {L}": s for name, s in seconds[L].items()}
    for other, bars in (
        (CAUSAL, {4096: (2.3, 4.0), 8192: (4.0, 7.5), 16384: (8.0, 14.0)}),
        (MASKED, {4096: (5.0, 9.0), 8192: (10.0, 18.0)}),
    ):
        for L, (must, aim) in bars.items():
            ratio = seconds[L][other] / seconds[L][SPARSE]
            table.rows.append(Row(f"forward, {other} over ours, {L}", ratio, ">=", must, aim))
    growth = math.log(seconds[16384][SPARSE] / seconds[2048][SPARSE]) / math.log(8)
    table.rows.append(Row("growth exponent, forward, 2048 to 16384", growth, "<=", 1.15, 1.0))

    side = 2048
    m = torch.randn(side, side)
    peak = 2 * side**3 / interleaved({"product": lambda: m @ m}, REPEATS)["product"]
    table.seconds["product of 2048 x 2048 matrices"] = 2 * side**3 / peak
    for L in (4096, 8192, 16384):
        flops = 4 * WIDTH * HEADS * pattern().density(L) * L * L
        share = flops / seconds[L][SPARSE] / peak
        table.rows.append(Row(f"share of the matrix product's rate, allowed pairs only, {L}", share, ">=", 0.25, 0.5))


def _training(table: Table) -> None:
    for L, must, aim in ((4096, 2.3, 4.5), (8192, 4.5, 8.0)):
        seconds = interleaved(_ways(L, [CAUSAL, SPARSE], backward=True), REPEATS)
        table.seconds |= {f"forward and backward {name} {L}": s for name, s in seconds.items()}
        ratio = seconds[CAUSAL] / seconds[SPARSE]
        table.rows.append(Row(f"forward and backward, {CAUSAL} over ours, {L}", ratio, ">=", must, aim))


def _planning(table: Table) -> None:
    import torch

    from dslab.attention.plan import BLOCK, _make_plan

    L = 16384
    afresh = _make_plan.__wrapped__  # past its cache: what the first call at a new length costs
    calls = {"plan": lambda: afresh(pattern(), L, L, 0, BLOCK, torch.device("cpu")), **_ways(L, [SPARSE])}
    seconds = interleaved(calls, REPEATS)
    table.seconds["plan 16384"] = seconds["plan"]
    table.rows.append(Row(f"plan over attention, {L}", seconds["plan"] / seconds[SPARSE], "<=", 1.0, 0.25))


def _topk(table: Table) -> None:
    import torch

    from dslab.attention import indexer_topk, scatter_attention, topk_attention

    L, budget = 8192, 256
    q, k, v = torch.randn(1, HEADS, L, WIDTH), torch.randn(1, 1, L, WIDTH), torch.randn(1, 1, L, WIDTH)
    index = torch.randn(1, L, 4, 32), torch.randn(1, L, 32), torch.rand(1, L, 4)
    chosen = indexer_topk(*index, budget)
    seconds = interleaved(
        {
            "gathered": lambda: topk_attention(q, k, v, chosen),
            "scattered": lambda: scatter_attention(q, k, v, chosen),
            "indexer": lambda: indexer_topk(*index, budget),
        },
        REPEATS,
    )
    table.seconds |= {f"top-{budget} {name} {L}": s for name, s in seconds.items()}
    both = (seconds["scattered"] + seconds["indexer"]) / (seconds["gathered"] + seconds["indexer"])
    words = f"top-{budget} of {L}, dense mask over gathered"
    table.rows.append(Row(f"{words}, attention alone", seconds["scattered"] / seconds["gathered"], ">=", 1.6, 2.2))
    table.rows.append(Row(f"{words}, with the indexer", both, ">=", 1.6, 2.2))


def _flex(table: Table) -> None:
    L = 8192
    try:
        seconds = interleaved(_ways(L, [FLEX, SPARSE]), REPEATS)
        value, why = seconds[FLEX] / seconds[SPARSE], ""
        table.seconds |= {f"forward {FLEX} {L}": seconds[FLEX]}
    except Exception as error:  # no C++ compiler, most often: the other rows still count
        value, why = None, f"{type(error).__name__}: is a C++ compiler installed?"
    table.rows.append(Row(f"forward, {FLEX} over ours, {L}", value, ">=", 0.85, 1.0, why))


PARTS: dict[str, Callable[[Table], None]] = {
    "memory": _memory, "errors": _errors, "forward": _forward, "training": _training, "planning": _planning,
    "top-k": _topk, "FlexAttention": _flex,
}  # fmt: skip
