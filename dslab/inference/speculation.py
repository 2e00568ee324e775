"""Speculative decoding: a cheap draft proposes tokens, one pass of the model checks them all, and nothing is lost.

    result = speculative(llama, prompt_ids, max_new_tokens=128)                  # drafts copied from the text so far
    result = speculative(llama, prompt_ids, 128, draft=Llama(lm, "int4"), k=4)   # drafts by another model

Reading the weights costs most of a decoding step, and a pass over nine tokens reads them once. Greedy tokens are those
of `generate`. Sampled ones have its distribution (not its draws for a seed): Leviathan et al., arXiv 2211.17192.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dslab.inference.cache import Cache, ContiguousCache
from dslab.inference.decoding import checked_prompt, rewind, stop_set
from dslab.inference.llama import Llama
from dslab.inference.sampling import Sampler, Sampling


@dataclass(frozen=True)
class SpeculativeResult:
    """tokens: the new ones. proposed, accepted: draft tokens. target_calls: passes of the model, the first included."""

    tokens: list[int]
    proposed: int
    accepted: int
    target_calls: int


@torch.inference_mode()
def speculative(
    model: Llama, prompt_ids: Sequence[int] | Tensor, max_new_tokens: int,
    draft: Llama | Literal["prompt-lookup"] = "prompt-lookup", k: int = 8, ngram: int = 3,
    sampling: Sampling | None = None, *, cache: Cache | None = None, ignore_eos: bool = False,
    stop_ids: Iterable[int] = (),
) -> SpeculativeResult:  # fmt: skip
    """The new tokens, as `generate` gives them, usually in fewer passes of the model.

    model  `packed(llama)`, say: fp32 weights that check several tokens at once faster
    draft  "prompt-lookup": what followed the last tokens where they stood before. Or a Llama of the same vocabulary.
    k      tokens proposed at most in one go
    ngram  prompt-lookup: how many last tokens must agree at best; two at least
    cache  as for `generate`; it must be able to truncate by k tokens
    Raises ValueError for a draft of another vocabulary, k or ngram too small, and as `generate` does.

    Greedy equality holds as far as a pass over k + 1 tokens gives the logits of k + 1 passes: fp32 weights, ties apart.
    """
    prompt = checked_prompt(model.config, prompt_ids, max_new_tokens)
    if k < 1 or ngram < 2:
        raise ValueError(f"k must be at least 1 and ngram at least 2; got {k} and {ngram}")
    stops, sampler = stop_set(model.config, stop_ids, ignore_eos), Sampler(sampling)
    proposer: _Lookup | _Drafter = (
        _Lookup(ngram) if isinstance(draft, str) else _Drafter(draft, sampler, max_new_tokens)
    )
    _check_draft(model, draft, prompt, max_new_tokens)
    cache = ContiguousCache(len(prompt) + max_new_tokens) if cache is None else cache
    rewind(cache, prompt)

    history, proposed, accepted, calls = list(prompt), 0, 0, 0
    end = len(prompt) + max_new_tokens
    while len(history) < end and (len(history) == len(prompt) or history[-1] not in stops):
        drafts, q = proposer.propose(history, min(k, end - len(history) - 1))
        logits = _check_pass(model, cache, history, drafts)
        new = _accept(sampler, history, logits, drafts, q)
        stop = next((place for place, token in enumerate(new) if token in stops), len(new) - 1)
        history += new[: stop + 1]
        cache.truncate(min(len(cache), len(history) - 1))
        proposed, calls = proposed + len(drafts), calls + 1
        accepted += min(stop + 1, len(new) - 1)
    return SpeculativeResult(history[len(prompt) :], proposed, accepted, calls)


def _check_draft(model: Llama, draft: Llama | str, prompt: list[int], most: int) -> None:
    if isinstance(draft, str):
        if draft != "prompt-lookup":
            raise ValueError(f"draft must be 'prompt-lookup' or a Llama; got {draft!r}")
    elif draft.config.vocab != model.config.vocab:
        raise ValueError(
            f"the draft has a vocabulary of {draft.config.vocab} tokens, the model of {model.config.vocab}: both must "
            "read the same ids"
        )
    else:
        checked_prompt(draft.config, prompt, most)  # its context may be shorter


def _check_pass(model: Llama, cache: Cache, history: list[int], drafts: list[int]) -> Tensor:
    """Feed what the cache lacks of history, then the drafts. (1 + k, vocab) logits after history and each draft."""
    ids = torch.tensor([history[len(cache) :] + drafts])
    rows = len(drafts) + 1
    if ids.shape[1] > 512 + rows:  # a long prompt, in pieces
        model.prefill(ids[:, :-rows], cache)
        ids = ids[:, -rows:]
    return model.scores(model.forward(ids, cache, logits=None)[:, -rows:])[0]


def _accept(sampler: Sampler, history: list[int], logits: Tensor, drafts: list[int], q: list[Tensor]) -> list[int]:
    """The drafts that stand, and one token more.

    logits  (1 + k, vocab) of the model. q: for each draft the distribution (vocab,) that it was drawn from; [] where
            drafts were not drawn, which is a distribution with all its weight on one token.

    A draft x stands with probability min(1, p(x) / q(x)); where it falls, the token is drawn from what p has more than
    q. So x comes by q·min(1, p/q) = min(p, q) and by the rest, max(p - q, 0): together p, whatever q is.
    """
    sampling, new = sampler.sampling, list[int]()
    if sampling.greedy and sampling.repetition_penalty == 1:
        likeliest = logits.argmax(-1).tolist()
        stand = next((i for i, token in enumerate(drafts) if token != likeliest[i]), len(drafts))
        return likeliest[: stand + 1]
    for i, token in enumerate(drafts):
        p = sampling.probabilities(logits[i], history + new)
        drawn_from = q[i] if q else torch.zeros_like(p).index_fill_(0, torch.tensor(token), 1.0)
        if sampler.uniform() * float(drawn_from[token]) >= float(p[token]):
            rest = (p - drawn_from).clamp(min=0)
            return [*new, sampler.draw(rest if rest.any() else p)]  # all zero: equal but for rounding
        new.append(token)
    return [*new, sampler.pick(logits[-1], history + new)]


class _Lookup:
    """What followed the last tokens where they stood before: the latest such place, for the longest match."""

    def __init__(self, ngram: int) -> None:
        self.ngram, self._seen, self._known = ngram, dict[tuple[int, ...], int](), 0

    def propose(self, history: list[int], k: int) -> tuple[list[int], list[Tensor]]:
        for end in range(self._known, len(history)):  # the n-grams that something follows
            for n in range(2, min(self.ngram, end) + 1):
                self._seen[tuple(history[end - n : end])] = end
        self._known = len(history)
        for n in range(min(self.ngram, len(history)), 1, -1):
            if (place := self._seen.get(tuple(history[-n:]))) is not None:
                period = len(history) - place  # a copy that reaches its own beginning goes round
                return [history[place + i % period] for i in range(k)], []
        return [], []


class _Drafter:
    """Another model, with a cache of its own."""

    def __init__(self, draft: Llama, sampler: Sampler, most: int) -> None:
        self.draft, self.sampler, self.most = draft, sampler, most
        self.cache: ContiguousCache | None = None

    def propose(self, history: list[int], k: int) -> tuple[list[int], list[Tensor]]:
        if self.cache is None:
            self.cache = ContiguousCache(len(history) + self.most)
        self.cache.truncate(min(len(self.cache), len(history) - 1))  # drafts that did not stand
        sampling, drafts, q = self.sampler.sampling, list[int](), list[Tensor]()
        for _ in range(k):
            text = history + drafts
            logits = self.draft.prefill(torch.tensor([text[len(self.cache) :]]), self.cache)[0]
            if sampling.greedy:
                drafts.append(self.sampler.pick(logits, text))
            else:
                q.append(sampling.probabilities(logits, text))
                drafts.append(self.sampler.draw(q[-1]))
        return drafts, q
