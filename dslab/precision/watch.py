"""Count the gradients of a large model while they pass, and free each one at once.

A backward pass makes one gradient a parameter and one a module's output. Keeping them all takes as much memory as the
model and its activations; a histogram of each takes two kilobytes. So: hooks that count and let go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from dslab.precision.underflow import Binades


@dataclass
class Watched:
    """parameters: by parameter name; outputs: by the names given to `watch_gradients`."""

    parameters: dict[str, Binades] = field(default_factory=dict)
    outputs: dict[str, Binades] = field(default_factory=dict)


@contextmanager
def watch_gradients(model: nn.Module, outputs: Mapping[str, nn.Module], *, free: bool = True) -> Iterator[Watched]:
    """Inside, run forward and backward; afterwards, read the histograms.

    outputs: name -> module whose output's gradient is counted (the first tensor of a tuple), once for every call.
    free:    set each parameter's gradient to None once counted; nothing is left to step with. False keeps them.
    Parameters that are used several times count once, complete. What is counted is `.grad` after each backward pass:
    one from before, or from an earlier pass with free=False, is part of it. All hooks are removed at the end, also
    after an error. Raises TypeError in the forward pass where a watched module puts out no tensor.

    >>> import torch
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> with watch_gradients(layer, {"out": layer}) as seen:
    ...     layer(torch.tensor([[1.0, 0.0]])).sum().backward()
    >>> seen.outputs["out"].shares(), seen.parameters["weight"].zeros, layer.weight.grad
    ({0: 1.0}, 1, None)
    """
    seen, handles = Watched(), list[Any]()
    try:
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                seen.parameters[name] = Binades()
                handles.append(parameter.register_post_accumulate_grad_hook(_counter(seen.parameters[name], free)))
        for name, module in outputs.items():
            seen.outputs[name] = Binades()
            handles.append(module.register_forward_hook(_tap(name, seen.outputs[name], handles)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _counter(binades: Binades, free: bool) -> Any:
    def count(parameter: Tensor) -> None:
        assert parameter.grad is not None
        binades.add(parameter.grad)
        if free:
            parameter.grad = None

    return count


def _tap(name: str, binades: Binades, handles: list[Any]) -> Any:
    def count(gradient: Tensor) -> None:
        binades.add(gradient)

    def tap(module: nn.Module, args: Any, output: Any) -> None:
        tensors = [value for value in (output if isinstance(output, tuple) else [output]) if isinstance(value, Tensor)]
        if not tensors:
            raise TypeError(f"{name} puts out no tensor and no tuple with one, but {type(output).__name__}")
        if tensors[0].requires_grad:
            handles.append(tensors[0].register_hook(count))

    return tap
