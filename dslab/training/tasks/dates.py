"""Dates as people write them, to ISO 8601: `5 March 2011` becomes `2011-03-05`.

Held out: the way the date is written, the sentence around it, and the whole year.
"""

from __future__ import annotations

import calendar
import random
from collections.abc import Callable
from datetime import date, timedelta

from dslab.training.tasks.item import Item, Split, draw

INSTRUCTION = "Write the date as YYYY-MM-DD."
FIRST, LAST = date(1960, 1, 1), date(2039, 12, 31)

SENTENCES: dict[Split, tuple[str, ...]] = {
    "train": (
        "The lease ends on {}.",
        "Her passport was renewed {}",
        "First concert of the tour: {}",
        "They moved to Bergen on {}.",
        "Sample taken {}, kept cold.",
        "The museum will open its doors on {}.",
        "Received {}",
        "Since {} the line has been closed.",
    ),
    "test": (
        "Please return the keys before {}.",
        "It snowed on {} in the valley.",
        "Version two, released {}",
        "On {} we signed the papers.",
    ),
}


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th ..."""
    ending = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _month(day: date) -> str:
    return calendar.month_name[day.month]


def _short(day: date) -> str:
    return calendar.month_abbr[day.month]


def _weekday(day: date) -> str:
    return calendar.day_name[day.weekday()]


FORMS: dict[Split, tuple[Callable[[date], str], ...]] = {
    "train": (
        lambda d: f"{_month(d)} {d.day}, {d.year}",
        lambda d: f"{d.day} {_month(d)} {d.year}",
        lambda d: f"{_short(d)} {d.day}, {d.year}",
        lambda d: f"{d.day}-{_short(d)}-{d.year}",
        lambda d: f"the {ordinal(d.day)} of {_month(d)}, {d.year}",
        lambda d: f"{_weekday(d)}, {_month(d)} {ordinal(d.day)}, {d.year}",
        lambda d: f"{d.year} {_short(d)} {d.day}",
    ),
    "test": (
        lambda d: f"{_short(d)}. {d.day} {d.year}",
        lambda d: f"{d.year}, {_month(d)} {d.day}",
        lambda d: f"{ordinal(d.day)} {_month(d)} {d.year}",
        lambda d: f"{_weekday(d)[:3]} {d.day} {_short(d)} {d.year}",
    ),
}


def split_of(day: date) -> Split:
    """Every fourth year is held out, so that no year of a test item occurs in training."""
    return "test" if day.year % 4 == 3 else "train"


def make(n: int, split: Split, seed: int = 0) -> list[Item]:
    """`n` items whose answers are `YYYY-MM-DD`. Raises ValueError as `item.draw` does."""
    return draw(_one, n, split, seed)


def equal(output: str, answer: str) -> bool:
    """The same characters, but for white space at the ends."""
    return output.strip() == answer


def _one(numbers: random.Random, split: Split) -> Item:
    while True:
        day = FIRST + timedelta(days=numbers.randrange((LAST - FIRST).days + 1))
        if split_of(day) == split:
            break
    written = numbers.choice(FORMS[split])(day)
    return Item(f"{INSTRUCTION}\n{numbers.choice(SENTENCES[split]).format(written)}", day.isoformat())
