"""Who computes when: decided on requests and blocks alone, with no model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dslab.inference.blocks import BlockPool
from dslab.inference.cache import CacheFull
from dslab.inference.paged_batch import PagedBatch
from dslab.inference.sampling import Sampler
from dslab.inference.scheduler import Request, Scheduler


def request(id, tokens, new):
    return Request(id, list(tokens), new, Sampler(), frozenset())


def compute(scheduler, work):
    """A step without a model: keys and values of nothing, token 7 for each request that is through."""
    batch = PagedBatch([r.cache for r, _ in work], [n for _, n in work])
    tokens = torch.tensor([[t for r, n in work for t in r.tokens[r.fed : r.fed + n]]])
    batch.append(0, *torch.zeros(2, 1, 1, tokens.shape[1], 2))
    batch.record(tokens)
    for r, _ in work:
        if r.todo == 0:
            r.tokens.append(7)
        if r.done:
            scheduler.stop(r)


def plan(scheduler):
    return [(r.id, n) for r, n in scheduler.plan()]


def test_decoding_goes_first_and_prompts_get_the_rest_in_pieces():
    scheduler = Scheduler(BlockPool(64, 4), batch=4, chunk=10)
    scheduler.add(request(0, range(4), 5))
    scheduler.add(request(1, range(100, 120), 5))
    scheduler.add(request(2, range(200, 206), 5))
    steps = []
    for _ in range(4):
        work = scheduler.plan()
        steps.append([(r.id, n) for r, n in work])
        compute(scheduler, work)
    assert steps == [[(0, 4), (1, 6)], [(0, 1), (1, 9)], [(0, 1), (1, 5), (2, 4)], [(0, 1), (1, 1), (2, 2)]]


def test_a_full_batch_keeps_others_waiting_until_one_is_through():
    scheduler = Scheduler(BlockPool(64, 4), batch=2, chunk=100)
    for id in range(3):
        scheduler.add(request(id, range(10 * id, 10 * id + 3), 2))
    work = scheduler.plan()
    assert [r.id for r, _ in work] == [0, 1]
    compute(scheduler, work)
    compute(scheduler, scheduler.plan())
    assert plan(scheduler) == [(2, 3)]


def test_admission_keeps_what_was_promised_to_those_that_run():
    pool = BlockPool(6, 4)
    scheduler = Scheduler(pool, chunk=100)
    scheduler.add(request(0, range(4), 13))  # 16 tokens fed at the end: 4 blocks, of which 1 is taken now
    scheduler.add(request(1, range(50, 58), 4))  # 11 tokens: 3 blocks, more than the 2 not promised
    scheduler.add(request(2, range(80, 82), 2))  # would fit, but does not overtake
    compute(scheduler, scheduler.plan())
    assert pool.used == 1
    assert [r.id for r in scheduler.waiting] == [1, 2]
    while scheduler.waiting or scheduler.running:
        compute(scheduler, scheduler.plan())  # raises if a promise was broken
    assert pool.free == 6


def test_a_prefix_that_nobody_holds_still_costs_its_blocks():
    pool = BlockPool(4, 4)
    scheduler = Scheduler(pool, chunk=100)
    scheduler.add(request(0, range(8), 1))
    compute(scheduler, scheduler.plan())
    assert pool.free == 4  # what the blocks hold is known, and they are free
    scheduler.add(request(1, range(100, 104), 9))  # three blocks at the end
    scheduler.add(request(2, range(8), 1))  # two, of which one would be found
    assert plan(scheduler) == [(1, 4)]


def test_a_request_waits_for_a_prefix_that_is_being_computed():
    pool = BlockPool(64, 4)
    scheduler = Scheduler(pool, chunk=8)
    for id in range(3):
        scheduler.add(request(id, [*range(13), 50 + id, 60 + id], 3))
    scheduler.add(request(3, range(200, 203), 2))  # shares nothing: does not wait
    assert plan(scheduler) == [(0, 8)]
    compute(scheduler, [(scheduler.running[0], 8)])
    work = scheduler.plan()
    assert [(r.id, n) for r, n in work] == [(0, 7), (3, 1)]
    compute(scheduler, work)
    work = scheduler.plan()
    assert [(r.id, n) for r, n in work] == [(0, 1), (3, 2), (1, 3), (2, 2)]
    assert [r.shared for r, _ in work] == [0, 0, 12, 12]
    compute(scheduler, work)
    assert pool.used == 4 + 2 * 1 + 1  # three blocks for all, one for each tail, one for request 3


def test_what_could_never_fit_is_refused_and_foreign_blocks_are_named():
    pool = BlockPool(4, 4)
    scheduler = Scheduler(pool)
    with pytest.raises(CacheFull, match="needs 5 blocks"):
        scheduler.add(request(0, range(10), 8))
    assert not scheduler.waiting
    scheduler.add(request(0, range(10), 7))
    held = [pool.allocate()]
    with pytest.raises(CacheFull, match="outside"):
        scheduler.plan()
    pool.release(held[0])
    assert plan(scheduler) == [(0, 10)]
    for batch, chunk in ((0, 8), (8, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            Scheduler(pool, batch, chunk)


def test_who_is_put_back_waits_before_those_that_came_later():
    pool = BlockPool(64, 4)
    scheduler = Scheduler(pool, batch=3)
    for id in range(5):
        scheduler.add(request(id, range(10 * id, 10 * id + 3), 4))
    compute(scheduler, scheduler.plan())
    assert scheduler.make_room()
    assert [r.id for r in scheduler.waiting] == [2, 3, 4]
    assert scheduler.waiting[0].new == [7]  # what it said stays said
    assert scheduler.make_room()
    assert not scheduler.make_room()
    assert pool.used == 1


sizes = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2)), min_size=1, max_size=12)


@settings(max_examples=40)
@given(sizes, st.integers(1, 5), st.integers(1, 20), st.integers(9, 30), st.booleans())
def test_all_requests_come_to_their_end_and_the_pool_is_whole(sizes, batch, chunk, blocks, preempt):
    """Any sizes, any sharing, with and without preemption: nobody starves, no promise breaks, no block leaks."""
    pool = BlockPool(blocks, 5)
    scheduler = Scheduler(pool, batch, chunk, preempt)
    requests = [request(id, [100 * kind + t for t in range(n)], new) for id, (n, new, kind) in enumerate(sizes)]
    for r in requests:
        scheduler.add(r)
    for _ in range(2000):
        work = scheduler.plan()
        if not work:
            break
        assert len(scheduler.running) <= batch
        assert sum(n for r, n in work if r.todo > 1) <= chunk
        try:
            compute(scheduler, work)
        except CacheFull:
            assert preempt
            assert scheduler.make_room()
    assert not scheduler.running
    assert not scheduler.waiting
    assert [len(r.new) for r in requests] == [new for _, new, _ in sizes]
    assert pool.used == 0
