"""Exercise `unscale`: the gradients it is tried on, and what the usual mistakes make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Grads = tuple[Any, ...]  # nested lists of numbers, or None
INF, NAN = float("inf"), float("nan")

# First what a reader is told about. Three gradients, so that first, last and middle differ.
FINITE: tuple[tuple[Grads, float], ...] = (
    (([8.0, -16.0], [[1024.0], [0.0]], [-4.0]), 4.0),
    (([3000.7, -1.5], [6.0], [1e-4, 7.0]), 3000.7),
    (([2.0**25, -3.0], [5.0], [2.0**20]), 2.0**25),
    (([1e30], [1e-30, 1.0], 65536.0), 65536.0),
)
FLAGS: tuple[tuple[Grads, float], ...] = (
    *FINITE,
    (([1.0, INF], [2.0], [4.0]), 2.0),
    (([1.0], [2.0, NAN], [4.0]), 2.0),
    (([NAN, 1.0], [2.0], [4.0]), 2.0),
    (([1.0], [2.0, -INF, 6.0], [4.0]), 2.0),
    (([1.0], [2.0], [4.0, NAN]), 2.0),
    (([1.0, INF], [-INF, 2.0], [4.0]), 2.0),
    (([1.0, INF, -INF], [2.0], [4.0]), 2.0),
    (([INF], [-INF], [NAN]), 2.0),
    (([INF, NAN], [2.0], [4.0]), 2.0),
    (([1.0], [[2.0, 3.0], [4.0, NAN]], [5.0]), 2.0),
    (([1e5, -70000.0], [2.0], [4.0]), 2.0),
    (([2.0], [3.4e38], [4.0]), 2.0),
    (([3.4e38, 3.4e38], [-3.4e38, -3.4e38], [3.4e38]), 2.0),
    (([3.4e38], [3.4e38], [4.0]), 2.0),
)
NONES: tuple[tuple[Grads, float], ...] = (
    (([8.0], None, [4.0, 2.0]), 4.0),
    ((None, [8.0], [INF]), 4.0),
    (([NAN], [8.0], None), 4.0),
    ((None, None), 4.0),
)

SHORT = (torch.float16, torch.bfloat16)

# What else could have been done to one gradient.
WRONG_GRADS: tuple[tuple[str, Callable[[Tensor, float], Tensor]], ...] = (
    ("untouched", lambda g, s: g),
    ("multiplied", lambda g, s: g * s),
    ("twice", lambda g, s: g / s / s),
    *(("scale_short", lambda g, s, d=d: g * torch.tensor(1 / s).to(d).float()) for d in SHORT),
    *(("scale_short", lambda g, s, d=d: g * (1 / torch.tensor(s).to(d)).float()) for d in SHORT),
    *(("scale_short", lambda g, s, d=d: g / torch.tensor(s).to(d).float()) for d in SHORT),
    ("grad_half", lambda g, s: (g.half() / s).float()),
    ("grad_half", lambda g, s: (g / s).half().float()),
    ("grad_half", lambda g, s: g.half().float() / s),
)

# What else could have been asked of a list of gradients.
WRONG_FLAGS: tuple[tuple[str, Callable[[list[Tensor]], bool]], ...] = (
    ("inverted", lambda grads: all(bool(g.isfinite().all()) for g in grads)),
    ("never", lambda grads: False),
    ("always", lambda grads: True),
    ("only_inf", lambda grads: any(bool(g.isinf().any()) for g in grads)),
    ("only_nan", lambda grads: any(bool(g.isnan().any()) for g in grads)),
    ("no_minus_inf", lambda grads: any(not bool(g.max().isfinite()) for g in grads)),
    ("only_plus_inf", lambda grads: any(bool((g == INF).any()) for g in grads)),
    ("only_plus_inf", lambda grads: any(float(g.max()) == INF for g in grads)),
    ("first", lambda grads: not bool(grads[0].isfinite().all())),
    ("last", lambda grads: not bool(grads[-1].isfinite().all())),
    ("all_parameters", lambda grads: all(not bool(g.isfinite().all()) for g in grads)),
    ("all_entries", lambda grads: any(not bool(g.isfinite().any()) for g in grads)),
    ("sum_misses", lambda grads: any(bool(g.sum().isinf()) for g in grads)),
    ("sum_misses", lambda grads: bool(torch.stack([g.sum() for g in grads]).sum().isinf())),
    ("sum_misses", lambda grads: any(bool(g.sum().isnan()) for g in grads)),
    ("summed", lambda grads: any(not bool(g.sum().isfinite()) for g in grads)),
    ("summed", lambda grads: not bool(torch.stack([g.sum() for g in grads]).sum().isfinite())),
    ("summed", lambda grads: not bool(torch.stack([g.abs().sum() for g in grads]).sum().isfinite())),
    ("summed", lambda grads: any(not bool(g.abs().sum().isfinite()) for g in grads)),
    ("squared", lambda grads: any(not bool(g.norm().isfinite()) for g in grads)),
    ("squared", lambda grads: any(not bool(g.square().sum().isfinite()) for g in grads)),
    ("squared", lambda grads: not bool(torch.stack([g.norm() for g in grads]).norm().isfinite())),
    ("fp16_limit", lambda grads: any(not bool((g.abs() <= 65504).all()) for g in grads)),
    ("fp16_limit", lambda grads: any(not bool(g.half().isfinite().all()) for g in grads)),
)
