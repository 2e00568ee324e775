"""Faults planted into sampling, decoding, scheduler, engine and speculation: the test named beside each must go red."""

from pathlib import Path

import pytest
from planted import Fault, Planted

pytestmark = pytest.mark.slow
PLANTED = Planted("inference", Path(__file__).parent)

SCORES = ("test_sampling", "scores_equal")
FAULTS = [
    Fault("negative logits are divided too", "sampling", "old < 0, old * self.repetition_penalty, old /",
          "old < 0, old / self.repetition_penalty, old /", *SCORES),
    Fault("ties at the edge of top-k go", "sampling", "scores < least", "scores <= least", *SCORES),
    Fault("one generator for all", "sampling", "torch.Generator().manual_seed(self.sampling.seed)",
          "torch.default_generator", "test_decoding", "seed_gives and min_p"),
    Fault("the history stands still", "decoding", "        history.append(token)\n", "", "test_decoding", "penalty"),
    Fault("the end token goes on", "decoding", "left == 1 or token in stops", "left == 1", "test_decoding",
          "end_token"),
    Fault("nothing is promised", "scheduler", "<= self.pool.free - promised", "<= self.pool.free", "test_scheduler",
          "promised"),
    Fault("shared blocks are counted twice", "scheduler", "request.blocks(block)) - held", "request.blocks(block))",
          "test_engine", "computed_once"),
    Fault("free blocks are taken for held", "scheduler", "self.pool.refcount(id) > 0", "True", "test_scheduler",
          "nobody_holds"),
    Fault("nobody waits for a prefix", "scheduler", "if self._prefix_is_being_computed(request):", "if False:",
          "test_scheduler", "waits_for_a_prefix"),
    Fault("prompts may use all of every step", "scheduler", "budget -= count if request.todo > 1 else 0", "pass",
          "test_scheduler", "in_pieces"),
    Fault("the wrong row says the token", "engine", "batch.last[ready]", "(batch.last[ready] - 1).clamp(0)",
          "test_engine", "mixed and block"),
    Fault("a prompt's piece says a token", "engine", "if request.todo == 0]", "]", "test_engine", "mixed and block"),
    Fault("an error keeps the blocks", "engine", "except BaseException:", "except ZeroDivisionError:", "test_engine",
          "loses_nothing"),
    Fault("the cancelled are told more", "engine", "if request not in self.scheduler.running:\n", "if False:\n",
          "test_engine", "may_cancel"),
    Fault("the rest is not subtracted", "speculation", "rest = (p - drawn_from).clamp(min=0)", "rest = p",
          "test_speculation", "acceptance_rule"),
    Fault("drafts not accepted stay in the cache", "speculation",
          "        cache.truncate(min(len(cache), len(history) - 1))\n", "", "test_speculation", "plain_decoding"),
    Fault("the earliest place is copied", "speculation", "self._seen[tuple(history[end - n : end])] = end",
          "self._seen.setdefault(tuple(history[end - n : end]), end)", "test_speculation", "latest_longest"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_is_noticed(fault, tmp_path, monkeypatch):
    PLANTED.notices(fault, tmp_path, monkeypatch)


def test_without_a_fault_all_pass(tmp_path, monkeypatch):
    PLANTED.passes(FAULTS, tmp_path, monkeypatch)
