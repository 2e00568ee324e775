"""Which request computes what in the next step: the decisions of continuous batching, and no arithmetic.

    scheduler.add(request)
    for request, count in scheduler.plan(): ...    # feed the next `count` tokens of request.tokens

Requests that are past their prompt get one token each; what is left of the step's budget goes to prompts, in pieces,
in the order of arrival (chunked prefill, Agrawal et al., arXiv 2308.16369). So nobody's next token waits for a long
prompt, and a place in the batch is filled the moment it is free (Yu et al., Orca, 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dslab.inference.blocks import BlockPool
from dslab.inference.cache import CacheFull
from dslab.inference.paged import PagedCache
from dslab.inference.sampling import Sampler


@dataclass(eq=False)
class Request:
    """One prompt on its way. tokens: the prompt, then what was generated; the cache holds the first ones of them."""

    id: int
    tokens: list[int]
    most: int  # new tokens at most
    sampler: Sampler
    stops: frozenset[int]
    on_token: Callable[[int, int], object] | None = None
    cache: PagedCache | None = None
    shared: int = 0  # tokens that it found computed when it was admitted
    prompt: int = field(init=False)  # tokens of the prompt

    def __post_init__(self) -> None:
        self.prompt = len(self.tokens)

    @property
    def new(self) -> list[int]:
        return self.tokens[self.prompt :]

    @property
    def fed(self) -> int:
        return 0 if self.cache is None else len(self.cache)

    @property
    def todo(self) -> int:
        """Tokens that are known and not yet fed; 1 once the prompt is done."""
        return len(self.tokens) - self.fed

    @property
    def done(self) -> bool:
        new = len(self.tokens) - self.prompt
        return new >= self.most or (new > 0 and self.tokens[-1] in self.stops)

    def blocks(self, block: int) -> int:
        """Blocks it will hold at the end at most. The last token is never fed."""
        return -(-(self.prompt + self.most - 1) // block)


class Scheduler:
    """Requests that wait and that run. Blocks are taken by running requests only, and given back by `stop`.

    batch    requests that run at once
    chunk    tokens in a step, if prompts are to be fed (those that decode are never held back)
    preempt  False: a request is admitted when the pool can hold it to its end, so that it is never interrupted.
             True: when it can hold the tokens known now; if blocks run out, the youngest is put back and later
             computes again what was lost (`make_room`).
    """

    def __init__(self, pool: BlockPool, batch: int = 16, chunk: int = 256, preempt: bool = False) -> None:
        if batch < 1 or chunk < 1:
            raise ValueError(f"max_batch and chunk must be at least 1; got {batch} and {chunk}")
        self.pool, self.batch, self.chunk, self.preempt = pool, batch, chunk, preempt
        self.waiting: list[Request] = []
        self.running: list[Request] = []

    def add(self, request: Request) -> None:
        """CacheFull if even the empty pool could not hold it."""
        need = request.blocks(self.pool.block)
        if need > self.pool.blocks:
            raise CacheFull(
                f"the request needs {need} blocks of {self.pool.block} tokens for its prompt of {request.prompt} and "
                f"{request.most} new tokens; the pool has {self.pool.blocks}: make the engine with more blocks"
            )
        self.waiting.append(request)

    def plan(self, admit: bool = True) -> list[tuple[Request, int]]:
        """Each running request that computes in the next step, and how many tokens; admits what waits.

        admit=False: nobody new, as after `make_room`, or who was just put back would come again at once.
        CacheFull if nothing can run, because somebody outside holds the blocks.
        """
        budget = self.chunk - sum(request.todo == 1 for request in self.running)
        work = []
        for request in self.running:
            count = 1 if request.todo == 1 else min(request.todo, budget)
            if count > 0:
                work.append((request, count))
                budget -= count if request.todo > 1 else 0
        for request in list(self.waiting) if admit else []:
            if budget <= 0 or len(self.running) >= self.batch:
                break
            if self._prefix_is_being_computed(request):
                continue
            if not self._fits(request):
                break  # the first in the queue is not overtaken, or it might wait for ever
            self._admit(request)
            count = min(request.todo, budget)
            work.append((request, count))
            budget -= count
        if not work and self.waiting:
            raise CacheFull(
                f"{self.pool.used} of {self.pool.blocks} blocks are held outside the engine, and what is left is too "
                f"little for request {self.waiting[0].id}: free() those caches"
            )
        return work

    def _prefix_is_being_computed(self, request: Request) -> bool:
        """Whether a running request is about to fill blocks that this one can share if it waits."""
        block, tokens = self.pool.block, request.tokens
        known = self.pool.lookup(tokens[:-1])[1]
        for other in self.running:
            if (
                other.todo > 1
                and other.tokens[: known + block] == tokens[: known + block]
                and known + block < len(tokens)
            ):
                return True
        return False

    def _fits(self, request: Request) -> bool:
        """Whether the pool has the blocks for it beside what it promised to those that run."""
        block = self.pool.block

        def need(request: Request) -> int:  # the token that it says next included, which may want a block more
            return -(-(len(request.tokens) + 1) // block) if self.preempt else request.blocks(block)

        held = sum(self.pool.refcount(id) > 0 for id in self.pool.lookup(request.tokens[:-1])[0])
        promised = sum(max(0, need(other) - sum(map(len, other.cache.tables))) for other in self.running if other.cache)
        return min(need(request), request.blocks(block)) - held <= self.pool.free - promised

    def _admit(self, request: Request) -> None:
        request.cache = PagedCache(self.pool)
        request.shared = request.cache.adopt(request.tokens)
        self.waiting.remove(request)
        self.running.append(request)

    def stop(self, request: Request) -> None:
        """Take a request out, wherever it is, and give its blocks back."""
        for queue in (self.running, self.waiting):
            if request in queue:
                queue.remove(request)
        self._free(request)

    def put_back(self, request: Request) -> None:
        """A running request gives its blocks back and waits again, before those that came later; its tokens stay."""
        self.running.remove(request)
        self._free(request)
        place = next((i for i, other in enumerate(self.waiting) if other.id > request.id), len(self.waiting))
        self.waiting.insert(place, request)

    def make_room(self) -> bool:
        """Put the youngest running request back; False if that would leave none."""
        if len(self.running) < 2:
            return False
        self.put_back(max(self.running, key=lambda request: request.id))
        return True

    def _free(self, request: Request) -> None:
        if request.cache is not None:
            request.cache.free()
        request.cache, request.shared = None, 0
