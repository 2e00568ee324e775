"""What was done, without saying what was there: audit records; and, only if asked for, a map that undoes pseudonyms.

An audit lets another person check a cleaned corpus: row, type, offsets in the original, rule. It never holds the value,
nor the text around it, so that it may be kept beside the data and shown.

A reversible map is the opposite: whoever reads it has all values. It is a separate file that only its owner may read
(mode 0600 from the first instant), is written only where you make a `ReversibleMap`, and best kept far from the data.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from dslab.privacy.masking import Masker
from dslab.privacy.spans import Span

_HEAD = 4  # signs by which written masks are indexed


def records(row: int | str, spans: Iterable[Span]) -> Iterator[dict[str, Any]]:
    """One record a span: row, type, start, end (code points of the original), rule. Never the value.

    >>> list(records(7, [Span(2, 13, "CN_MOBILE", 0.8, "cn_mobile:pattern+prefix")]))
    [{'row': 7, 'type': 'CN_MOBILE', 'start': 2, 'end': 13, 'rule': 'cn_mobile:pattern+prefix'}]
    """
    for span in spans:
        yield {"row": row, "type": span.type, "start": span.start, "end": span.end, "rule": span.rule}


class ReversibleMap:
    """The way back from surrogates and HMAC tags to values: JSON lines {"type", "written", "value"} in a 0600 file.

    with ReversibleMap("originals.map") as originals:
        masked = originals.apply(masker, text)     # masks, and remembers
        originals.restore(masked) == text

    Two values may share a surrogate; such a one is never restored, because nobody can say which it was.

    Raises PermissionError for an existing file that others may read or write, OSError if it is no regular file,
    ValueError for a masker whose masks cannot be undone (tag, partial).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._file = os.fdopen(_open_private(self.path), "r+", encoding="utf-8", errors="surrogatepass", newline="\n")
        self._values: dict[str, set[str]] = {}
        self._lengths: dict[str, list[int]] = {}
        for line in self._file:
            entry = json.loads(line)
            self._learn(entry["written"], entry["value"])

    def __enter__(self) -> ReversibleMap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"ReversibleMap({self.path!r}, {len(self)} entries)"

    def close(self) -> None:
        """Write what is not written yet and close the file."""
        self._file.close()

    def apply(self, masker: Masker, text: str) -> str:
        """The masked text; what was written for what goes into the map."""
        if masker.mode not in ("surrogate", "hmac"):
            raise ValueError(f"masks of mode {masker.mode!r} cannot be undone; use surrogate or hmac")
        parts, at = [], 0
        for replacement in masker.replacements(text):
            span = replacement.span
            value = text[span.start : span.end]
            if self._learn(replacement.text, value):
                entry = {"type": span.type, "written": replacement.text, "value": value}
                self._file.write(json.dumps(entry) + "\n")
            parts += [text[at : span.start], replacement.text]
            at = span.end
        self._file.flush()
        return "".join([*parts, text[at:]])

    def restore(self, text: str) -> str:
        """The text with every mask of this map replaced by its value, the longest first; unknown masks stay."""
        parts, at, kept = [], 0, 0
        while at < len(text):
            for length in self._lengths.get(text[at : at + _HEAD], ()):
                values = self._values.get(text[at : at + length], ())
                if len(values) == 1:
                    parts += [text[kept:at], *values]
                    at = kept = at + length
                    break
            else:
                at += 1
        return "".join([*parts, text[kept:]])

    def _learn(self, written: str, value: str) -> bool:
        """Remember a pair; False if it was known."""
        values = self._values.setdefault(written, set())
        if value in values:
            return False
        values.add(value)
        lengths = self._lengths.setdefault(written[:_HEAD], [])
        if len(written) not in lengths:
            lengths.append(len(written))
            lengths.sort(reverse=True)
        return True


def _open_private(path: str) -> int:
    """A descriptor of a file that only its owner may read: made with mode 0600, or existing with no wider one."""
    base = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, base | os.O_CREAT | os.O_EXCL, 0o600)  # the mode is given at creation, not changed after
    except FileExistsError:
        descriptor = os.open(path, base)
    state = os.fstat(descriptor)
    problem: OSError | None = None
    if not stat.S_ISREG(state.st_mode):
        problem = OSError(f"{path!r} is no regular file")
    elif os.name == "posix" and state.st_mode & 0o077:
        problem = PermissionError(
            f"{path!r} may be read by others (mode {stat.S_IMODE(state.st_mode):04o}); a reversible map must be 0600: "
            "chmod 600 it if you trust its content, or name another file"
        )
    if problem:
        os.close(descriptor)
        raise problem
    return descriptor
