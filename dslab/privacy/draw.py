"""Digits and letters drawn from a digest: the same for the same digest, and not to be undone without its key."""

from __future__ import annotations

import hashlib

_LETTERS = "ABCDEFGHJKLMNPQRTUWXY"  # those of company codes: no I O S V Z


class Draw:
    """Numbers drawn from a digest: SHA-256(digest || counter), four bytes a number."""

    def __init__(self, digest: bytes, attempt: int = 0) -> None:
        self._seed, self._block, self._bytes = digest + attempt.to_bytes(4, "big"), 0, b""

    def below(self, n: int) -> int:
        """A number in 0..n-1 (n far below 2^32, so that no number is favoured visibly)."""
        if len(self._bytes) < 4:
            self._bytes += hashlib.sha256(self._seed + self._block.to_bytes(4, "big")).digest()
            self._block += 1
        number, self._bytes = int.from_bytes(self._bytes[:4], "big"), self._bytes[4:]
        return number % n

    def pick(self, choices: str) -> str:
        return choices[self.below(len(choices))]

    def like(self, char: str, letters: str = _LETTERS) -> str:
        """A digit for a digit, one of `letters` for a letter, in its case; anything else as it is."""
        if char.isdigit():
            return str(self.below(10))
        if char.isalpha():
            letter = self.pick(letters)
            return letter.lower() if char.islower() else letter.upper()
        return char
