"""Exercise `check_digit`: whether eighteen characters can be a Chinese ID number (GB 11643)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise
from dslab.exercises.n03 import check_digit_cases as cases

TASK = """\
A Chinese ID number has eighteen places: two for the province, four for city and county, eight for the date of birth
(`YYYYMMDD`), three for a serial, and a check character. So a number carries evidence about itself, and a cleaner
that asks for it leaves order numbers alone.

Write `is_valid_id(number)`. `number` is any str. Return `True` if all of this holds, else `False`; never raise.

- It is exactly seventeen ASCII digits (`0` to `9`) and then an ASCII digit, `X` or `x`. Nothing before, between or
  after. (Full-width digits and spaces are folded by an earlier step; here they are wrong.)
- The first two digits are a province: 11–15, 21–23, 31–37, 41–46, 50–54, 61–65, 71, 81, 82 or 83.
- The date is a day that exists, from 1900-01-01 to today, both included.
- The check character is right. Give place `i` (0 to 16) the weight `2**(17 - i) % 11`, which is 7, 9, 10, 5, 8, 4, 2,
  1, 6, 3, 7, 9, 10, 5, 8, 4, 2. Add up digit times weight over the seventeen, take the remainder by 11, and look it
  up in `"10X98765432"`: remainder 0 asks for `1`, 1 for `0`, 2 for `X`, and so on.

Of random endings one in eleven is right; of random eighteen digits about one in 70,000 has everything."""

STUB = '''\
def is_valid_id(number):
    """True if number has the form, province, date and check character of a Chinese ID number."""
    ...
'''

HINTS = (
    "Four questions, and the order matters: once the form is known to be right, int() cannot fail. For the form, "
    "str.isdigit() says yes to '²' and to Arabic digits, and $ in a regular expression lets a line break through.",
    "re.fullmatch(r'[0-9]{17}[0-9Xx]', number) settles the form. datetime.date(year, month, day) raises ValueError for "
    "a day that does not exist. The check is a sum over zip(number[:17], weights), and number[17].upper() is compared "
    "with a character, not with a number.",
    "After the form: int(number[:2]) in {*range(11, 16), *range(21, 24), …}; try: born = date(int(number[6:10]), "
    "int(number[10:12]), int(number[12:14])), except ValueError: return False; date(1900, 1, 1) <= born <= "
    "date.today(); total = sum(int(number[i]) * 2 ** (17 - i) for i in range(17)); return number[17].upper() == "
    "'10X98765432'[total % 11].",
)

SOLUTION = """\
import re
from datetime import date

def is_valid_id(number):
    if not re.fullmatch(r"[0-9]{17}[0-9Xx]", number):
        return False
    provinces = {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66)}
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:  # the 30th of February
        return False
    total = sum(int(number[i]) * 2 ** (17 - i) for i in range(17))
    is_right = number[17].upper() == "10X98765432"[total % 11]
    return int(number[:2]) in provinces | {71, 81, 82, 83} and date(1900, 1, 1) <= born <= date.today() and is_right
