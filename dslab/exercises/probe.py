"""What checkers share: fresh inputs, a safe look at what comes back, and mistakes recognised by what they compute.

A checker writes a mistake down as the function someone would write who makes it. An answer that computes the same as
that function in every case makes that mistake, whatever its code looks like.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

# What a reader is told; no logic here.
A_TENSOR = "a {dtype} tensor of shape {shape}"
AN_OBJECT = "a {type}"
CHANGED = "Your function changes its argument `{name}` in place; the caller still needs it. Work on a copy."


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Whatever a learner's function sets in torch, the default dtype and grad mode are afterwards as they were."""
    dtype = torch.get_default_dtype()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()):  # put back on leaving
            yield
    finally:
        torch.set_default_dtype(dtype)


def call(answer: Callable[..., Any], names: str, *arguments: Any) -> tuple[Any, str | None]:
    """Call a learner's function with copies of the arguments; tell what it returned and which one it changed.

    names: the parameters in order, as in the task: `"q k v mask"`.
    Returns (result, None or a diagnosis). Exceptions pass: the page names the learner's own line.
    """
    copies = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
    with settings_kept():
        result = answer(*copies)
    for name, before, after in zip(names.split(), arguments, copies, strict=True):
        if isinstance(before, Tensor) and not torch.equal(before, after):
            return result, CHANGED.format(name=name)
    return result, None


def as_tensor(value: Any) -> Tensor | None:
    """A CPU copy of a tensor or numpy array, which a later call cannot change; None for anything else."""
    if not isinstance(value, Tensor | np.ndarray):
        return None
    try:
        tensor = torch.as_tensor(value).detach().cpu().clone()
    except (TypeError, ValueError, RuntimeError):  # arrays of objects or strings, tensors without data
        return None
    return tensor if tensor.layout == torch.strided else None  # sparse ones cannot even be compared


def as_integer(value: Any) -> int | None:
    """The int in a Python or numpy integer, or in an integer tensor without dimensions; None for anything else.

    >>> as_integer(3), as_integer(torch.tensor(3)), as_integer(3.0), as_integer(True)
    (3, 3, None, None)
    """
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def as_bool(value: Any) -> bool | None:
    """The bool in a Python or numpy bool, or in a bool tensor without dimensions; None for anything else.

    >>> as_bool(True), as_bool(torch.tensor(False)), as_bool(1), as_bool("yes")
    (True, False, None, None)
    """
    if isinstance(value, Tensor):
        value = None if value.ndim or value.is_meta or value.is_sparse else value.item()
    elif isinstance(value, np.ndarray):
        value = value.item() if value.ndim == 0 else None
    return bool(value) if isinstance(value, bool | np.bool_) else None


def describe(value: Any) -> str:
    """What came, in words.

    >>> describe(torch.zeros(2, 3)), describe(None), describe([1])
    ('a float32 tensor of shape (2, 3)', 'None', 'a list')
    """
    if isinstance(value, Tensor | np.ndarray):
        return A_TENSOR.format(dtype=str(value.dtype).removeprefix("torch."), shape=tuple(value.shape))
    return "None" if value is None else AN_OBJECT.format(type=type(value).__name__)


def recognise(
    cases: Sequence[tuple[Any, ...]],
    answers: Sequence[Any],
    mistakes: Iterable[tuple[str, Callable[..., Any]]],
    same: Callable[[Any, Any], bool],
) -> tuple[str, Callable[..., Any]] | None:
    """The first (name, function) of the mistakes that answers every case as the learner did, if there is one."""
    for name, function in mistakes:
        if all(same(function(*case), answer) for case, answer in zip(cases, answers, strict=True)):
            return name, function
    return None
