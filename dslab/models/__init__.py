"""Pretrained models for the notebooks: find the weights once, then load them in a second, offline and quietly.

>>> from dslab import models
>>> sorted(models.__all__)
['Weights', 'auto_dtype', 'load', 'resolve', 'weights']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dslab.models.loading import auto_dtype, load
    from dslab.models.resolver import Weights, resolve, weights

__all__ = ["Weights", "auto_dtype", "load", "resolve", "weights"]

_LOADING = {"load", "auto_dtype"}


def __getattr__(name: str) -> Any:
    # Lazy, because `loading` imports torch and transformers (seconds) and `dslab doctor` needs only the resolver.
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"dslab.models.{'loading' if name in _LOADING else 'resolver'}"), name)
    raise AttributeError(f"module 'dslab.models' has no attribute {name!r}; it has {', '.join(__all__)}")
