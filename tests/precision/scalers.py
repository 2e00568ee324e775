"""What the tests of the loss scaler share: ours and torch's, made alike, and one step by hand."""

import math

import pytest
import torch
from torch import nn

from dslab.precision.scaler import GradScaler

INF, NAN = math.inf, math.nan


def ours(**options):
    return GradScaler("cpu", **options)


def torchs(**options):
    return torch.amp.GradScaler("cpu", **options)


BOTH = pytest.mark.parametrize("make", [ours, torchs])


def a_step(scaler, *gradients, optimizer=None, params=None):
    """One step, by SGD unless told, of parameters of ones. The gradients are given as they would be without a scale."""
    params = params or [nn.Parameter(torch.ones(2)) for _ in gradients]
    optimizer = optimizer or torch.optim.SGD(params, lr=1.0)
    scaler.scale(torch.ones(()))
    for p, g in zip(params, gradients, strict=True):
        p.grad = None if g is None else torch.full_like(p, g) * scaler.get_scale()
    scaler.step(optimizer)
    return [p.detach()[0].item() for p in params]
