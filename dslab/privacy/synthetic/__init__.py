"""Made-up documents with known truth: values to find, look-alikes to leave alone, corpora to clean. Nobody's data.

    documents(1000, seed=1)                  # what `dslab.privacy.evaluate` reads, from the first hand's templates
    documents(1000, seed=1, hand="second")   # templates, spellings and kinds of another hand
    corpus(2000, seed=1)                     # a small bilingual web: .rows, and the truth about each fault planted

A test set by the author of a detector flatters it; so there are two hands, who did not read each other's templates.
A hand is a module of this folder with one function, documents(n, seed), that returns what `documents` below returns. It
may write documents as pieces (`pieces.py`): plain strings, `Value(text, type, form)`, `Negative(text, kind)`, and take
them from `values.value(rng, kind, form=None)` and `negatives.negative(rng, kind=None)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dslab.lazy import lazy

if TYPE_CHECKING:
    from dslab.privacy.synthetic import negatives as negatives
    from dslab.privacy.synthetic import values as values
    from dslab.privacy.synthetic.pieces import Negative as Negative
    from dslab.privacy.synthetic.pieces import Piece as Piece
    from dslab.privacy.synthetic.pieces import Value as Value
    from dslab.privacy.synthetic.pieces import assemble as assemble
    from dslab.privacy.synthetic.web import Corpus as Corpus
    from dslab.privacy.synthetic.web import corpus as corpus

__getattr__, __dir__, __all__ = lazy(__name__, __file__, also=["documents"])

HANDS = ("first", "second")


def documents(n: int, seed: int, hand: str = "first") -> list[dict[str, Any]]:
    """n labelled documents in English and Chinese.

    Returns {"id", "lang", "text", "spans": [{"start", "end", "type", "form"}], "neg": [{"start", "end", "kind"}]},
    offsets in code points. Document i is the same for every n.
    Raises ValueError for a negative n or an unknown hand.

    >>> docs = documents(10, seed=1)
    >>> docs[:3] == documents(3, seed=1), docs[3]["lang"], {"text", "spans", "neg"} <= set(docs[0])
    (True, 'zh', True)
    """
    if n < 0 or hand not in HANDS:
        raise ValueError(f"documents needs n >= 0 and hand in {HANDS}; got {n=}, {hand=}")
    made: list[dict[str, Any]] = import_module(f"{__name__}.{hand}").documents(n, seed)
    return made
