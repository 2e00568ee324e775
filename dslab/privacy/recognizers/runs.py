"""Where numbers are looked for: one reading of the text finds every place that could hold one.

A *run* is a stretch of digit groups with short separators: `138-0013-8000`, `6222 0212 3456 7890 123`, or a line
broken in the middle. Values are made of whole groups, so the 11 digits inside a 20-digit order number are never seen.
A value of several groups may not go on, on either side, with the same separator and a group of the same length: that
is a longer series, not a value.

A *mixed* place is a digit with a letter behind it: keys and tokens have one, prose hardly ever.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dslab.privacy.checksums import PROVINCES

# Starts with a character class, so that `re` skips to digits at full speed. A run is seven signs and more.
_SPOT = re.compile(r"[0-9](?:[0-9 .()\-/\n\r+\t（）]{5,}[0-9Xx]|[A-Za-z])")
_GROUP = re.compile("[0-9]+")
_JOINT = re.compile(r"[ .\-]|  {1,2}| - |[ \-]?\r?\n[ \t]{0,8}")
# A short number that opens a line as the next item of a list does: "2. call back".
_ITEM = re.compile(r"[.)、．）](?![0-9])[ \t]*[^\s0-9]")
_MOST_DIGITS = 19
_MOST_GROUPS = 6

Groups = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Spots:
    """The digit groups of each run, and the positions of digits followed by a letter."""

    runs: tuple[Groups, ...]
    mixed: tuple[int, ...]


NO_SPOTS = Spots((), ())


def spots(text: str) -> Spots:
    """Read the text once.

    >>> spots("call 010-6552 9988, item 7f").mixed, len(spots("call 010-6552 9988").runs[0])
    ((25,), 3)
    """
    runs: list[Groups] = []
    mixed: list[int] = []
    size = len(text)
    for match in _SPOT.finditer(text):
        start, end = match.span()
        if end - start == 2:
            mixed.append(start)
            continue
        groups = [g.span() for g in _GROUP.finditer(text, start, end)]
        if sum(e - s for s, e in groups) >= 4:
            runs.append(groups)
        if end < size and text[end].isalpha() and text[end].isascii():
            mixed.append(end - 1)
    return Spots(tuple(runs), tuple(mixed))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring groups of a run, read as one number.

    shape:  length of each group; joints: the separators between them.
    before, after: the separator to the next group of the run on either side, or None at its edge.
    """

    start: int
    end: int
    digits: str
    shape: tuple[int, ...]
    joints: tuple[str, ...]
    before: str | None
    after: str | None
    length_before: int
    length_after: int

    @property
    def is_spelled(self) -> bool:
        """Written digit by digit: 1 1 0 1 0 5 ..."""
        return len(self.shape) > 4 and max(self.shape) == 1

    @property
    def has_break(self) -> bool:
        return any("\n" in joint for joint in self.joints)

    @property
    def unbroken(self) -> tuple[int, ...]:
        """The shape with a group that the end of a line parts in one piece."""
        joined = list(self.shape[:1])
        for size, joint in zip(self.shape[1:], self.joints, strict=True):
            if joint.strip() == "" and "\n" in joint:
                joined[-1] += size
            else:
                joined.append(size)
        return tuple(joined)

    @property
    def is_whole(self) -> bool:
        """Not a part of a longer number on either side."""
        if self.before in (".", "-") or self.after in (".", "-"):
            return False
        if len(self.shape) > 1 and not self.is_spelled:
            if self.before == self.joints[0] and self.length_before == self.shape[0] == self.shape[1]:
                return False
            if self.after == self.joints[-1] and self.length_after == self.shape[-1] == self.shape[-2]:
                return False
        return True


