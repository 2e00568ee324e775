"""Pretrained models for the notebooks: find the weights once, then load them in a second, offline and quietly.

>>> from dslab import models
>>> sorted(models.__all__)
['Weights', 'auto_dtype', 'load', 'own', 'resolve', 'weights']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslab.lazy import lazy

if TYPE_CHECKING:  # `loading` imports torch and transformers (seconds), and `dslab doctor` needs only the resolver
    from dslab.models.loading import auto_dtype as auto_dtype
    from dslab.models.loading import load as load
    from dslab.models.owned import own as own
    from dslab.models.resolver import Weights as Weights
    from dslab.models.resolver import resolve as resolve
    from dslab.models.resolver import weights as weights

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
