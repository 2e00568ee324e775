"""Exercise `accept`: the rule, and what the usual mistakes accept and draw from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Case = tuple[Tensor, Tensor, list[int], list[float]]  # p (K + 1, V), q (K, V), drafted tokens, random numbers
Accept = Callable[[Tensor, Tensor, list[int], list[float]], list[int]]
Rest = Callable[[Tensor, Tensor, list[int], list[float]], Tensor]


def definition(p: Tensor, q: Tensor, tokens: list[int], uniform: list[float]) -> tuple[list[int], Tensor]:
    """(accepted, (V,) float64), Leviathan et al. 2023 (2211.17192), algorithm 1; without dividing by q."""
    p, q = p.double(), q.double()
    count = 0
    while count < len(tokens) and uniform[count] * q[count, tokens[count]] < p[count, tokens[count]]:
        count += 1
    return tokens[:count], p[count] if count == len(tokens) else residual(p[count], q[count])


def residual(p: Tensor, q: Tensor) -> Tensor:
    """(V,): what p has more than q, as a distribution."""
    left = torch.maximum(p - q, torch.zeros_like(p))
    return left / left.sum()


def _prefix(stays: Callable[[Tensor, Tensor, int, float], bool], beyond: int = 0) -> Accept:
    """Drafts up to the first that does not stay (and `beyond` more): stays(row of p, row of q, token, number)."""

    def accept(p: Tensor, q: Tensor, tokens: list[int], uniform: list[float]) -> list[int]:
        for i, x in enumerate(tokens):
            if not stays(p[i], q[i], x, uniform[i]):
                return tokens[: i + beyond]
        return list(tokens)

    return accept


def _rule(p: Tensor, q: Tensor, x: int, u: float) -> bool:
    return bool(u < p[x] / q[x])


def _goes_on(p: Tensor, q: Tensor, tokens: list[int], uniform: list[float]) -> list[int]:
    return [x for i, x in enumerate(tokens) if _rule(p[i], q[i], x, uniform[i])]


def _on_the_spot(rule: Accept) -> Accept:
    """A wrong rule by which somebody goes on after a rejection too; the wrong rule is what is told."""

    def accept(p: Tensor, q: Tensor, tokens: list[int], uniform: list[float]) -> list[int]:
        single = (rule(p[i : i + 1], q[i : i + 1], [x], [uniform[i]]) for i, x in enumerate(tokens))
        return [x for kept in single for x in kept]

    return accept


def _late_p(p: Tensor, q: Tensor, tokens: list[int], uniform: list[float]) -> list[int]:
    return _prefix(_rule)(p[1:], q, tokens, uniform)


def _one_number(p: Tensor, q: Tensor, tokens: list[int], uniform: list[float]) -> list[int]:
    return _prefix(_rule)(p, q, tokens, uniform[:1] * len(tokens))


_RULES: tuple[tuple[str, Accept], ...] = (
    ("greater", _prefix(lambda p, q, x, u: bool(p[x] >= q[x]))),
    ("upside_down", _prefix(lambda p, q, x, u: bool(u < q[x] / p[x]))),
    ("only_p", _prefix(lambda p, q, x, u: bool(u < p[x]))),
    ("only_q", _prefix(lambda p, q, x, u: bool(u < q[x]))),
    ("inverted", _prefix(lambda p, q, x, u: not _rule(p, q, x, u))),
    ("greedy", _prefix(lambda p, q, x, u: int(p.argmax()) == x)),
    ("highest", _prefix(lambda p, q, x, u: bool(u < p.max() / q.max()))),
)
ACCEPTS: tuple[tuple[str, Accept], ...] = (
    ("everything", lambda p, q, tokens, uniform: list(tokens)),
    ("nothing", lambda p, q, tokens, uniform: []),
    ("goes_on", _goes_on),
    ("with_rejected", _prefix(_rule, beyond=1)),
    ("one_number", _one_number),
    ("late_p", _late_p),
    *_RULES,
    *((name, _on_the_spot(rule)) for name, rule in _RULES),
)


# ---------------------------------------------------------------- what the next token is drawn from


def _after(rejected: Callable[[Tensor, Tensor, list[int], int], Tensor]) -> Rest:
    """Another distribution after a rejection: rejected(p, q, tokens, place). The bonus is right."""

    def rest(p: Tensor, q: Tensor, tokens: list[int], uniform: list[float]) -> Tensor:
        accepted, right = definition(p, q, tokens, uniform)
        place = len(accepted)
        return right if place == len(tokens) else rejected(p.double(), q.double(), tokens, place)

    return rest


def _bonus(bonus: Callable[[Tensor, Tensor], Tensor]) -> Rest:
    """Another distribution where all stay; without a draft there is no row to mistake it for."""

    def rest(p: Tensor, q: Tensor, tokens: list[int], uniform: list[float]) -> Tensor:
        accepted, right = definition(p, q, tokens, uniform)
        return bonus(p.double(), q.double()) if tokens and len(accepted) == len(tokens) else right

    return rest


def _removed(p: Tensor, q: Tensor, tokens: list[int], place: int) -> Tensor:
    left = p[place].clone()
    left[tokens[place]] = 0
    return left / left.sum()


def _normal(values: Tensor) -> Tensor:
    return values / values.sum()


RESTS: tuple[tuple[str, Rest], ...] = (
    ("from_p", _after(lambda p, q, tokens, i: p[i])),
    ("removed", _after(_removed)),
    ("unnormalised", _after(lambda p, q, tokens, i: (p[i] - q[i]).clamp(min=0))),
    ("no_clamp", _after(lambda p, q, tokens, i: p[i] - q[i])),
    ("absolute", _after(lambda p, q, tokens, i: _normal((p[i] - q[i]).abs()))),
    ("reversed", _after(lambda p, q, tokens, i: residual(q[i], p[i]))),
    ("softmax", _after(lambda p, q, tokens, i: (p[i] - q[i]).clamp(min=0).softmax(0))),
    ("softmax", _after(lambda p, q, tokens, i: (p[i] - q[i]).softmax(0))),
    ("from_q", _after(lambda p, q, tokens, i: q[i])),
    ("wrong_row", _after(lambda p, q, tokens, i: residual(p[i + 1], q[i]))),
    ("wrong_row", _after(lambda p, q, tokens, i: residual(p[max(0, i - 1)], q[max(0, i - 1)]))),
    ("wrong_row", _after(lambda p, q, tokens, i: residual(p[0], q[0]))),
    ("wrong_row", _after(lambda p, q, tokens, i: residual(p[len(tokens) - 1], q[len(tokens) - 1]))),
    ("wrong_row", _after(lambda p, q, tokens, i: p[i + 1])),
    ("bonus_last", _bonus(lambda p, q: p[-2])),
    ("bonus_left", _bonus(lambda p, q: residual(p[-1], q[-1]))),
    ("bonus_left", _bonus(lambda p, q: residual(p[-2], q[-1]))),
    ("bonus_always", lambda p, q, tokens, uniform: p[-1].double()),
)
