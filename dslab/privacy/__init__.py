"""Personal data in text: find it by evidence, take it out, measure how well.

    detector = Detector()                                 # 12 types; .find(text) -> spans of the original text
    masked, spans = Masker(detector, mode="tag").apply(text)
    evaluate(documents, detector).table()                 # recall, precision, half-eaten spans, hard negatives

Names are imported on first use, so that one of them costs only its own file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "Detector": "detector",
    "Masker": "masking",
    "Recognizer": "recognizers.base",
    "Span": "spans",
    "TYPES": "spans",
    "evaluate": "evaluation",
}
_MODULES = {"synthetic"}
__all__ = sorted([*_HOME, *_MODULES])

if TYPE_CHECKING:
    from dslab.privacy.detector import Detector as Detector
    from dslab.privacy.evaluation import evaluate as evaluate
    from dslab.privacy.masking import Masker as Masker
    from dslab.privacy.recognizers.base import Recognizer as Recognizer
    from dslab.privacy.spans import TYPES as TYPES
    from dslab.privacy.spans import Span as Span


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
