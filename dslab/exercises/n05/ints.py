"""What the exercises of notebook 05 accept where a list of ints is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dslab.exercises import probe
from dslab.exercises.display import shown


def as_ints(value: Any) -> list[int] | None:
    """A list of ints from a list, a tuple, a range, or a tensor or array of integers with one dimension; else None.

    >>> as_ints(range(2)), as_ints(torch.tensor([3])), as_ints([1.0]), as_ints("12"), as_ints(torch.tensor([[3]]))
    ([0, 1], [3], None, None, None)
    """
    if isinstance(value, torch.Tensor | np.ndarray):
        tensor = probe.as_tensor(value)
        is_empty_list = tensor is not None and tensor.shape == (0,)  # torch.tensor([]) is float, and no float is in it
        value = [] if is_empty_list else None if tensor is None or tensor.ndim != 1 else tensor.tolist()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    ints = [_as_int(item) for item in value]
    return None if None in ints else [item for item in ints if item is not None]


def _as_int(value: Any) -> int | None:
    return None if isinstance(value, torch.Tensor) and value.is_meta else probe.as_integer(value)


def has_floats(value: Any) -> bool:
    """Whether it would be a list of ints, but for being floats."""
    if isinstance(value, torch.Tensor | np.ndarray):
        tensor = probe.as_tensor(value)
        return tensor is not None and tensor.ndim == 1 and tensor.is_floating_point()
    return isinstance(value, list | tuple) and any(isinstance(item, float | np.floating) for item in value)


def short(ints: Sequence[int]) -> str:
    """The list as one would type it, cut where it is long."""
    text = str(list(ints))
    return text if len(text) < 120 else f"{text[:120]} …"


def told(value: Any) -> str:
    """What came, in words; of a tuple or list with tensors each part.

    >>> told((torch.zeros(2), 3)), told([1, 2])
    ('(a float32 tensor of shape (2,), 3)', '[1, 2]')
    """
    if isinstance(value, tuple | list) and any(isinstance(part, torch.Tensor | np.ndarray) for part in value):
        return f"({', '.join(map(shown, value[:4]))}{', …' if len(value) > 4 else ''})"
    return shown(value)
