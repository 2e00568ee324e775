"""How much of a text repeats itself, as Gopher measures it (Rae et al. 2021, table A1); linear in the text.

Repeats count from the second occurrence on, and characters in overlapping runs count once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dslab.dedup.page import Page


def repeated_share(parts: Sequence[str]) -> tuple[float, int]:
    """Share of the parts (lines, paragraphs) that were seen before, and the characters in these.

    >>> repeated_share(["a", "bb", "bb", "bb"])
    (0.5, 4)
    """
    seen: set[str] = set()
    repeats = characters = 0
    for part in parts:
        if part in seen:
            repeats, characters = repeats + 1, characters + len(part)
        seen.add(part)
    return repeats / max(1, len(parts)), characters


def top_share(page: Page, n: int) -> float:
    """Characters in all occurrences of the commonest run of n words, over those of the text.

    A run that occurs once repeats nothing and gives 0. Among equally common ones the first counts.
    """
    if not page.repeats(n):
        return 0.0
    run, times = Counter(page.runs(n)).most_common(1)[0]
    spaces = 0 if page.language == "zh" else n - 1
    return times * (sum(map(len, run)) + spaces) / len(page.text)


def run_share(page: Page, n: int) -> float:
    """Characters of words in runs of n words seen before, over the characters of the text."""
    if not page.repeats(n):
        return 0.0
    seen: set[tuple[str, ...]] = set()
    characters, place, runs = 0, 0, list(page.runs(n))
    while place < len(runs):
        if runs[place] in seen:
            characters += sum(map(len, runs[place]))
            place += n  # what was counted is not counted again
        else:
            seen.add(runs[place])
            place += 1
    return characters / len(page.text)
