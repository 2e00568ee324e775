"""Masking: write something else where a value stood, so that a second run changes nothing.

    Masker(Detector(), mode="tag").apply("电话13800138000")     ->  "电话<CN_MOBILE>"
    mode="partial"      电话138****8000
    mode="surrogate"    电话15428175236            same shape, nobody's number, the same for the same value under a key
    mode="hmac"         电话<CN_MOBILE:9f2c...>    16 hexadecimal digits of HMAC-SHA256(key, type || 0 || value)

Taking a value out changes what stands around its neighbours: the number behind it may now look whole, the word `<CARD>`
may look like a label. So the masked text is searched again, and what is found there is masked too, until nothing is
found. Three rules make that end: masks of ours count as walls (they are no label, and none is read across them),
surrogates are known by their form, and stars or a surrogate that are found as something else give way to the tag (with
its 16 digits where there is a key). The masked text then is, by construction, one in which nothing is found, and
masking it again returns it unchanged.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

from dslab.privacy.keys import check_key, keyed_digest
from dslab.privacy.partial import partial
from dslab.privacy.spans import TYPES, Span
from dslab.privacy.spelling import normalise
from dslab.privacy.surrogates import is_surrogate, surrogate

MODES = ("tag", "partial", "surrogate", "hmac")
KEYED = ("surrogate", "hmac")
# A wall is as long as a detector looks for labels, and of signs that no pattern knows (private use, U+E000).
_WALL = "\ue000" * 64
# Searches of a masked text; the last ones take the whole run of digits around a find, so that no chain outlasts them.
_ROUNDS, _WIDE_FROM = 8, 4
_RUN_LEFT, _RUN_RIGHT = re.compile(r"[0-9 .()\-/+\t\r\n]*\Z"), re.compile(r"[0-9 .()\-/+\t\r\n]*")


class Finder(Protocol):
    """Whatever finds spans: a Detector, or yours."""

    def find(self, text: str) -> list[Span]: ...


@dataclass(frozen=True, slots=True)
class Replacement:
    """A span of the original, and what is written in its place."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is to be masked, and whether only a plain mask will do: one that is a wall."""

    span: Span
    plain: bool = False


class Masker:
    """Masks what a detector finds.

    detector: has `.find(text) -> list[Span]`.
    mode:     tag, partial, surrogate or hmac.
    key:      for surrogate and hmac: at least 32 bytes, see `keys.load_key`.
    Raises    ValueError for an unknown mode, and for a keyed mode without a key that can serve.

    >>> from dslab.privacy import Detector
    >>> Masker(Detector()).apply("电话13800138000")[0]
    '电话<CN_MOBILE>'
    """

    def __init__(self, detector: Finder, mode: str = "tag", key: bytes | None = None) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
        if mode in KEYED and key is None:
            raise ValueError(
                f"mode {mode!r} needs a key of at least 32 bytes: Masker(detector, mode={mode!r}, "
                "key=dslab.privacy.keys.load_key(PATH)), or load_key() with DSLAB_KEY set"
            )
        self.detector = detector
        self.mode = mode
        self.key = check_key(key) if mode in KEYED else b""

    def __repr__(self) -> str:
        return f"Masker({self.detector!r}, mode={self.mode!r})"  # never the key

    def __getstate__(self) -> dict[str, Any]:
        return {"detector": self.detector, "mode": self.mode, "key": self.key}

    def apply(self, text: str) -> tuple[str, list[Span]]:
        """The masked text, and the spans of the original text that were masked."""
        pieces, masked, _ = self._settle(text)
        return masked, [piece.span for piece in pieces]

    def replacements(self, text: str) -> list[Replacement]:
        """What `apply` writes where: for a reversible map, or to show both sides."""
        pieces, masked, places = self._settle(text)
        return [Replacement(p.span, masked[start:end]) for p, (start, end) in zip(pieces, places, strict=True)]

    def apply_spans(self, text: str, spans: Iterable[Span]) -> str:
        """The text with these spans masked; nothing is searched.

        Raises ValueError if spans overlap or leave the text.
        """
        pieces = [_Piece(span) for span in sorted(spans, key=lambda s: (s.start, s.end))]
        end = 0
        for piece in pieces:
            if not end <= piece.span.start <= piece.span.end <= len(text):
                raise ValueError(
                    f"spans must lie in the text and not overlap; got {piece.span} in {len(text)} characters"
                )
            end = piece.span.end
        return self._render(text, pieces, {})[0]

    def find(self, text: str) -> list[Span]:
        """What the detector finds, less what is masked already: tags of ours, and surrogates by their form."""
        walls = [wall.span() for wall in self._own.finditer(text)] if "<" in text else []
        if not walls:
            return [s for s in self.detector.find(text) if not _is_left(s.type, text[s.start : s.end])]
        walled, back = _walled(text, walls)
        spans = []
        for found in self.detector.find(walled):
            start, end = back(found.start, False), back(found.end - 1, True)
            if (start, end) not in walls and not _is_left(found.type, text[start:end]):
                spans.append(replace(found, start=start, end=end))
        return spans

    @cached_property
    def _own(self) -> re.Pattern[str]:
        own = {r.type for r in getattr(self.detector, "recognizers", ())}
        names = "|".join(sorted(map(re.escape, {*TYPES, *own}), key=len, reverse=True))
        return re.compile(f"<(?:{names})(?::[0-9a-f]{{16}})?>")

    def _settle(self, text: str) -> tuple[list[_Piece], str, list[tuple[int, int]]]:
        """Search, mask, and search the masked text again until nothing is found in it: pieces, masked text, places."""
        pieces = [_Piece(span) for span in self.find(text)]
        written: dict[_Piece, str] = {}
        masked, places = self._render(text, pieces, written)
        for search in range(_ROUNDS if pieces else 0):
            again = self.find(masked)
            if not again:
                break
            pieces = _merged(text, pieces, places, again, wide=search >= _WIDE_FROM)
            masked, places = self._render(text, pieces, written)
        return pieces, masked, places

    def _render(
        self, text: str, pieces: Sequence[_Piece], written: dict[_Piece, str]
    ) -> tuple[str, list[tuple[int, int]]]:
        """The masked text, and where each mask stands in it; `written` remembers masks between calls."""
        parts: list[str] = []
        places: list[tuple[int, int]] = []
        at = length = 0
        for piece in pieces:
            mask = written[piece] = written.get(piece) or self._write(text, piece)
            length += piece.span.start - at
            places.append((length, length + len(mask)))
            parts += [text[at : piece.span.start], mask]
            length, at = length + len(mask), piece.span.end
        return "".join([*parts, text[at:]]), places

    def _write(self, text: str, piece: _Piece) -> str:
        type, value = piece.span.type, text[piece.span.start : piece.span.end]
        if self.mode == "partial" and not piece.plain:
            return partial(type, value)
        made = surrogate(type, value, self.key) if self.mode == "surrogate" and not piece.plain else None
        if made is not None:
            return made
        if self.mode in KEYED:
            return f"<{type}:{keyed_digest(self.key, type, normalise(type, value)).hex()[:16]}>"
        return f"<{type}>"


