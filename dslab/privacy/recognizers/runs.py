"""Runs of digits: where numbers are looked for, and the rule that no part of a longer run is ever taken.

A run is a stretch of digit groups with short separators: `138-0013-8000`, `6222 0212 3456 7890 123`, or a line broken in
the middle. Values are made of whole groups, so the 11 digits inside a 20-digit order number are never seen. A value of
several groups may not go on on either side with the same separator and a group of the same length: that is a longer
series, not a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Starts with a character class, so that `re` skips to digits at full speed. Seven digits and more.
_RUN = re.compile(r"[0-9][0-9 .()\-/\n\r+\t（）]{5,}[0-9Xx]")
_GROUP = re.compile("[0-9]+")
_JOINT = re.compile(r"[ .\-]|  | - |[ \-]?\r?\n[ \t]{0,8}")
_MOST_DIGITS = 20


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
    def is_uniform(self) -> bool:
        """The same separator everywhere, or none."""
        return len(set(self.joints)) <= 1

    @property
    def is_spelled(self) -> bool:
        """Written digit by digit: 1 1 0 1 0 5 ..."""
        return len(self.shape) > 4 and max(self.shape) == 1

    @property
    def has_break(self) -> bool:
        return any("\n" in joint for joint in self.joints)

    @property
    def is_whole(self) -> bool:
        """Not a part of a longer number on either side."""
        if self.before in (".", "-") or self.after in (".", "-"):
            return False
        if self.is_spelled:
            return not (self.before == self.joints[0] and self.length_before == 1) and not (
                self.after == self.joints[0] and self.length_after == 1
            )
        if len(self.shape) > 1:
            if self.before == self.joints[0] and self.length_before == self.shape[0] == self.shape[1]:
                return False
            if self.after == self.joints[-1] and self.length_after == self.shape[-1] == self.shape[-2]:
                return False
        return True


Groups = list[tuple[int, int]]


def runs(text: str) -> Iterator[Groups]:
    """The digit groups of each run of at least seven digits."""
    for match in _RUN.finditer(text):
        groups = [g.span() for g in _GROUP.finditer(text, match.start(), match.end())]
        if sum(end - start for start, end in groups) >= 7:
            yield groups


def chunks(text: str, groups: Groups, first: int, lengths: range | tuple[int, ...]) -> Iterator[Chunk]:
    """What can be read from group `first` on, whole groups only, with a total of digits in `lengths`; longest last."""
    total = 0
    joints: list[str] = []
    most = min(lengths[-1], _MOST_DIGITS)
    for last in range(first, len(groups)):
        if last > first:
            joint = text[groups[last - 1][1] : groups[last][0]]
            if not _JOINT.fullmatch(joint):
                return
            joints.append(joint)
        total += groups[last][1] - groups[last][0]
        if total > most:
            return
        if total in lengths:
            yield _chunk(text, groups, first, last, tuple(joints))


def _chunk(text: str, groups: Groups, first: int, last: int, joints: tuple[str, ...]) -> Chunk:
    inside = groups[first : last + 1]
    before = text[groups[first - 1][1] : groups[first][0]] if first else None
    after = text[groups[last][1] : groups[last + 1][0]] if last + 1 < len(groups) else None
    return Chunk(
        start=inside[0][0],
        end=inside[-1][1],
        digits="".join([text[start:end] for start, end in inside]),
        shape=tuple([end - start for start, end in inside]),
        joints=joints,
        before=before,
        after=after,
        length_before=groups[first - 1][1] - groups[first - 1][0] if before is not None else 0,
        length_after=groups[last + 1][1] - groups[last + 1][0] if after is not None else 0,
    )
