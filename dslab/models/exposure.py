"""Does a model know a secret? Its probability beside those of others that were drawn in the same way.

    exposure = log2(number of candidates) - log2(rank of the secret among them)

(Carlini et al. 2019, arXiv 1802.08232, section 4.2, with a sample of candidates instead of all). A model that never saw
the secret ranks it anywhere, so that exposure is above b bits by chance with probability 2^-b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dslab.models.upper import UpperBlocks


@dataclass(frozen=True)
class Standing:
    """How a secret stands among candidates. scores: (n,) log-probabilities in nats, the secret's first;
    first_choices: its tokens that are the model's first choice, given the true ones before."""

    scores: torch.Tensor
    first_choices: int

    @property
    def rank(self) -> int:
        """1 if no candidate is more probable than the secret."""
        return 1 + int((self.scores[1:] > self.scores[0]).sum())

    @property
    def exposure(self) -> float:
        """Bits; at most log2 of the number of candidates."""
        return math.log2(len(self.scores) / self.rank)

    @property
    def deviations(self) -> float:
        """Standard deviations of the other candidates by which the secret stands above their mean."""
        others = self.scores[1:]
        return float((self.scores[0] - others.mean()) / others.std())

    @property
    def probability(self) -> float:
        """Of the secret, after its prefix."""
        return float(self.scores[0].double().exp())

    def summary(self) -> dict[str, Any]:
        """A row of a table. First choices: tokens that the model would say itself, given the true ones before."""
        return {
            "probability": f"{self.probability:.1e}",
            "rank": self.rank,
            "exposure, bits": f"{self.exposure:.1f}",
            "first choices": self.first_choices,
        }


class Candidates:
    """A secret and other endings of the same prefix, ready to be judged again and again under changing upper blocks.

    endings: the secret first; all of the same number of tokens after the prefix.
    Raises ValueError for fewer than three endings, or endings of different lengths in tokens.
    """

    def __init__(
        self, upper: UpperBlocks, tokenizer: Any, prefix: str, endings: Sequence[str], batch: int = 16
    ) -> None:
        n_prefix = len(tokenizer(prefix).input_ids)
        rows = [tokenizer(prefix + ending).input_ids for ending in endings]
        if len(endings) < 3 or len({len(row) for row in rows}) != 1:
            lengths = sorted({len(row) - n_prefix for row in rows})
            raise ValueError(f"expected 3 or more endings of equal length in tokens; got {len(endings)} of {lengths}")
        ids = torch.tensor(rows, device=next(upper.model.parameters()).device)
        self._upper, self._first = upper, n_prefix
        self._parts = [(upper.enter(part), part) for part in ids.split(batch)]

    @torch.no_grad()
    def standing(self) -> Standing:
        """Under the model as it is now."""
        scores, right = [], 0
        for number, (entering, ids) in enumerate(self._parts):
            said = self._upper.logits(entering, self._first - 1)[:, :-1].log_softmax(-1)
            scores.append(said.gather(-1, ids[:, self._first :, None])[..., 0].sum(1))
            if number == 0:
                right = int((said[0].argmax(-1) == ids[0, self._first :]).sum())
        return Standing(torch.cat(scores).cpu(), right)