def _walled(text: str, masks: list[tuple[int, int]]) -> tuple[str, Callable[[int, bool], int]]:
    """The text with a wall for every mask, and the way back: where a character starts, or ends, in the text."""
    starts, ends, parts, at = (
        [0],
        [0],
        [],
        0,
    )  # where each stretch between walls starts: in the walled text, in the text
    for begin, end in masks:
        parts += [text[at:begin], _WALL]
        starts.append(starts[-1] + begin - at + len(_WALL))
        ends.append(end)
        at = end

    def back(position: int, is_end: bool) -> int:
        stretch = bisect_right(starts, position) - 1
        place = ends[stretch] + position - starts[stretch]
        if stretch < len(masks) and place >= masks[stretch][0]:  # in a wall: all of the mask or nothing
            return masks[stretch][is_end]
        return place + is_end

    return "".join([*parts, text[at:]]), back


def _is_left(type: str, value: str) -> bool:
    """A surrogate by its form. A wrong check digit is no reason: a detector that does not look at them means it."""
    return type not in ("CN_ID", "CARD", "USCC", "IBAN") and is_surrogate(type, value)


def _merged(
    text: str, pieces: list[_Piece], places: list[tuple[int, int]], again: list[Span], *, wide: bool
) -> list[_Piece]:
    """The pieces after a search of the masked text: new ones beside the old, plainer ones where a mask was found."""
    fresh: list[_Piece] = []
    ends = [end for _, end in places]
    for found in again:
        first = bisect_right(ends, found.start)  # the first mask that ends behind the find's start
        last = first
        while last < len(pieces) and places[last][0] < found.end:
            last += 1
        touched = pieces[first:last]
        start = found.start + (pieces[first - 1].span.end - ends[first - 1] if first else 0)
        end = found.end + (pieces[last - 1].span.end - ends[last - 1] if last else 0)
        if touched:
            if found.start >= places[first][0]:
                start = touched[0].span.start
            if found.end <= places[last - 1][1]:
                end = touched[-1].span.end
        if wide:
            start, end = _run(text, start, end)
        if touched:
            fresh.append(_Piece(replace(touched[0].span, start=start, end=end), plain=True))
        else:
            fresh.append(_Piece(replace(found, start=start, end=end), plain=wide))
    return _without_overlap(pieces, fresh)


def _without_overlap(old: list[_Piece], fresh: list[_Piece]) -> list[_Piece]:
    """Old and fresh pieces, sorted; those that overlap become one, written plainly where they differ."""
    kept: list[_Piece] = []
    for piece in sorted([*fresh, *old], key=lambda p: (p.span.start, -p.span.end)):
        if kept and piece.span.start < kept[-1].span.end:
            if piece.span.end > kept[-1].span.end:
                kept[-1] = _Piece(replace(kept[-1].span, end=piece.span.end), plain=True)
            continue
        kept.append(piece)
    return kept


def _run(text: str, start: int, end: int) -> tuple[int, int]:
    """A range, widened over the digits and separators around it."""
    left, right = _RUN_LEFT.search(text, max(0, start - 4096), start), _RUN_RIGHT.match(text, end, end + 4096)
    return left.start() if left else start, right.end() if right else end
