"""An exam about towns that do not exist: multiple-choice items, and the pages through which they leak.

Nobody can know the answers but from a page that holds them. What a reader scores above chance, it remembered.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_TOWNS = [
    "Marnow",
    "Elderby",
    "Quastel",
    "Vinholm",
    "Torrens Gate",
    "Issely",
    "Kaldreth",
    "Ponte Alva",
    "Sorrel Bay",
    "Wexmoor",
]
_RIVERS = ["Sel", "Ombra", "Little Tarn", "Ulve", "Grey Water", "Aster", "Rill", "Brunna"]
_WORKS = ["the stone bridge", "the public library", "the iron lighthouse", "the covered market", "the music school"]
_FOUNDERS = ["a widow of the town", "a company of millers", "two brothers from the coast", "the guild of dyers"]
_ZH_TOWNS = ["马诺", "埃尔比", "夸斯特", "温霍姆", "伊斯利", "卡德雷", "阿尔瓦", "索雷尔"]
_ZH_WORKS = ["石桥", "图书馆", "铁灯塔", "有顶集市", "音乐学校"]


@dataclass(frozen=True)
class Item:
    """A question of 13 words or more, four choices and the right one's place."""

    text: str
    choices: tuple[str, ...]
    answer: int
    lang: str

    def page(self, before: str, after: str) -> str:
        """The item as it stands on a page of old exam questions, with its answer."""
        listed = "  ".join(f"{letter}) {choice}" for letter, choice in zip("ABCD", self.choices, strict=True))
        key = f"答案：{self.choices[self.answer]}。" if self.lang == "zh" else f"Answer: {self.choices[self.answer]}."
        return f"{before} {self.text} {listed} {key} {after}"


def items(n: int, rng: random.Random) -> list[Item]:
    """n different items; one in four is Chinese. Raises ValueError for more than 120: the towns run out.

    >>> exam = items(8, random.Random(0))
    >>> [len(item.choices) for item in exam] == [4] * 8, len({item.text for item in exam})
    (True, 8)
    """
    if not 0 <= n <= 120:
        raise ValueError(f"there are 0 to 120 different exam items; got {n=}")
    made: dict[str, Item] = {}
    while len(made) < n:
        year = rng.randrange(1720, 1890)
        years = rng.sample([y for y in range(1720, 1900) if y != year], 3)
        answer = rng.randrange(4)
        choices = [str(y) for y in [*years[:answer], year, *years[answer:]]]
        if len(made) % 4 == 3:
            town, work = rng.choice(_ZH_TOWNS), rng.choice(_ZH_WORKS)
            text, lang = f"{town}镇河边的{work}是在哪一年由镇上的居民自己出钱修建完成的？", "zh"
        else:
            parts = [rng.choice(pool) for pool in (_WORKS, _RIVERS, _TOWNS, _FOUNDERS)]
            text = "In which year was {} on the river {} at {} paid for by {} and opened to everyone?".format(*parts)
            lang = "en"
        made.setdefault(text, Item(text, tuple(choices), answer, lang))
    return list(made.values())
