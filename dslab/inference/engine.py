"""Many requests at once: continuous batching over a paged cache.

    engine = Engine(lm)                                    # a transformers model of the Llama family, or a Llama
    engine.generate(prompt_ids, max_new_tokens=64)         # one request, the new tokens
    ids = [engine.add(p, max_new_tokens=64) for p in prompts]
    tokens = engine.run()                                  # {id: new tokens}; or step() by step()

Each step is one forward over the next tokens of all running requests in one flat row: nothing is padded. Greedy tokens
are those of each request alone (fp32; rounding may differ with the number of rows, and decide between equals).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dslab.inference.blocks import BlockPool
from dslab.inference.cache import CacheFull
from dslab.inference.compiled import CompiledLlama
from dslab.inference.decoding import checked_prompt, generate, stop_set
from dslab.inference.llama import Llama
from dslab.inference.packing import packed
from dslab.inference.paged_batch import PagedBatch
from dslab.inference.sampling import Sampler, Sampling
from dslab.inference.scheduler import Request, Scheduler

POOL_TOKENS = 8192  # what a pool holds if nobody says; memory is taken only where it is written to


@dataclass(frozen=True)
class Work:
    """What one request did in one step: tokens start to start + count of its sequence."""

    id: int
    kind: str  # "prefill", "decode", or "shared": found in the pool, not computed
    start: int
    count: int


@dataclass(frozen=True)
class Step:
    """One step of the engine. used: blocks held when it had computed, before anyone gave his back."""

    work: tuple[Work, ...]
    used: int
    waiting: int


class Engine:
    """A model and its pool of blocks, for any number of requests.

    model      a transformers model of the Llama family, or a Llama (whose weights then count)
    max_batch  requests that run at once
    compile    compile what single tokens need, if that was never done on this machine; see CompiledLlama
    block      tokens in a block; blocks: how many, default enough for 8192 tokens
    chunk      tokens computed in one step at most; long prompts are cut
    weights    "fp32", "bf16", "int8", "int4"
    preempt    admit requests before the pool can hold them to their end; see Scheduler
    pack       fp32 weights: hold a second copy, with which batches are faster; see packed

    pool       the BlockPool: pool.used, pool.free
    why_not    a sentence where compile=True can do nothing here; else None
    timeline   a Step for each step so far
    """

    def __init__(
        self, model: Any, max_batch: int = 16, compile: bool = False, block: int = 16, blocks: int | None = None,
        chunk: int = 512, weights: str = "fp32", preempt: bool = False, pack: bool = True,
    ) -> None:  # fmt: skip
        llama = model if isinstance(model, Llama) else Llama(model, weights)
        llama = CompiledLlama(llama) if compile else llama
        self.llama = packed(llama) if pack else llama
        self.pool = BlockPool(blocks or -(-POOL_TOKENS // block), block)
        self.scheduler = Scheduler(self.pool, max_batch, chunk, preempt)
        self.timeline: list[Step] = []
        self._finished: dict[int, list[int]] = {}
        self._next = 0

    @property
    def why_not(self) -> str | None:
        return self.llama.why_not if isinstance(self.llama, CompiledLlama) else None

    def generate(
        self, prompt_ids: Sequence[int] | Tensor, max_new_tokens: int, ignore_eos: bool = False,
        sampling: Sampling | None = None, stop_ids: Iterable[int] = (),
    ) -> list[int]:  # fmt: skip
        """The new tokens of one request, alone and at once, over a cache in one piece. An end token stops and is the
        last; with ignore_eos it goes on after it. ValueError as `dslab.inference.generate`."""
        return generate(
            self.llama, prompt_ids, max_new_tokens, sampling=sampling, ignore_eos=ignore_eos, stop_ids=stop_ids
        )

    def add(
        self, prompt_ids: Sequence[int] | Tensor, max_new_tokens: int, sampling: Sampling | None = None,
        stop_ids: Iterable[int] = (), on_token: Callable[[int, int], object] | None = None, ignore_eos: bool = False,
    ) -> int:  # fmt: skip
        """Queue a request; its id. on_token(id, token) is called for each new token, as soon as it is known.

        Raises ValueError for an empty prompt, ids beyond the vocabulary, no new tokens or more than the context holds;
        CacheFull if the pool could never hold it. Nothing is queued then.
        """
        prompt = checked_prompt(self.llama.config, prompt_ids, max_new_tokens)
        stops = stop_set(self.llama.config, stop_ids, ignore_eos)
        self.scheduler.add(Request(self._next, prompt, max_new_tokens, Sampler(sampling), stops, on_token))
        self._next += 1
        return self._next - 1

    def cancel(self, id: int) -> list[int]:
        """Drop a request that waits or runs, and free its blocks; the tokens it had. KeyError if there is none."""
        request = next((r for r in (*self.scheduler.running, *self.scheduler.waiting) if r.id == id), None)
        if request is None:
            raise KeyError(f"no request {id} waits or runs")
        self.scheduler.stop(request)
        return request.new

    def run(self) -> dict[int, list[int]]:
        """Step until nothing waits; the new tokens of all requests that finished since the last call."""
        while self.scheduler.waiting or self.scheduler.running:
            self.step()
        finished, self._finished = self._finished, {}
        return finished

    @torch.inference_mode()
    def step(self) -> list[tuple[int, int]]:
        """One forward: (id, token) for each request that has a new token; [] when nothing waits.

        If it raises (out of memory, Ctrl-C), no token is lost: the requests of the step wait again, their blocks are
        free, and the next step goes on. A request whose on_token raises, or whose logits are broken, is dropped, and
        its error raised when the others have their tokens.
        """
        before = {request.id for request in self.scheduler.running}
        work, batch = self._batch()
        if batch is None:
            return []
        try:
            tokens = torch.tensor([[t for r, n in work for t in r.tokens[r.fed : r.fed + n]]])
            starts = [request.fed for request, _ in work]
            hidden = self.llama.forward(tokens, batch, logits=None)
            ready = [place for place, (request, _) in enumerate(work) if request.todo == 0]
            scores = self.llama.scores(hidden[:, batch.last[ready]])[0] if ready else None
        except BaseException:
            for request, _ in work:
                self.scheduler.put_back(request)
            raise
        self._record(work, starts, before)
        return [] if scores is None else self._choose([work[place][0] for place in ready], scores)

    def _batch(self) -> tuple[list[tuple[Request, int]], PagedBatch | None]:
        """What to compute, with the blocks for it taken; makes room where there is too little."""
        work = self.scheduler.plan()
        while work:
            try:
                return work, PagedBatch([request.cache for request, _ in work], [count for _, count in work])  # type: ignore[misc]
            except CacheFull:
                if not self.scheduler.make_room():
                    for request, _ in work:
                        self.scheduler.put_back(request)
                    raise
            work = self.scheduler.plan(admit=False)
        return [], None

    def _record(self, work: list[tuple[Request, int]], starts: list[int], before: set[int]) -> None:
        done = []
        for (request, count), start in zip(work, starts, strict=True):
            if request.id not in before and request.shared:
                done.append(Work(request.id, "shared", 0, request.shared))
            kind = "decode" if start >= request.prompt else "prefill"
            done.append(Work(request.id, kind, start, count))
        self.timeline.append(Step(tuple(done), self.pool.used, len(self.scheduler.waiting)))

    def _choose(self, ready: list[Request], scores: Tensor) -> list[tuple[int, int]]:
        """Pick, record and hand out one token for each request; scores: (requests, vocab)."""
        out, failed = list[tuple[int, int]](), None
        try:
            for request, row, likeliest in zip(ready, scores, scores.argmax(-1).tolist(), strict=True):
                if request not in self.scheduler.running:
                    continue  # another's on_token has cancelled it
                sampling = request.sampler.sampling
                plain = sampling.greedy and sampling.repetition_penalty == 1
                try:
                    token = likeliest if plain else request.sampler.pick(row, request.tokens)
                    request.tokens.append(token)
                    out.append((request.id, token))
                    if request.on_token is not None:
                        request.on_token(request.id, token)
                except Exception as error:
                    self.scheduler.stop(request)
                    failed = failed or error
        finally:
            for request in ready:
                self._settle(request)
        if failed is not None:
            raise failed
        return out

    def _settle(self, request: Request) -> None:
        """After a step: finished, or fit for the next one even where Ctrl-C came before its token."""
        if request in self.scheduler.running:
            if request.done:
                self.scheduler.stop(request)
                self._finished[request.id] = request.new
            elif request.todo == 0:
                self.scheduler.put_back(request)
