"""A function for `datasets.Dataset.map(batched=True)`.

    dataset.map(map_batch(Masker(Detector())), batched=True, num_proc=4)

`datasets` caches the result of a map under a hash of the pickled function. A set pickles in another order in another
process, and a code change in a library leaves the pickle as it was; so what is pickled here is a sorted description of
the masker with dslab's version in it: the same masker finds its cache again, another one or another version does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dslab.privacy.masking import Masker


class MapBatch:
    """Masks a column of a batch; None stays None. Made by `map_batch`."""

    def __init__(self, masker: Masker, column: str, counts: str | None) -> None:
        self.masker, self.column, self.counts = masker, column, counts

    def __call__(self, batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        if self.column not in batch:
            raise KeyError(f"no column {self.column!r}; the batch has {', '.join(sorted(batch))}")
        texts, counts = [], []
        for text in batch[self.column]:
            masked, spans = (text, []) if text is None else self.masker.apply(text)
            texts.append(masked)
            counts.append(len(spans))
        return {self.column: texts} | ({self.counts: counts} if self.counts else {})

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (_version(), _describe(self.masker), self.column, self.counts)


def map_batch(masker: Masker, column: str = "text", counts: str | None = None) -> MapBatch:
    """A function from a batch to its masked column.

    column: the column to mask.
    counts: a name for a further column with the number of spans in each text; None for no such column.

    >>> from dslab.privacy import Detector
    >>> map_batch(Masker(Detector()))({"text": ["电话13800138000", None]})
    {'text': ['电话<CN_MOBILE>', None]}
    """
    return MapBatch(masker, column, counts)


def _describe(masker: Masker) -> Any:
    """What decides the output, in the same order in every process; a detector of your own is pickled as it is."""
    from dslab.privacy.detector import Detector

    detector = masker.detector
    if type(detector) is not Detector:
        return masker
    types = (*sorted(detector.types), *detector.recognizers)
    return types, detector.policy, masker.mode, masker.key


def _rebuild(made_by: str, description: Any, column: str, counts: str | None) -> MapBatch:
    from dslab.privacy.detector import Detector

    if isinstance(description, Masker):
        return MapBatch(description, column, counts)
    types, policy, mode, key = description
    return MapBatch(Masker(Detector(types=types, policy=policy), mode=mode, key=key), column, counts)


def _version() -> str:
    try:
        return version("dslab-course")
    except PackageNotFoundError:
        return "source"