"""

SAYS = {
    "type": "is_valid_id should return True or False; for {text} it returned {came}.{match}",
    "match": " Put bool(...) around it, or compare with `is not None`.",
    "unchecked": "You never ask for the check character. {case}",
    "refuses": "You refuse every number. Is a str compared with an int somewhere? '7' == 7 is False. {case}",
    "x_refused": "You refuse every X, but one number in eleven ends in it: it stands for 10. {case}",
    "x_free": "You accept X whatever the sum is. {case}",
    "x_zero": "You take X for 0. It stands for 10. {case}",
    "x_crash": "The last character may be {char}. For {text} your code raises {error}; do not call int() on it.",
    "x_small": "A small x counts as X. {case}",
    "x_small_free": "You do not check a small x. {case}",
    "reversed": "Your weights run the wrong way: the first digit has 7, the next 9, the last of them 2. {case}",
    "mod10": "You work modulo 10, as Luhn does for cards. Here it is 11, which is why there are eleven check "
    "characters. {case}",
    "remainder": "You compare with the remainder itself. It has to be looked up: '10X98765432'[remainder]. {case}",
    "eleven_minus": "You compare with 11 minus the remainder, as ISBN does: the sum over all eighteen leaves 0. Here "
    "it leaves 1: 12 minus the remainder, or '10X98765432'[remainder]. {case}",
    "table_turned": "You read the table of check characters from its end. {case}",
    "sixteen": "You add up sixteen digits; the slice should be number[:17]. {case}",
    "from_one": "You start at number[1]; the first digit counts too. {case}",
    "shifted": "Your weights are shifted by one place: the exponent of place i is 17 - i, so the last of the seventeen "
    "has 2, not 1 or 4. {case}",
    "counted": "Your weights count up or down by one. They are powers of 2 by 11: 7, 9, 10, 5, 8 and so on. {case}",
    "unweighted": "You add up digits without weights, so two digits exchanged go unnoticed. {case}",
    "plain": "You divide the seventeen digits as one number. Each digit has its own weight. {case}",
    "unreduced": "You reduce the weights modulo 10; it should be 11. {case}",
    "province_unchecked": "You never look at the province. {case}",
    "province_range": "You take provinces for one range. There are gaps in it: 16 to 20, 24 to 30 and others. {case}",
    "province_digit": "You look at the first digit alone. {case}",
    "province_far": "71, 81, 82 and 83 are provinces too. {case}",
    "province_crash": "For a province that does not exist, {text}, your code raises {error}. Return False instead.",
    "date_unchecked": "You never look at the date. {case}",
    "date_years": "You look at the year, or compare dates as text; whether there is such a day you do not ask. {case}",
    "date_ranges": "Months up to 12 and days up to 31 are not enough: not every month has 31 days. {case}",
    "date_leap": "1900 was no leap year: years that end in 00 are leap years only if 400 divides them. {case}",
    "date_2000": "2000 was a leap year: 400 divides it. {case}",
    "date_29": "You let every year have a 29th of February. {case}",
    "date_28": "You let no year have a 29th of February, but leap years do. {case}",
    "date_any_year": "You do not ask when the day was: from 1900 to today. {case}",
    "date_future": "Nobody was born in the future. {case}",
    "date_this_year": "The year is not enough: a day later this year lies in the future too. {case}",
    "date_past": "The date should not lie before 1900. {case}",
    "date_exclusive": "1900-01-01 and today are both included. {case}",
    "date_crash": "For a day that does not exist your code raises {error}: {text}. Catch it and return False.",
    "crash": "is_valid_id should never raise. For {text} it raises {error}, but the answer is False: {why}. Ask for "
    "the form first.",
    "short": "You accept something too short. {case}",
    "old": "Numbers of fifteen places were given out until 1999; here they are wrong. {case}",
    "long": "You accept something too long. {case}",
    "newline": "You let a line break at the end through. In a regular expression $ matches before it, and strip() "
    "takes it off; use re.fullmatch. {case}",
    "space": "You remove spaces, but that is another step's work. {case}",
    "dash": "You remove dashes, but that is another step's work. {case}",
    "wide": r"You accept digits that are not ASCII. str.isdigit(), int() and \d all do; ask for [0-9]. {case}",
    "power": "You accept '²'. str.isdigit() does; ask for [0-9]. {case}",
    "inner": "You accept X in other places than the last. {case}",
    "letter": "You accept characters that are not digits. {case}",
    "other": "{case}",
    "case": "For {text} you answer {got}, but it is {want}: {why}.",
    "why_right": "form, province, date and check character are right",
    "why_form": "it is not seventeen ASCII digits and then a digit or X",
    "why_province": "no province has the code {province}",
    "why_date": "{year}-{month}-{day} is no day from 1900-01-01 to today",
    "why_check": "the sum is {total}, its remainder by 11 is {rest}, and that asks for {want!r} at the end",
}


def fault(text: str, today: date) -> str | None:
    """What is wrong with a number, or None."""
    digits, end = text[:17], text[17:].upper()
    if not (len(text) == 18 and digits.isascii() and digits.isdigit() and len(end) == 1 and end in "0123456789X"):
        return SAYS["why_form"]
    if int(text[:2]) not in cases.PROVINCES:
        return SAYS["why_province"].format(province=text[:2])
    born = cases.birth(text)
    if born is None or not cases.FIRST <= born <= today:
        return SAYS["why_date"].format(year=text[6:10], month=text[10:12], day=text[12:14])
    total = cases.total(digits)
    want = cases.CHECKS[total % 11]
    return None if end == want else SAYS["why_check"].format(total=total, rest=total % 11, want=want)


def check(is_valid_id: Any) -> str | None:
    """None when right, else what is wrong. First the sum, then the province, then the date, then the form."""
    today = date.today()
    return (
        _check_part(is_valid_id, cases.check_cases(), cases.WRONG_CHECKS, "", today)
        or _check_small(is_valid_id, today)
        or _check_part(is_valid_id, cases.province_cases(), cases.WRONG_PROVINCES, "province_crash", today)
        or _check_part(is_valid_id, cases.date_cases(today), cases.wrong_dates(today), "date_crash", today)
        or _check_form(is_valid_id, today)
    )


def _check_part(
    is_valid_id: Any, texts: Sequence[str], mistakes: Sequence[tuple[str, cases.Part]], crash: str, today: date
) -> str | None:
    """Numbers in which only one thing can be wrong, against the mistakes that can be made with it."""
    answers = []
    for text in texts:
        try:
            got, diagnosis = _ask(is_valid_id, text)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            key = "x_crash" if text[17] == "X" else crash if fault(text, today) else ""
            if not key:
                raise  # an ordinary number: the page names the learner's own line
            return SAYS[key].format(text=shown(text), char="X", error=type(error).__name__)
        if got is None:
            return diagnosis
        answers.append(got)
    for text, got in zip(texts, answers, strict=True):
        if got != (fault(text, today) is None):
            known = probe.recognise([(text,) for text in texts], answers, mistakes, lambda a, b: a == b)
            return _say(known[0] if known else "other", text, got, today)
    return None


def _check_small(is_valid_id: Any, today: date) -> str | None:
    """A small x, when X is right already."""
    for text in cases.lower_cases():
        try:
            got, diagnosis = _ask(is_valid_id, text)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            return SAYS["x_crash"].format(text=shown(text), char="x", error=type(error).__name__)
        if got is None:
            return diagnosis
        if got != (fault(text, today) is None):
            return _say("x_small_free" if got else "x_small", text, got, today)
    return None


def _check_form(is_valid_id: Any, today: date) -> str | None:
    """What is near a number. The first that is let through is named; nothing may raise."""
    for text, kind in cases.odd_cases():
        try:
            got, diagnosis = _ask(is_valid_id, text)
        except Exception as error:
            name = type(error).__name__
            return SAYS["crash"].format(text=shown(text), error=name, why=fault(text, today))
        if got is None:
            return diagnosis
        if got:
            return _say(kind, text, got, today)
    return None


def _ask(is_valid_id: Callable[[str], Any], text: str) -> tuple[bool | None, str | None]:
    """The answer for one text, or None and why it is none."""
    came = is_valid_id(text)
    got = probe.as_bool(came)
    if got is not None:
        return got, None
    match = SAYS["match"] if came is None or type(came).__name__ == "Match" else ""
    return None, SAYS["type"].format(text=shown(text), came=shown(came), match=match)


def _say(mistake: str, text: str, got: bool, today: date) -> str:
    why = fault(text, today)
    case = SAYS["case"].format(text=shown(text), got=got, want=why is None, why=why or SAYS["why_right"])
    return SAYS[mistake].format(case=case)


exercise = Exercise(name="check_digit", notebook="03", task=TASK, hints=HINTS, solution=SOLUTION, check=check)
