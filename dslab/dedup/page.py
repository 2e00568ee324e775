"""A text cut into what quality rules count: words, lines, paragraphs; each once, when first asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from dslab.dedup.words import CJK_CHARACTER, CJK_SET

# A Chinese character takes the punctuation beside it along; other words end at white space or before such a character.
TOKEN = re.compile(rf"[{CJK_SET}][^\w\s]*|[^\s{CJK_SET}]+")


class Page:
    """One text. language: "zh" where Chinese characters outnumber other letters, else "en", unless it is given."""

    def __init__(self, text: str, language: str | None = None) -> None:
        self.text = text
        self._language = language
        self._unrepeated = len(text) + 1  # runs of this many words are all different

    @cached_property
    def language(self) -> str:
        """The language given (region dropped: "zh-CN" is "zh"), or what the letters say."""
        if self._language is not None:
            code = self._language.lower().replace("_", "-").split("-")[0]
            return code if code in ("en", "zh", "ja") else "other"
        chinese = len(CJK_CHARACTER.findall(self.text))
        return "zh" if 2 * chinese > sum(map(str.isalpha, self.text)) else "en"

    @cached_property
    def tokens(self) -> list[str]:
        """Words with the punctuation at them; a stand-alone "|" or "--" is one too."""
        return TOKEN.findall(self.text)

    @cached_property
    def words(self) -> list[str]:
        """Tokens that hold a letter or a digit, without the punctuation around these."""
        stripped = (token.strip(PUNCTUATION) for token in self.tokens)
        return [word for word in stripped if any(map(str.isalnum, word))]

    @cached_property
    def lines(self) -> list[str]:
        """Lines that are not blank, ends stripped."""
        return [line for line in map(str.strip, self.text.splitlines()) if line]

    @cached_property
    def paragraphs(self) -> list[str]:
        """What blank lines set apart."""
        return [part for part in map(str.strip, re.split(r"\n\s*\n", self.text)) if part]

    def runs(self, n: int) -> Iterator[tuple[str, ...]]:
        """Every n words in a row."""
        return zip(*(self.words[j:] for j in range(n)), strict=False)

    def repeats(self, n: int) -> bool:
        """Whether some run of n words occurs twice. Where none does, no longer run does, and none is looked at."""
        if n < self._unrepeated and len(set(self.runs(n))) >= len(self.words) - n + 1:
            self._unrepeated = n
        return n < self._unrepeated


PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…—–‘’“”«»·•、。，；：？！（）《》【】「」『』"
