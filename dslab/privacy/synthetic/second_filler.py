"""Words between the values: sentences, names, dates and numbers that are nobody's data."""

from __future__ import annotations

import random
from collections.abc import Callable

ZH = (
    "窗外的雨下了一整夜。", "他把书合上，想了想又打开。", "会议改到了三楼的大房间。", "这批货比上一批轻一些。",
    "老师说作业可以晚两天交。", "新的版本修好了旧的毛病。", "小店门口排着长队。", "报告里缺了最后一张图。",
    "火车晚点，大家都在等。", "请把空调关小一点。", "他们沿着河走了很久。", "接口的返回值变了，注意兼容。",
)  # fmt: skip
EN = (
    "The ferry leaves when the fog lifts.", "Nobody had read the manual.", "We moved the shelves to the back room.",
    "The second experiment took longer than the first.", "Her notes fill three boxes.", "The patch is small and dull.",
    "Lunch is at the usual place.", "The figures in the table are rounded.", "A retry is safe here.",
    "The museum keeps the original.", "Two of the lamps were broken.", "Please keep the receipt.",
)  # fmt: skip
ZH_NAMES = ("钱小满", "孙其山", "李闻", "周既明", "吴一舟", "郑苇", "冯念", "褚远", "司徒清", "韩冬")
EN_NAMES = ("Ada Quill", "Bram Oster", "Cleo Marsh", "Dov Ferrer", "Ines Holt", "Jory Penn", "Mara Voss", "Tess Arden")
CITIES = ("苏州", "青岛", "昆明", "长沙", "厦门", "兰州")
COMPANIES = ("青梧网络科技有限公司", "临溪食品有限公司", "白塔精密制造股份有限公司", "南屏旅行社有限责任公司")
WORDS = ("harbor", "lantern", "copper", "willow", "ember", "quarry", "signal", "meadow")
LEVELS = ("INFO", "WARN", "ERROR", "DEBUG")

_DRAW: dict[str, Callable[[random.Random], str]] = {
    "zh": lambda rng: rng.choice(ZH),
    "en": lambda rng: rng.choice(EN),
    "zh_name": lambda rng: rng.choice(ZH_NAMES),
    "en_name": lambda rng: rng.choice(EN_NAMES),
    "city": lambda rng: rng.choice(CITIES),
    "company": lambda rng: rng.choice(COMPANIES),
    "word": lambda rng: rng.choice(WORDS),
    "level": lambda rng: rng.choice(LEVELS),
    "int": lambda rng: str(rng.randrange(1, 1000)),
    "date": lambda rng: f"20{rng.randrange(16, 26)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
    "time": lambda rng: f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}",
}


def draw(rng: random.Random, kind: str) -> str:
    """A piece of filler of this kind; a kind that does not exist is a KeyError, as a slip in a template should be."""
    return _DRAW[kind](rng)


def split(block: str) -> tuple[str, ...]:
    """Templates of many lines, written as they look and parted by a line of four dashes; each ends its last line."""
    return tuple(part.removesuffix("\n") + "\n" for part in block.split("----\n"))
