"""Personal data in text: find it by evidence, take it out, measure how well.

    detector = Detector()                                 # 12 types; .find(text) -> spans of the original text
    masked, spans = Masker(detector, mode="tag").apply(text)
    evaluate(documents, detector).table()                 # recall, precision, half-eaten spans, hard negatives

Names are imported on first use, so that one of them costs only its own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslab.lazy import lazy

if TYPE_CHECKING:
    from dslab.privacy import synthetic as synthetic
    from dslab.privacy.detector import Detector as Detector
    from dslab.privacy.evaluation import evaluate as evaluate
    from dslab.privacy.masking import Masker as Masker
    from dslab.privacy.recognizers.base import Recognizer as Recognizer
    from dslab.privacy.spans import TYPES as TYPES
    from dslab.privacy.spans import Span as Span

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
