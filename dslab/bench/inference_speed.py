"""One request, one token at a time: CPU time per token, ours in four kinds of weights and transformers'.

Time is taken between the tokens as they come out, so that the prompt costs nothing here, and the same way for all:
transformers calls its streamer, ours is a generator. transformers' own model called in a plain loop, without what
`generate` does around it, stands among the raw figures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from dslab.bench import inference_subjects as subjects
from dslab.bench.report import Row, Table

ROUNDS, SHORT, LONG = 7, 64, 512  # tokens of the prompt
NEW = {SHORT: 24, LONG: 16}  # tokens written after it
UNCACHED = {SHORT: 8, LONG: 3}
BARS = {"fp32": (1.1, 1.3), "bf16": (1.2, 1.6), "int8": (2.0, 2.6), "int4": (2.8, 4.0)}
THEIRS, LOOP = "transformers", "transformers in a loop"
Now = Callable[[], float]  # what clock: CPU seconds of this process by default
Way = Callable[[], list[float]]  # one run: the time when each new token was there


def speed(table: Table) -> None:
    """Rows `eager KIND over transformers, P=...`."""
    for P, new in NEW.items():
        prompt = subjects.text(P)
        ways: dict[str, Way] = {THEIRS: transformers_way(prompt, new), LOOP: _loop(prompt, new)}
        kinds = [*subjects.KINDS, *([subjects.FOLDED] if P == SHORT else [])]
        ways |= {kind: our_way(subjects.llama(kind), prompt, new) for kind in kinds}
        taken = between_tokens(ways, ROUNDS)
        table.seconds |= {f"ms/token {name} P={P}": 1e3 * seconds for name, seconds in taken.items()}
        for kind, (must, aim) in BARS.items():
            table.rows.append(
                Row(f"eager {kind} over transformers, P={P}", taken[THEIRS] / taken[kind], ">=", must, aim)
            )
    table.seconds |= {f"MB {kind}": subjects.llama(kind).nbytes() / 1e6 for kind in kinds_and_folded()}


def kinds_and_folded() -> list[str]:
    """All kinds of weights, and the warning."""
    return [*subjects.KINDS, subjects.FOLDED]


def uncached(table: Table) -> None:
    """Row `cached over uncached, P=64`; the raw figures have P=512 too."""
    for P, new in UNCACHED.items():
        prompt = subjects.text(P)
        model = subjects.llama()
        taken = between_tokens({"cached": our_way(model, prompt, new), "uncached": _afresh(model, prompt, new)}, 5)
        table.seconds |= {f"ms/token fp32, {name} P={P}": 1e3 * seconds for name, seconds in taken.items()}
        ratio = taken["uncached"] / taken["cached"]
        if P == SHORT:
            table.rows.append(Row(f"cached over uncached, P={P}", ratio, ">=", 3.0))
        else:
            table.seconds[f"cached over uncached, P={P}"] = ratio


def between_tokens(ways: dict[str, Way], rounds: int, warmup: int = 1) -> dict[str, float]:
    """Median over the rounds of the median CPU seconds from one token to the next; the ways take turns."""
    medians: dict[str, list[float]] = {name: [] for name in ways}
    for way in [*ways.values()] * warmup:
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            at = way()
            medians[name].append(statistics.median(b - a for a, b in pairwise(at)))
    return {name: statistics.median(found) for name, found in medians.items()}


class _Clock:
    """What `generate` calls with the prompt, and then with each new token."""

    def __init__(self, now: Now) -> None:
        self.at, self.now = list[float](), now

    def put(self, value: Any) -> None:
        self.at.append(self.now())

    def end(self) -> None:
        pass


def transformers_way(prompt: list[int], new: int, now: Now = time.process_time) -> Way:
    """transformers' `generate`, greedy, with the cache it takes by itself."""
    import torch

    lm, ids = subjects.base()[0], torch.tensor([prompt])

    def run() -> list[float]:
        clock = _Clock(now)
        lm.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, min_new_tokens=new, do_sample=False,
            streamer=clock,
        )  # fmt: skip
        return clock.at[1:]

    return run


def _loop(prompt: list[int], new: int) -> Way:
    import torch
    from transformers import DynamicCache

    lm = subjects.base()[0]

    def tokens() -> Iterator[int]:
        cache, ids = DynamicCache(config=lm.config), torch.tensor([prompt])
        for _ in range(new):
            with torch.inference_mode():
                ids = lm(ids, past_key_values=cache, logits_to_keep=1).logits[:, -1].argmax(-1, keepdim=True)
            yield int(ids)

    return lambda: [time.process_time() for _ in tokens()]


def our_way(model: Any, prompt: list[int], new: int, now: Now = time.process_time) -> Way:
    """A Llama's greedy tokens, by `stream`."""
    from dslab.inference import ContiguousCache, stream

    cache = ContiguousCache(len(prompt) + new)  # the prompt is fed once; later runs find it here

    def run() -> list[float]:
        cache.truncate(min(len(cache), len(prompt)))
        return [now() for _ in stream(model, prompt, new, cache=cache, ignore_eos=True)]

    return run


def _afresh(model: Any, prompt: list[int], new: int) -> Way:
    import torch

    def tokens() -> Iterator[int]:
        ids = list(prompt)
        for _ in range(new):
            ids.append(int(model.forward(torch.tensor([ids]))[0, -1].argmax()))
            yield ids[-1]

    return lambda: [time.process_time() for _ in tokens()]