def chunks(text: str, groups: Groups) -> Iterator[tuple[int, list[Chunk]]]:
    """For each group of a run, what can be read from it on: 9 to 19 digits, whole groups, at most six of them.

    Digit by digit counts too, if all the single digits of the series make one number: a row of a table of small
    integers is far longer, or shorter, and is passed over at once.
    """
    first, count = 0, len(groups)
    while first < count:
        start, end = groups[first]
        size = end - start
        if size == 1:
            last = first
            while (
                last + 1 < count
                and groups[last + 1][1] - groups[last + 1][0] == 1
                and _JOINT.fullmatch(text, groups[last][1], groups[last + 1][0])
                and not _opens_item(text, groups, last + 1)
            ):
                last += 1
            spelled = _ends_of_spelled(text, groups, first, last)
            if spelled:
                yield first, [_chunk(text, groups, first, end) for end in spelled]
            elif last - first < 3:
                yield first, list(_grouped(text, groups, first))
            first = last + 1
            continue
        if size <= _MOST_DIGITS:
            found = list(_grouped(text, groups, first))
            if found:
                yield first, found
        first += 1


_SPELLED = frozenset((9, 11, 13, 14, 15, 16, 17, 18, 19))


def _opens_item(text: str, groups: Groups, at: int) -> bool:
    """Is this group the number of the next line's item?"""
    (before, (start, end)) = groups[at - 1][1], groups[at]
    return end - start <= 2 and "\n" in text[before:start] and _ITEM.match(text, end) is not None


def _ends_of_spelled(text: str, groups: Groups, first: int, last: int) -> list[int]:
    """Where a number written digit by digit may end: with the series, or with its first line."""
    ends = [last] if last - first + 1 in _SPELLED else []
    if 9 < last - first <= _MOST_DIGITS + 2:
        line = text.find("\n", groups[first][1], groups[last][0])
        if line >= 0:
            stop = next(at for at in range(first, last + 1) if groups[at][0] > line) - 1
            ends += [stop] if stop - first + 1 in _SPELLED else []
    return ends


def _grouped(text: str, groups: Groups, first: int) -> Iterator[Chunk]:
    total, kind, has_break = 0, None, False
    head = text[groups[first][0] : groups[first][0] + 2]
    for last in range(first, min(first + _MOST_GROUPS, len(groups))):
        if last > first:
            # One kind of separator throughout; blanks and line breaks are one kind.
            begin, end = groups[last - 1][1], groups[last][0]
            joint = text[begin:end].strip()
            if end - begin > 12 or not _JOINT.fullmatch(text, begin, end) or _opens_item(text, groups, last):
                return
            has_break = has_break or "\n" in text[begin:end]
            if not (joint == "" and kind == "-" and "\n" in text[begin:end]):  # a line may end inside a group
                if kind is not None and joint != kind:
                    return
                kind = joint
        total += groups[last][1] - groups[last][0]
        count = last - first + 1
        if total > _MOST_DIGITS or (count > 2 and total * 2 < count * 5 - 2 * has_break):
            return
        if total == 9 and has_break and count in (2, 4):
            yield _chunk(text, groups, first, last)
            continue
        if total == 9 and count == 3 and not has_break and groups[first + 1][1] - groups[first + 1][0] != 2:
            continue  # 3-2-4 or nothing
        if _may_be(total, count, head):
            yield _chunk(text, groups, first, last)


def _may_be(total: int, count: int, head: str) -> bool:
    """Is there a type with this many digits that starts like this? Most tables of figures end here."""
    if total == 9:
        return count in (1, 3)
    if total == 11:
        return head[0] == "1"
    if total in (13, 15) and head in ("86", "00"):
        return True
    return total >= 12 and (head[0] in "234569" or head in ("81", "18") or (total >= 17 and head in PROVINCES))


def _chunk(text: str, groups: Groups, first: int, last: int) -> Chunk:
    inside = groups[first : last + 1]
    before = text[groups[first - 1][1] : groups[first][0]] if first else None
    after = text[groups[last][1] : groups[last + 1][0]] if last + 1 < len(groups) else None
    return Chunk(
        start=inside[0][0],
        end=inside[-1][1],
        digits="".join([text[start:end] for start, end in inside]),
        shape=tuple([end - start for start, end in inside]),
        joints=tuple([text[left[1] : right[0]] for left, right in itertools.pairwise(inside)]),
        before=before,
        after=after,
        length_before=groups[first - 1][1] - groups[first - 1][0] if before is not None else 0,
        length_after=groups[last + 1][1] - groups[last + 1][0] if after is not None else 0,
    )
