"""Faults planted into blocks, paged caches, latents and accounting: the test named beside each must go red."""

from pathlib import Path

import pytest
from planted import Fault, Planted

pytestmark = pytest.mark.slow
PLANTED = Planted("inference", Path(__file__).parent)

COPIES = ("test_paged", "forks_share")
ALONE = ("test_paged_batch", "would_alone and float32")
KNOWN = ("test_blocks", "by_all_that_is_before")
HELD = 'if not self._counts[self._checked(id)]:\n            raise CacheError(f"block {id} '
ANY = HELD.replace("not self._counts[self._checked(id)]", "False")
FAULTS = [
    Fault("a block may be released twice", "blocks", f"{HELD}is free a", f"{ANY}is free a",
          "test_blocks", "released_twice"),
    Fault("freed while others hold it", "blocks", "        if not self._counts[id]:\n            if id in self._key:",
          "        if True:\n            if id in self._key:", "test_blocks", "come_back"),
    Fault("looked up without what is before", "blocks", "self._known.get((node,", "self._known.get((ROOT,", *KNOWN),
    Fault("known without what is before", "blocks", "key = (parent, tuple(tokens))", "key = (ROOT, tuple(tokens))",
          *KNOWN),
    Fault("a node is its block's number", "blocks", "self._key[id] = (id, self._nodes), key",
          "self._key[id] = (id, id + 1), key", "test_blocks", "replaces_their_parent"),
    Fault("known blocks are never given out", "blocks", "or not self._kept:", "or True:", "test_blocks", "stay_known"),
    Fault("nobody has room to grow", "blocks", "length >= 2 * ahead", "length >= 1", "test_blocks", "many_lives"),
    Fault("a found block stays on the free list", "blocks", "            del self._kept[id]\n        self._counts",
          "        self._counts", "test_blocks", "stay_known"),
    Fault("memory is thrown away while it is held", "blocks", "if not self.used:", "if True:", "test_blocks", "shapes"),
    Fault("copy on write is forgotten", "paged", "                self._make_own(table, at)\n",
          "                pass\n", *COPIES),
    Fault("the copy is empty", "paged", "            self.pool.copy(table[-1], copied, tokens)\n", "", *COPIES),
    Fault("the copy lacks a token", "paged", "copied, tokens)", "copied, tokens - 1)", *COPIES),
    Fault("what was copied is not released", "paged", "            self.pool.release(table[-1])\n", "", *COPIES),
    Fault("written again, and still known", "paged", "        self.pool.forget(table[-1])\n", "",
          "test_paged", "written_again"),
    Fault("places are off by one", "paged", "* block + t % block", "* block + (t + 1) % block", "test_paged",
          "across_block_edges and neighbours-16"),
    Fault("the block is that of the next token", "paged", "table[t // block] *",
          "table[min(len(table) - 1, (t + 1) // block)] *", "test_paged", "across_block_edges and neighbours-16"),
    Fault("a cut keeps a block too many", "paged", "keep = -(-n // self.pool.block)", "keep = n // self.pool.block + 1",
          "test_paged", "leaves_no_trace"),
    Fault("a cut takes the last block", "paged", "keep = -(-n // self.pool.block)", "keep = n // self.pool.block",
          "test_paged", "leaves_no_trace"),
    Fault("what was cut off stays known as before", "paged", "        del self._nodes[n // self.pool.block :]\n", "",
          "test_paged", "written_again"),
    Fault("every block is a first one", "paged", "self._nodes[-1] if i else ROOT", "ROOT", "test_paged", "adopted"),
    Fault("the whole prompt is adopted", "paged", "pool.lookup(prompt[:-1])", "pool.lookup(prompt)", "test_paged",
          "adopted"),
    Fault("adopted without being held", "paged", "[[pool.share(id) for id in blocks]]", "[list(blocks)]",
          "test_paged", "adopted"),
    Fault("beams do not hold their blocks", "paged", "        self._share_all()\n        for table in old:",
          "        for table in old:", "test_paged", "rows_and_their_order"),
    Fault("copies are not counted", "paged", "here - (here == pool.refcount(id))", "0", "test_paged_batch",
          "copies_are_counted"),
    Fault("the last holder is counted as copying", "paged", "here - (here == pool.refcount(id))", "here",
          "test_paged_batch", "forks_in_one_batch"),
    Fault("room that was never used stays taken", "paged", "        cache.unreserve()\n", "", "test_paged_batch",
          "part_way"),
    Fault("room that was never used is written to", "paged", "if end != self._covered:", "if end > self._covered:",
          "test_paged_batch", "never_fed"),
    Fault("the tables of the last pass are read", "paged", "= self._runs = None\n\n    def unreserve",
          "= None\n\n    def unreserve", "test_paged", "across_block_edges"),
    Fault("stretches end with their block", "runs", "min(block, tokens - start)", "block", "test_paged", "stretches"),
    Fault("overlapping stretches are split", "runs", "            if start < at:", "            if False:",
          "test_paged", "stretches"),
    Fault("each stretch has its own softmax", "runs", "torch.bmm(q, part) for part in keys], -1).softmax(-1)",
          "torch.bmm(q, part).softmax(-1) for part in keys], -1)", "test_paged", "over_stretches"),
    Fault("all stretches get the first one's weights", "runs", "        at += part.shape[1]\n", "        at += 0\n",
          "test_paged", "over_stretches"),
    Fault("the first token of each is sampled from", "paged_batch", "cumsum(0) - 1", "cumsum(0) - torch.tensor(counts)",
          *ALONE),
    Fault("what came before a piece is not read", "paged_batch", "if len(cache) == count:", "if True:", *ALONE),
    Fault("pieces are cut at the wrong place", "paged_batch", "            at += count\n", "            at += 1\n",
          *ALONE),
    Fault("positions begin at one", "paged_batch", "torch.arange(a, b)", "torch.arange(a + 1, b + 1)", *ALONE),
    Fault("part of a pass is taken for the whole", "paged_batch", "if any(cache.seen(", "if False and any(cache.seen(",
          "test_paged_batch", "part_way"),
    Fault("the rotated part is not scaled", "latent", "q_rotated.reshape(B, H * T, -1) * scale",
          "q_rotated.reshape(B, H * T, -1)", "test_latent", "what_they_expand_to"),
    Fault("a new token sees those after it", "latent", ".tril(S - T)", ".tril(S)", "test_latent",
          "what_they_expand_to"),
    Fault("padding gives no number", "latent", "torch.finfo(scores.dtype).min", "-torch.inf", "test_latent",
          "generated_tokens and v3"),
    Fault("values are expanded as keys", "absorption", "up_values.transpose(1, 2)", "up_keys[:, :dv].transpose(1, 2)",
          "test_latent", "absorbed_logits and v3"),
    Fault("always absorbed", "absorption", "if dropout or not worth_it(module, T):", "if dropout:", "test_latent",
          "never_expands and v3"),
    Fault("absorbed for good", "absorption", '            del module.__dict__["expand_kv"]\n', "            pass\n",
          "test_latent", "without_a_trace"),
    Fault("no causal mask where theirs is left out", "absorption", "if attention_mask is None and T > 1:", "if False:",
          "test_latent", "absorbed_logits and v3"),
    Fault("values are as wide as keys", "accounting", "(self.key_dim + self.value_dim)", "2 * self.key_dim + 1",
          "test_kv_accounting", "named_models"),
    Fault("the new token does not see itself", "accounting", "attention_flops(config, 1, cached + 1)",
          "attention_flops(config, 1, cached)", "test_kv_accounting", "that_are_done"),
    Fault("the 93 percent with grouped heads on both sides", "accounting", "latent.heads, latent.heads, latent.v",
          "latent.heads, 8, latent.v", "test_kv_accounting", "93_percent"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_noticed(fault, tmp_path, monkeypatch):
    PLANTED.notices(fault, tmp_path, monkeypatch)


def test_without_a_fault_they_pass(tmp_path, monkeypatch):
    quick = {"blocks", "runs", "accounting"}  # the others' tests pass where they stand
    PLANTED.passes([fault for fault in FAULTS if fault.file in quick], tmp_path, monkeypatch)
