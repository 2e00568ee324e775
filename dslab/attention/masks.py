"""Masks as sets of (query, key) pairs, with the algebra of sets.

    causal() & (local_window(256) | global_tokens([0, 1]))

A mask answers two questions. `allowed(q_pos, k_pos)`: may this query see this key? `classify(...)`: does a whole
rectangle of pairs hold none, some or all of them? The second is what makes sparse attention cheap: a grid of
(L/64)² rectangles is asked, never the L×L square. Answers compose by Kleene's three-valued logic, with

    EMPTY = 0,  PARTIAL = 1,  FULL = 2;      a & b -> min,   a | b -> max,   ~a -> 2 - a

which is sound but conservative: PARTIAL may turn out to be empty or full, EMPTY and FULL are always true.

Positions are absolute: a query at `q_offset + i` where the keys are 0..Lk-1 (with a cache, q_offset = Lk - Lq).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

EMPTY, PARTIAL, FULL = 0, 1, 2


def three_valued(any_allowed: Tensor, all_allowed: Tensor) -> Tensor:
    """int8 class of rectangles from "some pair is allowed" and "every pair is allowed" (bool, broadcastable)."""
    return any_allowed.to(torch.int8) + (any_allowed & all_allowed).to(torch.int8)


class Mask:
    """A set of allowed (query, key) pairs. Immutable, hashable (plans are cached by it), built by the patterns."""

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        """bool, of the broadcast shape of two integer tensors of absolute positions (any shape, any device)."""
        raise NotImplementedError

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        """int8 EMPTY, PARTIAL or FULL for rectangles [q_first, q_last] x [k_first, k_last], both ends included."""
        raise NotImplementedError

    def check(self, Lq: int, Lk: int, q_offset: int = 0) -> None:
        """Raise ValueError where the mask names tokens that these lengths do not have."""

    def lenient(self) -> Mask:
        """The same mask without that check: what does not exist (yet) is taken as absent, as in generation."""
        return self

    def fixed(self, length: int) -> Mask:
        """The same mask for positions below `length`, with any tables made: what a compiler can trace."""
        return self

    def __and__(self, other: Mask) -> Mask:
        return And(self, other) if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: Mask) -> Mask:
        return Or(self, other) if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> Mask:
        return self.mask if isinstance(self, Not) else Not(self)

    def dense(self, Lq: int, Lk: int | None = None, q_offset: int = 0, device: torch.device | str = "cpu") -> Tensor:
        """(Lq, Lk) bool, True where the query may see the key: the definition, in O(Lq·Lk) memory.

        >>> from dslab.attention import causal, local_window
        >>> (causal() & local_window(2)).dense(3).int().tolist()
        [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
        """
        Lk = Lq if Lk is None else Lk
        _check_lengths(Lq, Lk)
        self.check(Lq, Lk, q_offset)
        q_pos = torch.arange(q_offset, q_offset + Lq, device=device)[:, None]
        k_pos = torch.arange(Lk, device=device)[None, :]
        return self.allowed(q_pos, k_pos).expand(Lq, Lk)

    def bias(
        self,
        Lq: int,
        Lk: int | None = None,
        q_offset: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """(Lq, Lk) additive form: 0 where allowed, -inf elsewhere (not finfo.min, which leaks in empty rows)."""
        allowed = self.dense(Lq, Lk, q_offset, device)
        return torch.zeros(allowed.shape, dtype=dtype, device=device).masked_fill_(~allowed, float("-inf"))

    def block_mask(
        self,
        Lq: int,
        Lk: int | None = None,
        q_offset: int = 0,
        block: int = 128,
        device: torch.device | str = "cpu",
    ) -> BlockMask:
        """FlexAttention's BlockMask, built from the block classes: no O(Lq·Lk) constructor."""
        from dslab.attention.flex import block_mask

        return block_mask(self, Lq, Lq if Lk is None else Lk, q_offset, block, device)

    def density(self, Lq: int, Lk: int | None = None, q_offset: int = 0) -> float:
        """Share of the Lq×Lk pairs that is allowed: exact, yet only PARTIAL blocks are looked into.

        >>> from dslab.attention import causal
        >>> causal().density(4)
        0.625
        """
        from dslab.attention.plan import allowed_pairs

        Lk = Lq if Lk is None else Lk
        return allowed_pairs(self, Lq, Lk, q_offset) / (Lq * Lk)

    def block_density(self, Lq: int, Lk: int | None = None, q_offset: int = 0, block: int = 64) -> float:
        """Share of the Lq×Lk pairs that lies in blocks holding any allowed pair: what block-sparse code computes."""
        from dslab.attention.plan import block_states

        states = block_states(self, Lq, Lq if Lk is None else Lk, q_offset, (block, block))
        return float((states > EMPTY).float().mean())

    def plot(self, Lq: int = 64, Lk: int | None = None, q_offset: int = 0, ax: Any = None) -> Any:
        """Draw the square: allowed cells filled, the diagonal outlined. Returns the matplotlib Axes."""
        from dslab.attention.drawing import draw

        return draw(self, Lq, Lq if Lk is None else Lk, q_offset, ax)


@dataclass(frozen=True)
class And(Mask):
    """Pairs that both masks allow."""

    left: Mask
    right: Mask

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        return self.left.allowed(q_pos, k_pos) & self.right.allowed(q_pos, k_pos)

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        edges = (q_first, q_last, k_first, k_last)
        return torch.minimum(self.left.classify(*edges), self.right.classify(*edges))

    def check(self, Lq: int, Lk: int, q_offset: int = 0) -> None:
        self.left.check(Lq, Lk, q_offset)
        self.right.check(Lq, Lk, q_offset)

    def lenient(self) -> Mask:
        return And(self.left.lenient(), self.right.lenient())

    def fixed(self, length: int) -> Mask:
        return And(self.left.fixed(length), self.right.fixed(length))

    def __repr__(self) -> str:
        return f"{_grouped(self.left, And)} & {_grouped(self.right, And)}"


@dataclass(frozen=True)
class Or(Mask):
    """Pairs that at least one of the masks allows."""

    left: Mask
    right: Mask

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        return self.left.allowed(q_pos, k_pos) | self.right.allowed(q_pos, k_pos)

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        edges = (q_first, q_last, k_first, k_last)
        return torch.maximum(self.left.classify(*edges), self.right.classify(*edges))

    def check(self, Lq: int, Lk: int, q_offset: int = 0) -> None:
        self.left.check(Lq, Lk, q_offset)
        self.right.check(Lq, Lk, q_offset)

    def lenient(self) -> Mask:
        return Or(self.left.lenient(), self.right.lenient())

    def fixed(self, length: int) -> Mask:
        return Or(self.left.fixed(length), self.right.fixed(length))

    def __repr__(self) -> str:
        return f"{_grouped(self.left, Or)} | {_grouped(self.right, Or)}"


@dataclass(frozen=True)
class Not(Mask):
    """Pairs that the mask forbids."""

    mask: Mask

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        return ~self.mask.allowed(q_pos, k_pos)

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        return FULL - self.mask.classify(q_first, q_last, k_first, k_last)

    def check(self, Lq: int, Lk: int, q_offset: int = 0) -> None:
        self.mask.check(Lq, Lk, q_offset)

    def lenient(self) -> Mask:
        return Not(self.mask.lenient())

    def fixed(self, length: int) -> Mask:
        return Not(self.mask.fixed(length))

    def __repr__(self) -> str:
        return f"~{_grouped(self.mask, Not)}"


def _grouped(mask: Mask, parent: type) -> str:
    """repr of an operand, in brackets where it combines masks by another operation than its parent."""
    return f"({mask!r})" if isinstance(mask, (And, Or)) and not isinstance(mask, parent) else repr(mask)


def _check_lengths(Lq: int, Lk: int) -> None:
    if Lq < 0 or Lk < 0:
        raise ValueError(f"lengths must be >= 0; got Lq={Lq}, Lk={Lk}")
