"""Exercise `check_digit`: the numbers it is tried on, and what the usual mistakes make of them.

The county of each number is 0000. No county has that code, so the numbers are nobody's.
"""

from __future__ import annotations

import calendar
import functools
import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta

CHECKS = "10X98765432"  # the check character for each remainder of the weighted sum by 11
WEIGHTS = tuple(2 ** (17 - i) % 11 for i in range(17))
PROVINCES = frozenset({
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83,
})  # fmt: skip
FIRST = date(1900, 1, 1)

Part = Callable[[str], bool]


def total(digits: str, weights: Sequence[int] = WEIGHTS) -> int:
    """The weighted sum of as many digits as there are weights."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def number(province: str = "11", born: str = "19900307", serial: str = "001", wrong: int = 0) -> str:
    """A number with the right check character, or the `wrong`-th one after it."""
    body = f"{province}0000{born}{serial}"
    return body + CHECKS[(total(body) + wrong) % 11]


def birth(text: str) -> date | None:
    """The day of birth, if there is such a day."""
    year, month, day = int(text[6:10]), int(text[10:12]), int(text[12:14])
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _bodies() -> list[tuple[str, str, str]]:
    """Province, birth, serial: drawn so that each check character is right twice, and nothing else can be wrong."""
    dice = random.Random(5)
    bodies = []
    for i in range(22):
        province = dice.choice(("11", "13", "31", "33", "44", "51"))
        born = f"{dice.randrange(1930, 2010)}{dice.randrange(1, 13):02}{dice.randrange(1, 29):02}"
        serials = dice.sample(range(1000), 1000)
        serial = next(s for s in serials if number(province, born, f"{s:03}")[17] == CHECKS[i % 11])
        bodies.append((province, born, f"{serial:03}"))
    return bodies


@functools.cache
def check_cases() -> tuple[str, ...]:
    """Only the check character can be wrong here. First those that diagnoses speak of."""
    first = [number(serial=serial, wrong=wrong) for serial in ("002", "005", "001") for wrong in (0, 3)]
    drawn = [number(*body, wrong=wrong) for i, body in enumerate(_bodies()) for wrong in (0, 1 + i % 10)]
    # two neighbours exchanged, an X where another is right, each end of one number: whatever is left out is seen
    swapped = [text[:15] + text[16] + text[15] + text[17] for text in drawn[::4] if text[15] != text[16]]
    with_x = [text[:17] + "X" for text in drawn[::2]]
    return *first, *drawn, *swapped, *with_x, *(number(serial="001", wrong=wrong) for wrong in range(11))


def lower_cases() -> list[str]:
    """The same X, written small; right and wrong."""
    return [text.lower() for text in check_cases() if text[17] == "X"]


def province_cases() -> list[str]:
    """The check character and the date are right."""
    return [number(f"{province:02}") for province in (*sorted(PROVINCES), *sorted(set(range(100)) - PROVINCES))]


def date_cases(today: date) -> list[str]:
    """The check character and the province are right."""
    good = ["19900307", "20000229", "19000101", "19840229", "19991231", "20110131", "20230430", f"{today:%Y%m%d}"]
    ends = [f"1987{month:02}{calendar.monthrange(1987, month)[1]:02}" for month in range(1, 13)]
    bad = ["19900230", "19900431", "19000229", "19910229", "19901307", "19900007", "19900300", "19900332",
           "18991231", "18000101", "00000000", "00010101", "21990307", "99990101",
           f"{today + timedelta(2):%Y%m%d}", f"{today + timedelta(400):%Y%m%d}"]  # fmt: skip
    past = [*(f"1987{month:02}{int(ends[month - 1][6:]) + 1}" for month in range(1, 13)), "19901407", "19900399"]
    return [number(born=born) for born in (*good, *ends, *bad, *past)]


def odd_cases() -> list[tuple[str, str]]:
    """(text, kind): none is a number, and each is near one."""
    fine = number()
    wide = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    ends_in_digit = number(serial="002")
    # right to whoever lets an X stand for 10 anywhere
    inner = next(
        text for k in range(11) if total_with_ten(text := fine[:15] + "X0" + CHECKS[k]) % 11 == 1 and text[17] != "X"
    )
    return [
        ("", "short"), ("X", "short"), (ends_in_digit[:17], "short"), (fine[:6] + fine[8:17], "old"),
        (ends_in_digit + "0", "long"), ("0" + ends_in_digit, "long"), (ends_in_digit * 2, "long"),
        (" " + fine, "space"), (fine + " ", "space"), (f"{fine[:6]} {fine[6:14]} {fine[14:]}", "space"),
        (f"{fine[:6]}-{fine[6:14]}-{fine[14:]}", "dash"),
        (ends_in_digit + "\n", "newline"), (fine + "\n", "newline"),
        (fine.translate(wide), "wide"), (ends_in_digit.translate(wide), "wide"),
        (ends_in_digit.translate(arabic), "wide"), (fine.translate(arabic), "wide"),
        (ends_in_digit[:16] + ends_in_digit[16].translate(arabic) + ends_in_digit[17], "wide"),
        (ends_in_digit[:16] + "²" + ends_in_digit[17], "power"), (ends_in_digit[:17] + "²", "power"),
        (inner, "inner"), ("X" * 18, "inner"),
        (fine[:6] + "199A0307" + fine[14:], "letter"), (ends_in_digit[:17] + "Y", "letter"),
        ("A" + fine[1:], "letter"), (fine[:14] + "+01" + fine[17], "letter"), (fine[:14] + " 01" + fine[17], "letter"),
        (fine[:14] + "0_1" + fine[17], "letter"), ("十" * 18, "letter"),
    ]  # fmt: skip


def total_with_ten(text: str) -> int:
    """The sum over all eighteen places, an X counted as 10 wherever it stands."""
    return sum((10 if char in "Xx" else int(char)) * 2 ** (17 - i) for i, char in enumerate(text))


# ---------------------------------------------------------------- mistakes


def _ends(expected: Callable[[str], str]) -> Part:
    """The check with another idea of the last character."""
    return lambda text: text[17] == expected(text)


def _table(weights: Sequence[int], table: str = CHECKS) -> Part:
    return _ends(lambda text: table[total(text, weights) % 11])


def _x(remainder: int) -> str:
    return "X" if remainder == 10 else str(remainder)


def right_check(text: str) -> bool:
    return text[17] == CHECKS[total(text) % 11]


WRONG_CHECKS: tuple[tuple[str, Part], ...] = (
    ("unchecked", lambda text: True),
    ("refuses", lambda text: False),
    ("x_refused", lambda text: right_check(text) and text[17] != "X"),
    ("x_free", lambda text: right_check(text) or text[17] == "X"),
    ("x_zero", lambda text: (total(text) + int(text[17].replace("X", "0"))) % 11 == 1),
    ("x_zero", lambda text: CHECKS[total(text) % 11].replace("X", "0") == text[17].replace("X", "0")),
    ("x_zero", lambda text: CHECKS[total(text) % 11].replace("X", "0") == text[17]),
    ("reversed", _table(WEIGHTS[::-1])),
    ("reversed", _table([2**i % 11 for i in range(17)])),
    ("reversed", lambda text: sum((10 if c == "X" else int(c)) * 2**i for i, c in enumerate(text)) % 11 == 1),
    ("mod10", _ends(lambda text: str(total(text) % 10))),
    ("mod10", _ends(lambda text: str(-total(text) % 10))),
    ("mod10", _ends(lambda text: CHECKS[total(text) % 10])),
    ("mod10", _ends(lambda text: str((1 - total(text)) % 10))),
    ("mod10", lambda text: total_with_ten(text) % 10 == 1),
    ("mod10", lambda text: (total(text) + int(text[17].replace("X", "10"))) % 10 == 1),
    ("remainder", _ends(lambda text: _x(total(text) % 11))),
    ("eleven_minus", _ends(lambda text: _x(-total(text) % 11))),
    ("table_turned", _table(WEIGHTS, CHECKS[::-1])),
    ("sixteen", _table(WEIGHTS[:16])),
    ("from_one", _ends(lambda text: CHECKS[total(text[1:17]) % 11])),
    ("shifted", _table([2 ** (16 - i) for i in range(17)])),
    ("shifted", _table([2 ** (18 - i) for i in range(17)])),
    ("counted", _table(range(1, 18))),
    ("counted", _table(range(17, 0, -1))),
    ("counted", _table(range(18, 1, -1))),
    ("counted", _ends(lambda text: _x(total(text, range(1, 18)) % 11))),
    ("counted", _ends(lambda text: _x(-total(text, range(18, 1, -1)) % 11))),
    ("unweighted", _table([1] * 17)),
    ("unweighted", _ends(lambda text: _x(total(text, [1] * 17) % 11))),
    ("plain", lambda text: text[17] == CHECKS[int(text[:17]) % 11]),
    ("plain", lambda text: text[17] == _x(int(text[:17]) % 11)),
    ("unreduced", _table([2 ** (17 - i) % 10 for i in range(17)])),
)
WRONG_PROVINCES: tuple[tuple[str, Part], ...] = (
    ("province_unchecked", lambda text: True),
    *(("province_range", lambda text, last=last: 11 <= int(text[:2]) <= last) for last in (65, 71, 82, 83, 91)),
    ("province_digit", lambda text: text[0] in "12345678"),
    ("province_digit", lambda text: text[0] in "123456"),
    ("province_digit", lambda text: text[0] != "0"),
    ("province_far", lambda text: int(text[:2]) in PROVINCES - {71, 81, 82, 83}),
    ("province_far", lambda text: int(text[:2]) in PROVINCES - {83}),
)


def _day(text: str) -> tuple[int, int, int]:
    return int(text[6:10]), int(text[10:12]), int(text[12:14])


def _ranges(text: str) -> bool:
    _, month, day = _day(text)
    return 1 <= month <= 12 and 1 <= day <= 31


def _leaps(text: str, is_leap: Callable[[int], bool]) -> bool:
    year, month, day = _day(text)
    days = [31, 29 if is_leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    return 1 <= month <= 12 and 1 <= day <= days[month - 1]


def wrong_dates(today: date) -> tuple[tuple[str, Part], ...]:
    """The date with other ideas of what a day is, with and without a look at when it was."""

    def between(text: str) -> bool:
        return "19000101" <= text[6:14] <= f"{today:%Y%m%d}"

    def both(name: str, part: Part) -> tuple[tuple[str, Part], ...]:
        return (name, part), (name, lambda text: part(text) and between(text))

    return (
        ("date_unchecked", lambda text: True),
        ("date_years", between),
        ("date_years", lambda text: 1900 <= _day(text)[0] <= today.year),
        *both("date_ranges", lambda text: _ranges(text)),
        ("date_ranges", lambda text: _ranges(text) and 1900 <= _day(text)[0] <= today.year),
        *both("date_leap", lambda text: _leaps(text, lambda year: year % 4 == 0)),
        *both("date_2000", lambda text: _leaps(text, lambda year: year % 4 == 0 and year % 100 != 0)),
        *both("date_29", lambda text: _leaps(text, lambda year: True)),
        *both("date_28", lambda text: _leaps(text, lambda year: False)),
        ("date_any_year", lambda text: birth(text) is not None),
        ("date_future", lambda text: (day := birth(text)) is not None and day >= FIRST),
        ("date_this_year", lambda text: (day := birth(text)) is not None and day >= FIRST and day.year <= today.year),
        ("date_past", lambda text: (day := birth(text)) is not None and day <= today),
        ("date_exclusive", lambda text: (day := birth(text)) is not None and FIRST <= day < today),
        ("date_exclusive", lambda text: (day := birth(text)) is not None and FIRST < day <= today),
        ("date_exclusive", lambda text: (day := birth(text)) is not None and FIRST < day < today),
    )
