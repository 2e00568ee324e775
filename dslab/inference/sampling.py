"""From logits to a token: greedy, temperature, top-k, top-p, min-p, repetition penalty; in the order and with the
arithmetic of transformers' processors, so that a seed gives the tokens that `model.generate` gives.

    sampler = Sampler(Sampling(temperature=0.8, top_p=0.95, seed=1))
    token = sampler.pick(logits, history)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. The default is greedy; every other field then needs a temperature.

    temperature         0: the likeliest token. Otherwise logits are divided by it.
    top_k               keep the k likeliest tokens; 0: all.
    top_p               keep the fewest likeliest tokens that hold this much probability (nucleus); 1: all.
    min_p               keep tokens at least this fraction as likely as the likeliest; 0: all.
    repetition_penalty  tokens of the history: positive logits are divided by it, negative multiplied. Greedy too.
    seed                of this request's own generator: what else runs beside it changes nothing.

    >>> Sampling(temperature=1.0, top_k=1).process(torch.tensor([1.0, 3.0, 2.0]), [])
    tensor([-inf, 3., -inf])
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, whole in (("top_k", self.top_k), ("seed", self.seed)):
            if isinstance(whole, bool) or not isinstance(whole, int) or whole < 0:
                raise ValueError(f"{name} must be a whole number from 0; got {whole!r}")
        for name, value, valid, range_ in (
            ("temperature", self.temperature, 0 <= self.temperature < float("inf"), "0 (greedy) or more, and finite"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1 (1: keep all)"),
            ("min_p", self.min_p, 0 <= self.min_p <= 1, "between 0 (keep all) and 1"),
            ("repetition_penalty", self.repetition_penalty, 0 < self.repetition_penalty < float("inf"), "above 0"),
        ):
            if not valid:
                raise ValueError(f"{name} must be {range_}; got {value!r}")
        if self.greedy and (self.top_k or self.top_p < 1 or self.min_p):
            raise ValueError("top_k, top_p and min_p do nothing at temperature 0, which is greedy: set a temperature")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def process(self, logits: Tensor, history: Sequence[int] | Tensor) -> Tensor:
        """Scores (V,) fp32 after penalty, temperature and filters; what was filtered out is -inf.

        logits: (V,), left unchanged. history: prompt and tokens so far.
        """
        scores = logits.float()
        if self.repetition_penalty != 1 and len(history):
            seen = torch.as_tensor(history, dtype=torch.long, device=scores.device).unique()
            old = scores[seen]
            new = torch.where(old < 0, old * self.repetition_penalty, old / self.repetition_penalty)
            scores = scores.index_put((seen,), new)
        if self.greedy:
            return scores
        if self.temperature != 1:
            scores = scores / self.temperature
        if self.top_k:
            least = scores.topk(min(self.top_k, len(scores))).values[-1]
            scores = scores.masked_fill(scores < least, float("-inf"))
        if self.top_p < 1:
            ascending, places = scores.sort()
            out = ascending.softmax(-1).cumsum(-1) <= 1 - self.top_p
            out[-1] = False  # the likeliest token always stays
            scores = scores.masked_fill(torch.empty_like(out).scatter_(0, places, out), float("-inf"))
        if self.min_p:
            p = scores.softmax(-1)
            scores = scores.masked_fill(p < self.min_p * p.max(), float("-inf"))
        return scores

    def probabilities(self, logits: Tensor, history: Sequence[int] | Tensor) -> Tensor:
        """(V,) fp32 that sum to 1: what `Sampler.pick` draws from. Greedy: all on one token."""
        scores = self.process(logits, history)
        if self.greedy:
            return torch.zeros_like(scores).index_fill_(0, scores.argmax(), 1.0)
        return scores.softmax(-1)


GREEDY = Sampling()


class Sampler:
    """One request's draws: the settings and a generator of its own."""

    def __init__(self, sampling: Sampling | None = None) -> None:
        self.sampling = GREEDY if sampling is None else sampling
        if not isinstance(self.sampling, Sampling):
            raise ValueError(f"sampling must be a Sampling; got {type(sampling).__name__}")
        self.generator = torch.Generator().manual_seed(self.sampling.seed)

    def pick(self, logits: Tensor, history: Sequence[int] | Tensor) -> int:
        """The next token after `history`. logits: (V,)."""
        if self.sampling.greedy:
            return int(self.sampling.process(logits, history).numpy(force=True).argmax())  # a tenth of torch's time
        return self.draw(self.sampling.probabilities(logits, history))

    def draw(self, probabilities: Tensor) -> int:
        """A token from (V,) weights, which need not sum to 1. ValueError where they are all zero or not numbers."""
        total = float(probabilities.sum())
        if not 0 < total < float("inf"):
            raise ValueError(f"the weights of all tokens sum to {total}: the model's logits are broken (NaN or inf?)")
        return int(torch.multinomial(probabilities.cpu(), 1, generator=self.generator))

    def uniform(self) -> float:
        """A number in [0, 1) from this request's generator, in double precision."""
        return float(torch.rand((), generator=self.generator, dtype=torch.float64))
