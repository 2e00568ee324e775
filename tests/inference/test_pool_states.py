"""Random lives of sequences over one small pool: nothing leaks, nothing is freed twice, nobody reads another's tokens.

Key and value of a token are a function of all tokens up to it, as in a model, so that a wrong block, a wrong place or a
stale one shows in what a cache holds.
"""

from collections import Counter

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from dslab.inference.base import CacheFull
from dslab.inference.blocks import BlockPool
from dslab.inference.paged import PagedCache
from dslab.inference.paged_batch import PagedBatch

LAYERS = 2
TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=6)  # two tokens: beginnings are often alike


def contents(tokens):
    """k of each layer, (1, 1, T, 1), exact in fp32; v is -k."""
    state, out = 1, []
    for token in tokens:
        state = (state * 31 + token + 7) % 65521
        out.append(state)
    return [torch.tensor(out, dtype=torch.float32).view(1, 1, -1, 1) + layer * 100000 for layer in range(LAYERS)]


class Life(RuleBasedStateMachine):
    caches = Bundle("caches")

    @initialize(block=st.integers(1, 4), blocks=st.integers(3, 14))
    def begin(self, block, blocks):
        self.pool, self.alive = BlockPool(blocks, block), []

    def held(self):
        return [id for cache in self.alive for table in cache.tables for id in table]

    def need(self, passes):
        """Blocks that a pass must take, counted by hand: new ones, and copies of shared, partly filled last ones."""
        block, new, lasts = self.pool.block, 0, Counter()
        for cache, n in passes:
            new += len({(len(cache) + i) // block for i in range(n)} - {i // block for i in range(len(cache))})
            if len(cache) % block:
                lasts[cache.tables[0][-1]] += 1
        holders = Counter(self.held())
        return new + sum(min(n, holders[id] - 1) for id, n in lasts.items())

    def refused(self, passes, call):
        """Whether the pool refused, as it must if and only if there are too few blocks; then all is as it was."""
        need, free = self.need(passes), self.pool.free
        before = [(list(map(list, cache.tables)), len(cache)) for cache, _ in passes]
        try:
            call()
        except CacheFull:
            assert need > free
            assert self.pool.free == free
            assert before == [(cache.tables, len(cache)) for cache, _ in passes]
            return True
        assert need <= free
        return False

    @rule(target=caches)
    def new(self):
        self.alive.append(PagedCache(self.pool))
        return self.alive[-1]

    @rule(cache=caches, new=TOKENS)
    def feed(self, cache, new):
        parts = [k[:, :, -len(new) :] for k in contents(cache.tokens + new)]
        if self.refused([(cache, len(new))], lambda: cache.append(0, parts[0], -parts[0])):
            return
        for layer in range(1, LAYERS):
            cache.append(layer, parts[layer], -parts[layer])
        cache.record(torch.tensor([new]))

    @rule(data=st.data(), some=st.lists(caches, min_size=1, max_size=3, unique_by=id))
    def batch(self, data, some):
        news = [data.draw(TOKENS) for _ in some]
        counts = [len(new) for new in news]
        made = []
        if self.refused(list(zip(some, counts, strict=True)), lambda: made.append(PagedBatch(some, counts))):
            return
        whole = [contents(cache.tokens + new) for cache, new in zip(some, news, strict=True)]
        for layer in range(LAYERS):
            k = torch.cat([one[layer][:, :, -n:] for one, n in zip(whole, counts, strict=True)], 2)
            made[0].append(layer, k, -k)
        made[0].record(torch.tensor([[token for new in news for token in new]]))

    @rule(some=st.lists(caches, min_size=1, max_size=2, unique_by=id))
    def batch_that_is_never_fed(self, some):
        if not self.refused([(cache, 2) for cache in some], lambda: PagedBatch(some, [2] * len(some))):
            for cache in some:
                cache.unreserve()

    @rule(target=caches, cache=caches)
    def fork(self, cache):
        self.alive.append(cache.fork())
        return self.alive[-1]

    @rule(cache=caches, share=st.floats(0, 1))
    def truncate(self, cache, share):
        cache.truncate(round(share * len(cache)))

    @rule(cache=caches, other=caches, more=TOKENS)
    def adopt(self, cache, other, more):
        if len(cache) == 0:
            prompt = other.tokens + more
            n = cache.adopt(prompt)
            assert n < len(prompt)
            assert cache.tokens == prompt[:n]

    @rule(cache=caches)
    def free(self, cache):
        cache.free()

    @precondition(lambda self: self.alive)
    @rule(cache=consumes(caches))
    def end(self, cache):
        cache.free()
        self.alive = [other for other in self.alive if other is not cache]

    @invariant()
    def counted(self):
        if hasattr(self, "pool"):
            holders = Counter(self.held())
            assert [self.pool.refcount(id) for id in range(self.pool.blocks)] == [
                holders[id] for id in range(self.pool.blocks)
            ]
            assert (self.pool.used, self.pool.used + self.pool.free) == (len(holders), self.pool.blocks)

    @invariant()
    def holds_its_own(self):
        for cache in getattr(self, "alive", ()):
            assert 0 <= cache.waste() < self.pool.block
            for layer, k in enumerate(contents(cache.tokens) if len(cache) else ()):
                assert torch.equal(cache.view(layer)[0], k)
                assert torch.equal(cache.view(layer)[1], -k)

    def teardown(self):
        for cache in getattr(self, "alive", ()):
            cache.free()
        if hasattr(self, "pool"):
            assert (self.pool.used, self.pool.free) == (0, self.pool.blocks)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
