"""Rotary positions (RoPE, arXiv 2104.09864): pairs of numbers of a vector are turned by angles that grow with place.

The scores of turned queries and keys depend on the distance alone, and turns add up: a key that was cached at place p
is moved to place p - n by turning it by -n. Halves are paired (number i with number i + D/2), as transformers does.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Rope:
    """Angles of a model, from its own `inv_freq`: whatever scaling its configuration asks for is in there.

    inv_freq: (D/2,) fp32, radians per place. scaling: what cosine and sine are multiplied with (YaRN; else 1).
    """

    def __init__(self, inv_freq: Tensor, scaling: float = 1.0, places: int = 0) -> None:
        self.inv_freq, self.scaling = inv_freq.detach().float(), float(scaling)
        self._table = torch.empty(0)
        self.grow(places)

    @property
    def dim(self) -> int:
        """Numbers of a vector that are turned."""
        return 2 * len(self.inv_freq)

    def grow(self, places: int) -> None:
        """Work the angles of the first `places` places out beforehand."""
        cos, sin = self.turns(torch.arange(places, device=self.inv_freq.device))
        self._table = torch.stack([cos, sin]) * self.scaling

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and signed sine, each (*positions.shape, D), of places below `places`, times `scaling`."""
        cos, sin = self._table
        return cos[positions], sin[positions]

    def turns(self, by: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and signed sine, each (*by.shape, D) fp32, of turns by any number of places, negative ones too."""
        angles = by[..., None].float() * self.inv_freq
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)

    def rotate(self, x: Tensor, by: Tensor | int) -> Tensor:
        """x: (..., T, D) turned by `by` places: a whole number or (T,), negative ones too. `scaling` is left out."""
        cos, sin = self.turns(torch.as_tensor(by, device=x.device))
        return turn(x, cos, sin)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: (..., D) turned by angles whose cosine and signed sine broadcast to it; in fp32, then x's dtype."""
    half = x.shape[-1] // 2
    return torch.addcmul(x * cos, x.roll(half, -1), sin).to(x.dtype)
