"""Notebook 03's checkers against plausible wrong answers: each rejected with its own diagnosis, right ones accepted."""

from __future__ import annotations

import base64
import calendar
import functools
import hashlib
import hmac
import importlib
import itertools
import math
import random
import re
import secrets
import unicodedata
from datetime import date, datetime, timedelta

import numpy as np
import pytest
import torch
from exercise_harness import hold, hold_quick_and_traceless, hold_sentences
from stdnum import luhn
from stdnum.cn import ric
from stdnum.iso7064 import mod_11_2

from dslab.book import checks
from dslab.exercises import n03
from dslab.exercises.display import shown
from dslab.exercises.n03 import check_digit_cases, pseudonym_mistakes

NAMES = tuple(n03.__all__)
FUNCTIONS = {
    "bands": "choose",
    "boundaries": "find_mobiles",
    "check_digit": "is_valid_id",
    "hard_negative": "hard_negatives",
    "pseudonym": "pseudonym",
}

RIGHT: dict[str, dict] = {}
WRONG: dict[str, dict] = {}  # each with a diagnosis of its own
ALSO: dict[str, dict] = {}  # the same mistakes made another way


def module(name):
    return importlib.import_module(f"dslab.exercises.n03.{name}")


def source(name, constant):
    return getattr(module(name), constant)


def defined(name, code):
    space = {}
    exec(code, space)
    return space[FUNCTIONS[name]]


# ---------------------------------------------------------------- check_digit

W = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
TABLE = "10X98765432"
PROVINCES = {11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54,
             61, 62, 63, 64, 65, 71, 81, 82, 83}  # fmt: skip


def weighted(number, weights=W):
    return sum(int(d) * w for d, w in zip(number, weights, strict=False))


def has_form(number):
    return re.fullmatch(r"[0-9]{17}[0-9Xx]", number) is not None


def has_province(number):
    return int(number[:2]) in PROVINCES


def has_date(number):
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return date(1900, 1, 1) <= born <= date.today()


def has_check(number):
    return number[17].upper() == TABLE[weighted(number) % 11]


def has_end(number):
    """The check character that a number wants."""
    return TABLE[weighted(number) % 11] if number.isascii() and number.isdigit() else ""


def id_by(form=has_form, province=has_province, born=has_date, check=has_check):
    """The four questions, one of them asked another way."""
    return lambda number: bool(form(number) and province(number) and born(number) and check(number))


def ending(expected):
    return id_by(check=lambda number: number[17].upper() == expected(number))


right_id = id_by()


def id_by_horner(number):
    if len(number) != 18 or any(c not in "0123456789" for c in number[:17]) or number[17] not in "0123456789Xx":
        return False
    rest = functools.reduce(lambda r, c: (2 * r + (10 if c in "Xx" else int(c))) % 11, number, 0)
    return rest == 1 and has_province(number) and has_date(number)


def id_by_stdnum(number):
    number = number.upper()
    return has_form(number) and mod_11_2.is_valid(number) and has_province(number) and has_date(number)


def id_by_strptime(number):
    try:
        assert re.fullmatch("[0-9]{17}[0-9xX]", number)
        born = datetime.strptime(number[6:14], "%Y%m%d")
        assert datetime(1900, 1, 1) <= born <= datetime.now()
        assert number[:2] in {str(p) for p in PROVINCES}
    except (AssertionError, ValueError):
        return False
    return TABLE.index(number[17].upper()) == weighted(number) % 11


def id_in_numpy(number):
    if not re.match(r"[0-9]{17}[0-9Xx]\Z", number):
        return np.False_
    digits = np.array([int(c) for c in number[:17]])
    year, month, day = int(number[6:10]), int(number[10:12]), int(number[12:14])
    fine = 1900 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
    fine = fine and number[6:14] <= date.today().strftime("%Y%m%d") and has_province(number)
    return np.bool_(fine) & ("10X98765432"[digits @ np.array(W) % 11] == number[17].upper())


def id_in_one_pattern(number):
    """The date too is a pattern, leap years and all."""
    leap = r"(?:19(?:0[48]|[2468][048]|[13579][26])|20(?:0[048]|[2468][048]|[13579][26]))0229"
    days = "(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)|02(?:[01][1-9]|10|2[0-8])"
    province = "(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])"
    pattern = f"{province}[0-9]{{4}}(?:(?:19|20)[0-9]{{2}}(?:{days})|{leap})[0-9]{{3}}[0-9Xx]"
    if not re.fullmatch(pattern, number) or number[6:14] > f"{date.today():%Y%m%d}":
        return False
    return has_check(number)


def day_of(number):
    return int(number[6:10]), int(number[10:12]), int(number[12:14])


def in_ranges(number):
    year, month, day = day_of(number)
    return 1900 <= year <= date.today().year and 1 <= month <= 12 and 1 <= day <= 31


def in_leaps(is_leap):
    def born(number):
        year, month, day = day_of(number)
        days = [0, 31, 29 if is_leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (
            "19000101" <= number[6:14] <= f"{date.today():%Y%m%d}" and month in range(1, 13) and 1 <= day <= days[month]
        )

    return born


def born_by(is_fine):
    """A day that exists, and something else about it."""

    def born(number):
        try:
            return is_fine(date(*day_of(number)))
        except ValueError:
            return False

    return born


def long_enough(number):
    return len(number) >= 18 and number[:17].isascii() and number[:17].isdigit() and number[17] in "0123456789Xx"


def cleaned(*gone):
    def answer(number):
        for char in gone:
            number = number.replace(char, "")
        return right_id(number)

    return answer


def sum_of_18(number):
    return sum((10 if c in "Xx" else int(c)) * 2 ** (17 - i) for i, c in enumerate(number))


def id_with_inner_x(number):
    if not re.fullmatch("[0-9X]{17}[0-9Xx]", number) or "X" in number[:14]:
        return False
    return sum_of_18(number) % 11 == 1 and has_province(number) and has_date(number)


def lower_crash(number):
    return right_id(number) if number[17:] != "x" else int(number[17])


RIGHT["check_digit"] = {
    "four questions": right_id,
    "Horner": id_by_horner,
    "stdnum": id_by_stdnum,
    "strptime": id_by_strptime,
    "numpy": id_in_numpy,
    "one pattern": id_in_one_pattern,
}
WRONG["check_digit"] = {
    "form, province and date only": (id_by(check=lambda n: True), "never ask for the check character"),
    "str == int": (id_by(check=lambda n: n[17] == weighted(n) % 11), "You refuse every number"),
    "X refused": (id_by(form=lambda n: re.fullmatch("[0-9]{18}", n)), "refuse every X"),
    "X free": (id_by(check=lambda n: n[17] in "Xx" or has_check(n)), "accept X whatever"),
    "X is 0": (id_by(check=lambda n: (weighted(n) + int(n[17].upper().replace("X", "0"))) % 11 == 1), "take X for 0"),
    "int(X)": (id_by(check=lambda n: (weighted(n) + int(n[17])) % 11 == 1), "your code raises ValueError; do not call"),
    "x refused": (id_by(form=lambda n: re.fullmatch("[0-9]{17}[0-9X]", n)), "A small x counts"),
    "x free": (id_by(check=lambda n: n[17] == "x" or has_check(n)), "do not check a small x"),
    "reversed": (ending(lambda n: TABLE[weighted(n, W[::-1]) % 11]), "run the wrong way"),
    "mod 10": (ending(lambda n: str(weighted(n) % 10)), "work modulo 10"),
    "remainder": (ending(lambda n: "0123456789X"[weighted(n) % 11]), "with the remainder itself"),
    "ISBN": (ending(lambda n: "0123456789X"[-weighted(n) % 11]), "as ISBN does"),
    "table turned": (ending(lambda n: TABLE[::-1][weighted(n) % 11]), "from its end"),
    "number[:16]": (ending(lambda n: TABLE[weighted(n[:16]) % 11]), "add up sixteen digits"),
    "number[1:17]": (ending(lambda n: TABLE[weighted(n[1:17]) % 11]), "You start at number[1]"),
    "2**(16 - i)": (ending(lambda n: TABLE[weighted(n, [2 ** (16 - i) for i in range(17)]) % 11]), "shifted by one"),
    "weights 18..2": (ending(lambda n: TABLE[weighted(n, range(18, 1, -1)) % 11]), "count up or down"),
    "no weights": (ending(lambda n: TABLE[weighted(n, [1] * 17) % 11]), "without weights"),
    "int(s[:17])": (ending(lambda n: TABLE[int(n[:17]) % 11]), "as one number"),
    "weights mod 10": (ending(lambda n: TABLE[weighted(n, [2 ** (17 - i) % 10 for i in range(17)]) % 11]), "reduce"),
    "another table": (ending(lambda n: "10X98765423"[weighted(n) % 11]), "For '11"),
    "no province": (id_by(province=lambda n: True), "never look at the province"),
    "province range": (id_by(province=lambda n: 11 <= int(n[:2]) <= 83), "There are gaps in it"),
    "province digit": (id_by(province=lambda n: n[0] in "12345678"), "look at the first digit alone"),
    "province far": (id_by(province=lambda n: int(n[:2]) in PROVINCES - {71, 81, 82, 83}), "are provinces too"),
    "province table": (
        id_by(province=lambda n: dict.fromkeys(PROVINCES, "here")[int(n[:2])]),
        "does not exist, '000000199003070014', your code raises KeyError",
    ),
    "no date": (id_by(born=lambda n: True), "never look at the date"),
    "date as text": (id_by(born=lambda n: "19000101" <= n[6:14] <= f"{date.today():%Y%m%d}"), "compare dates as text"),
    "date ranges": (id_by(born=in_ranges), "not every month has 31 days"),
    "year % 4": (id_by(born=in_leaps(lambda year: year % 4 == 0)), "1900 was no leap year"),
    "no leap year 2000": (id_by(born=in_leaps(lambda y: y % 4 == 0 and y % 100 != 0)), "2000 was a leap year"),
    "always February 29": (id_by(born=in_leaps(lambda year: True)), "every year have a 29th"),
    "never February 29": (id_by(born=in_leaps(lambda year: False)), "no year have a 29th"),
    "any year": (id_by(born=born_by(lambda day: True)), "do not ask when the day was"),
    "future": (id_by(born=born_by(lambda day: day >= date(1900, 1, 1))), "born in the future"),
    "past": (id_by(born=born_by(lambda day: day <= date.today())), "should not lie before 1900"),
    "not today": (id_by(born=born_by(lambda day: date(1900, 1, 1) <= day < date.today())), "are both included"),
    "until 2020": (
        id_by(born=born_by(lambda day: date(1900, 1, 1) <= day <= date(2020, 1, 1))),
        "you answer False, but it is True: form, province",
    ),
    "date raises": (
        id_by(born=lambda n: date(1900, 1, 1) <= date(*day_of(n)) <= date.today()),
        "your code raises ValueError: '11",
    ),
    "IndexError": (
        lambda n: has_check(n) and has_form(n) and has_province(n) and has_date(n),
        "For '' it raises IndexError",
    ),
    "letters in it": (
        lambda n: len(n) == 18 and n.isascii() and has_province(n) and has_date(n) and has_check(n),
        "it raises ValueError",
    ),
    "seventeen": (lambda n: right_id(n) or (len(n) == 17 and right_id(n + has_end(n))), "something too short"),
    "fifteen": (lambda n: right_id(n) or bool(re.fullmatch("[0-9]{15}", n)), "Numbers of fifteen places"),
    "prefix": (id_by(form=lambda n: re.match("[0-9]{17}[0-9Xx]", n)), "something too long"),
    "$": (id_by(form=lambda n: re.match("[0-9]{17}[0-9Xx]$", n)), "line break at the end"),
    "strip": (lambda n: right_id(n.strip(" ")), "You remove spaces"),
    "dashes": (cleaned("-"), "You remove dashes"),
    r"\d": (
        id_by(
            form=lambda n: re.fullmatch(r"\d{17}[\dXx]", n),
            check=lambda n: has_check(n) or str(unicodedata.digit(n[17], 99)) == TABLE[weighted(n) % 11],
        ),
        "digits that are not ASCII",
    ),
    "power": (lambda n: right_id(n.replace("²", "2")), "You accept '²'"),
    "inner X": (id_with_inner_x, "accept X in other places"),
    "letters": (lambda n: right_id(n.replace("A", "0")), "characters that are not digits"),
    "match object": (
        lambda n: re.fullmatch("[0-9]{17}[0-9Xx]", n) and re.match("11", n),
        "it returned a Match. Put bool(...)",
    ),
    "text": (lambda n: "yes" if right_id(n) else "no", "it returned 'yes'"),
    "None": (lambda n: True if right_id(n) else None, "it returned None. Put bool"),
}
ALSO["check_digit"] = {
    "sum to 0": (id_by(check=lambda n: sum_of_18(n) % 11 == 0), "over all eighteen leaves 0"),
    "is_valid_id = stdnum's": (ric.is_valid, "For '"),
    "X is 0, both": (
        id_by(check=lambda n: n[17].replace("X", "0") == TABLE[weighted(n) % 11].replace("X", "0")),
        "take X for 0",
    ),
    "int(x)": (lower_crash, "The last character may be x"),
    "2**i": (ending(lambda n: TABLE[weighted(n, [2**i for i in range(17)]) % 11]), "run the wrong way"),
    "2**(18 - i)": (ending(lambda n: TABLE[weighted(n, [2 ** (18 - i) for i in range(17)]) % 11]), "shifted by one"),
    "Luhn's end": (ending(lambda n: str(-weighted(n) % 10)), "work modulo 10"),
    "table at mod 10": (ending(lambda n: TABLE[weighted(n) % 10]), "work modulo 10"),
    "18 places mod 10": (id_by(check=lambda n: sum_of_18(n) % 10 == 1), "work modulo 10"),
    "weights 1..17": (ending(lambda n: TABLE[weighted(n, range(1, 18)) % 11]), "count up or down"),
    "ISBN-10": (ending(lambda n: "0123456789X"[-weighted(n, range(18, 1, -1)) % 11]), "count up or down"),
    "digit sum": (ending(lambda n: "0123456789X"[weighted(n, [1] * 17) % 11]), "without weights"),
    "number % 11": (ending(lambda n: "0123456789X"[int(n[:17]) % 11]), "as one number"),
    "always True": (lambda n: True, "never ask for the check character"),
    "always False": (lambda n: not n and False, "You refuse every number"),
    "provinces 11..65": (id_by(province=lambda n: 11 <= int(n[:2]) <= 65), "There are gaps in it"),
    "no zero": (id_by(province=lambda n: n[0] != "0"), "look at the first digit alone"),
    "83 missing": (id_by(province=lambda n: int(n[:2]) in PROVINCES - {83}), "are provinces too"),
    "no future, no past": (id_by(born=lambda n: 1900 <= day_of(n)[0] <= date.today().year), "You look at the year"),
    "ranges, any year": (
        id_by(born=lambda n: 1 <= day_of(n)[1] <= 12 and 1 <= day_of(n)[2] <= 31),
        "not every month has 31 days",
    ),
    "after 1900-01-01": (id_by(born=born_by(lambda day: date(1900, 1, 1) < day <= date.today())), "both included"),
    "soon": (
        id_by(born=born_by(lambda day: date(1900, 1, 1) <= day <= date.today() + timedelta(60))),
        "you answer True, but it is False: 2",
    ),
    "isdigit": (
        lambda n: len(n) == 18 and n[:17].isdigit() and has_province(n) and has_date(n) and has_check(n),
        "digits that are not ASCII",
    ),
    "split": (lambda n: right_id("".join(n.split())), "You remove spaces"),
    "match X": (lambda n: re.fullmatch("[0-9]{17}[0-9Xx]", n) if right_id(n) else None, "it returned a Match"),
}


def test_numbers_are_nobodys_and_their_check_is_stdnums():
    """The county 0000 does not exist; the check characters agree with python-stdnum's."""
    today = date.today()
    texts = [
        *check_digit_cases.check_cases(),
        *check_digit_cases.province_cases(),
        *check_digit_cases.date_cases(today),
    ]
    texts += check_digit_cases.lower_cases()
    fault = source("check_digit", "fault")
    assert {text[2:6] for text in texts} == {"0000"}
    for text in texts:
        assert right_id(text) == (fault(text, today) is None), text
        assert (text[17].upper() == mod_11_2.calc_check_digit(text[:17])) == has_check(text)
    assert not any(right_id(text) for text, _ in check_digit_cases.odd_cases())
    assert all(fault(text, today) for text, _ in check_digit_cases.odd_cases())


def test_half_of_the_numbers_are_right():
    """So that neither always nor never does well, and every check character occurs."""
    texts = check_digit_cases.check_cases()
    assert 0.2 < sum(map(right_id, texts)) / len(texts) < 0.6
    assert {text[17] for text in texts if right_id(text)} == set(TABLE)


# ---------------------------------------------------------------- boundaries

NUMBER = "1[3-9][0-9]{9}"


def found(pattern, flags=0):
    return lambda text: re.findall(pattern, text, flags)


def mobiles_by_runs(text):
    return [run for run in re.findall("[0-9]+", text) if re.fullmatch(NUMBER, run)]


def mobiles_by_split(text):
    return [run for run in re.split("[^0-9]+", text) if len(run) == 11 and run[0] == "1" and run[1] >= "3"]


def mobiles_by_groupby(text):
    runs = ("".join(part) for is_digit, part in itertools.groupby(text, lambda c: c in "0123456789") if is_digit)
    return [run for run in runs if len(run) == 11 and 130 <= int(run[:3]) <= 199]


def mobiles_by_hand(text):
    digits, out = set("0123456789"), []
    for i in range(len(text) - 10):
        piece = text[i : i + 11]
        alone = (i == 0 or text[i - 1] not in digits) and (i + 11 == len(text) or text[i + 11] not in digits)
        if alone and set(piece) <= digits and piece[0] == "1" and piece[1] not in "012":
            out.append(piece)
    return out


def mobiles_consuming_one_side(text):
    """The neighbour behind is only looked at, so it can serve as the neighbour before."""
    return [match.group(1) for match in re.finditer(rf"(?:^|[^0-9])({NUMBER})(?![0-9])", text)]


right_mobiles = found(rf"(?<![0-9]){NUMBER}(?![0-9])")


def between(core):
    return found(f"(?<![0-9]){core}(?![0-9])")


def after(change):
    return lambda text: right_mobiles(change(text))


def mobiles_no_none(text):
    return right_mobiles(text) or None


def mobiles_first(text):
    match = re.search(rf"(?<![0-9]){NUMBER}(?![0-9])", text)
    return [match.group()] if match else []


def mobiles_first_crash(text):
    first = re.search(rf"(?<![0-9]){NUMBER}(?![0-9])", text).group()
    return [first, *right_mobiles(text)[1:]]


RIGHT["boundaries"] = {
    "lookarounds": right_mobiles,
    r"re.ASCII": found(r"(?<!\d)1[3-9]\d{9}(?!\d)", re.ASCII),
    r"\d around": found(r"(?<!\d)1[3-9][0-9]{9}(?!\d)"),
    "runs": mobiles_by_runs,
    "split": mobiles_by_split,
    "groupby": mobiles_by_groupby,
    "by hand": mobiles_by_hand,
    "one side": mobiles_consuming_one_side,
    "group": lambda text: [m[1] for m in re.finditer(rf"(?<![0-9])({NUMBER})(?![0-9])", text)],
}
WRONG["boundaries"] = {
    "stub-like": (lambda text: [] if text else list(text), "You find nothing at all"),
    r"\b": (found(rf"\b{NUMBER}\b"), r"You use \b"),
    r"\b, ASCII": (found(rf"\b{NUMBER}\b", re.ASCII), "no Latin letter"),
    "no boundary": (found(NUMBER), "look at no neighbours"),
    "right only": (found(rf"{NUMBER}(?![0-9])"), "only at what follows"),
    "left only": (found(rf"(?<![0-9]){NUMBER}"), "only at what comes before"),
    "consuming": (found(rf"(?:^|[^0-9])({NUMBER})(?:[^0-9]|$)"), "uses up the neighbours"),
    "neighbours": (found(rf"(?:^|\D){NUMBER}(?:\D|$)"), "return the neighbours as well"),
    "neighbour wanted": (found(rf"(?<=\D){NUMBER}(?=\D)"), "on both sides"),
    "left neighbour wanted": (found(rf"(?<=\D){NUMBER}(?!\d)"), "may begin with it"),
    "right neighbour wanted": (found(rf"(?<!\d){NUMBER}(?=\D)"), "may end with it"),
    "anchors": (found(rf"^{NUMBER}$", re.MULTILINE), "the whole text, or a whole line"),
    "words": (lambda text: [w for w in text.split() if re.fullmatch(NUMBER, w)], "expect blanks"),
    r"\d": (found(r"(?<!\d)1[3-9]\d{9}(?!\d)"), "digits of every script"),
    "NFKC": (after(lambda text: unicodedata.normalize("NFKC", text)), "You fold full-width"),
    "first": (mobiles_first, "stop at the first"),
    "unique": (lambda text: list(dict.fromkeys(right_mobiles(text))), "each number once"),
    "sorted": (lambda text: sorted(right_mobiles(text)), "You sort"),
    "second digit": (between("1[0-9]{10}"), "do not look at the second"),
    "old prefixes": (between("1[358][0-9]{9}"), "only some prefixes"),
    "[3,9]": (between("1[3,9][0-9]{9}"), "the comma is a character"),
    "eleven digits": (between("[0-9]{11}"), "first digit be a 1"),
    "{8}": (between("1[3-9][0-9]{8}"), "one digit too few"),
    "{10}": (between("1[3-9][0-9]{10}"), "one digit too many"),
    "{9,}": (between("1[3-9][0-9]{9,}"), "eleven digits and more"),
    "[3-9]{10}": (between("1[3-9]{10}"), "goes for the second alone"),
    "separators": (after(lambda text: re.sub(r"[\s-]", "", text)), "joins what is apart"),
    "dashed": (between("1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}"), "separators inside a number"),
    "country code": (found(rf"(?<![0-9])(?:\+86|0086)?({NUMBER})(?![0-9])"), "You accept a country code"),
    "not 138": (lambda text: [n for n in right_mobiles(text) if n[2] != "8"], "you return []"),
    "groups": (found(r"(?<![0-9])(1[3-9])([0-9]{9})(?![0-9])"), "You return pieces: [('13'"),
    "one group": (found(r"(?<![0-9])(1[3-9])[0-9]{9}(?![0-9])"), "You return pieces: ['13']"),
    "set": (lambda text: set(right_mobiles(text)), "A set forgets"),
    "iterator": (lambda text: (n for n in right_mobiles(text)), "You return a generator"),
    "matches": (lambda text: list(re.finditer(rf"(?<![0-9]){NUMBER}(?![0-9])", text)), "match objects"),
    "numbers": (lambda text: [int(n) for n in right_mobiles(text)], "You return numbers"),
    "None": (mobiles_no_none, "you return None"),
    "no match": (mobiles_first_crash, "your code raises AttributeError"),
    "one str": (lambda text: " ".join(right_mobiles(text)), "it returned '13800138000'"),
}
ALSO["boundaries"] = {
    "isdigit": (
        lambda text: [
            r
            for r in "".join(c if c.isdigit() else " " for c in text).split()
            if len(r) == 11 and r[:1] == "1" and r[1] in "3456789"
        ],
        "str.isdigit know the digits",
    ),
    "country code kept": (found(rf"(?<![0-9])(?:\+?86)?{NUMBER}(?![0-9])"), "You accept a country code"),
    "undashed": (
        lambda text: [
            n.replace("-", "").replace(" ", "") for n in between("1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}")(text)
        ],
        "separators inside a number",
    ),
    r"(?<!\w)": (found(rf"(?<!\w){NUMBER}(?!\w)"), r"You use \b"),
    r"\b left": (found(rf"\b{NUMBER}(?![0-9])"), r"You use \b"),
    r"\b with \d": (found(r"\b1[3-9]\d{9}\b"), r"You use \b"),
    "no letters": (found(rf"(?<![0-9A-Za-z]){NUMBER}(?![0-9A-Za-z])"), "no Latin letter"),
    r"no boundary, \d": (found(r"1[3-9]\d{9}"), "look at no neighbours"),
    r"consuming, \D": (found(r"(?:^|\D)(1[3-9]\d{9})(?:\D|$)"), "uses up the neighbours"),
    "consuming, no ends": (found(rf"[^0-9]({NUMBER})[^0-9]"), "on both sides"),
    "whole text": (lambda text: [text] if re.fullmatch(NUMBER, text) else [], "the whole text"),
    "newer prefixes": (between("1[345789][0-9]{9}"), "only some prefixes"),
    "[39]": (between("1[39][0-9]{9}"), "the comma is a character"),
    "dashes": (after(lambda text: text.replace("-", "")), "joins what is apart"),
    "iterator of matches": (functools.partial(re.finditer, NUMBER), "callable_iterator"),
    "a match": (lambda text: re.search(NUMBER, text), "match objects"),
    "bytes": (lambda text: [n.encode() for n in right_mobiles(text)], "it returned [b'13800138000']"),
    "sorted set": (lambda text: sorted(set(right_mobiles(text))), "You sort"),
}


# ---------------------------------------------------------------- hard_negative


def luhn_sum(number, first=1, fold=True):
    values = [int(d) * (first if i % 2 == 0 else 3 - first) for i, d in enumerate(reversed(number))]
    return sum(v - 9 if v > 9 and fold else v for v in values)


def doubled(number):
    return [int(d) * (1 + i % 2) for i, d in enumerate(reversed(number))]


def orders(count, start="20260315"):
    return [f"{start}{i:0{15 - len(start)}}" for i in range(count)]


def filled(body):
    return body + str(-luhn_sum(body + "0") % 10)


def negatives_by(last, start="20260315", finish=list):
    """Bodies with another idea of the last digit."""
    return lambda count: finish([body + last(body) for body in orders(count, start)])


right_negatives = negatives_by(lambda body: filled(body)[-1])


def negatives_by_stdnum(count):
    return [body + luhn.calc_check_digit(body) for body in orders(count, "7700")]


def negatives_by_drawing(count):
    dice, kept = random.Random(1), []
    while len(kept) < count:
        number = "99" + "".join(dice.choice("0123456789") for _ in range(14))
        if luhn.is_valid(number) and number not in kept and len(set(number)) > 3:
            kept.append(number)
    return kept


def negatives_by_trying(count):
    return [next(body + d for d in "0123456789" if luhn_sum(body + d) % 10 == 0) for body in orders(count, "0012")]


def negatives_by_counting(count):
    numbers = (str(n) for n in itertools.count(1234567800000000))
    return list(itertools.islice((n for n in numbers if luhn_sum(n) % 10 == 0), count))


def drawn(start, digits):
    def answer(count):
        dice = random.Random(2)
        return [start + "".join(dice.choice("0123456789") for _ in range(digits)) for _ in range(count)]

    return answer


RIGHT["hard_negative"] = {
    "filled": right_negatives,
    "stdnum": negatives_by_stdnum,
    "drawn": negatives_by_drawing,
    "tried": negatives_by_trying,
    "counted": negatives_by_counting,
    "tuple": negatives_by(lambda body: filled(body)[-1], finish=tuple),
    "between Mir and Mastercard": negatives_by(lambda body: filled(body)[-1], "2215"),
}
WRONG["hard_negative"] = {
    "luck": (drawn("20260315", 8), "You leave the check to luck. Of your 21 numbers"),
    "negated": (negatives_by(lambda body: str(luhn_sum(body + "0") % 10)), "missing to the next multiple"),
    "parity": (negatives_by(lambda body: str(-luhn_sum(body) % 10)), "You double the wrong digits"),
    "10 stays": (
        negatives_by(lambda body: str(-sum(v - 9 if v > 10 else v for v in doubled(body + "0")) % 10)),
        "Twice 5 is 10",
    ),
    "no 9 off": (negatives_by(lambda body: str(-luhn_sum(body + "0", fold=False) % 10)), "take 9 off"),
    "digit sum": (negatives_by(lambda body: str(-sum(map(int, body)) % 10)), "You double no digit"),
    "modulo 11": (
        lambda count: [n + str(k) for n in orders(3 * count) if (k := (1 - 2 * int(mod_11_2.checksum(n))) % 11) < 10][
            :count
        ],
        "modulo 11",
    ),
    "some": (lambda count: [*right_negatives(count)[1:], "2026031512345678"], "The sum of 2026031512345678 is"),
    "10": (negatives_by(lambda body: str(10 - luhn_sum(body + "0") % 10)), "has seventeen digits"),
    "Visa": (negatives_by(lambda body: filled(body)[-1], "4111"), "begins like a card (Visa)"),
    "Mastercard": (negatives_by(lambda body: filled(body)[-1], "2720"), "begins like a card (Mastercard)"),
    "fillers": (lambda count: ["0" * 16] * count, "fewer than three different digits"),
    "IMEI": (lambda count: [n[1:] for n in negatives_by_trying(count)], "has 15 digits"),
    "19": (
        lambda count: [body + luhn.calc_check_digit(body) for body in (o + "000" for o in orders(count))],
        "has 19 digits",
    ),
    "spaces": (lambda count: [f"{n[:8]} {n[8:]}" for n in right_negatives(count)], "something besides ASCII digits"),
    "context": (lambda count: [f"订单号{n}" for n in right_negatives(count)], "'订单号2026031500000006' holds"),
    "numbers": (lambda count: [int(n) for n in right_negatives(count)], "as an int it loses"),
    "repeated": (lambda count: right_negatives(1) * count, "20 times"),
    "ten": (lambda count: right_negatives(min(count, 10)), "you return 10 numbers"),
    "too many": (lambda count: right_negatives(count + 1), "you return 2 numbers"),
    "one": (lambda count: right_negatives(1)[0], "should return a list, also of one"),
    "iterator": (lambda count: (n for n in right_negatives(count)), "holds nothing until"),
    "None": (lambda count: print(end=""), "it returned None"),
    "bytes": (lambda count: [n.encode() for n in right_negatives(count)], "in it."),
}
ALSO["hard_negative"] = {
    "parity of all": (
        negatives_by(lambda body: str(next(d for d in range(10) if luhn_sum(f"{body}{d}", 2) % 10 == 0))),
        "double the wrong",
    ),
    "no 9 off, no parity": (
        negatives_by(lambda body: str(next((d for d in range(10) if luhn_sum(f"{body}{d}", 2, False) % 10 == 0), 0))),
        "",
    ),
    "wide": (lambda count: [n.translate({48: "０"}) for n in right_negatives(count)], "something besides ASCII digits"),
    "UnionPay": (negatives_by(lambda body: filled(body)[-1], "62"), "UnionPay, Discover or Maestro"),
    "Mir": (negatives_by(lambda body: filled(body)[-1], "2204"), "Mir"),
    "Troy": (negatives_by(lambda body: filled(body)[-1], "9792"), "Troy"),
    "empty": (lambda count: [], "you return 0 numbers"),
    "a set of few": (lambda count: set(right_negatives(1) * count), "For count = 20 you return 1 numbers"),
}


def test_naive_cards_is_luhn_alone():
    naive = source("hard_negative", "naive_cards")
    dice = random.Random(4)
    numbers = ["".join(dice.choice("0123456789") for _ in range(16)) for _ in range(2000)]
    assert [bool(naive(number)) for number in numbers] == [luhn.is_valid(number) for number in numbers]
    assert 0.08 < sum(map(luhn.is_valid, numbers)) / len(numbers) < 0.12  # one in ten, as the task says


@pytest.mark.parametrize(("number", "name"), [
    ("2199", None), ("2200", "Mir"), ("2204", "Mir"), ("2205", None), ("2220", None), ("2221", "Mastercard"),
    ("2720", "Mastercard"), ("2721", None), ("1999", None), ("3000", "American"), ("6999", "UnionPay"), ("7000", None),
    ("8099", None), ("8100", "UnionPay"), ("8299", "UnionPay"), ("8300", None), ("9791", None), ("9792", "Troy"),
    ("9793", None), ("0000", None),
])  # fmt: skip
def test_beginnings_of_cards(number, name):
    came = source("hard_negative", "network")(number + "0" * 12)
    assert came is None if name is None else came.startswith(name)


# ---------------------------------------------------------------- pseudonym


def norm(value, type):
    value = unicodedata.normalize("NFKC", value).replace(" ", "").replace("-", "").upper()
    return value.removeprefix("+86").removeprefix("0086") if type == "CN_MOBILE" else value


def joined(value, type):
    return f"{type}\0{value}".encode()


def sealed(key, message):
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def pseudonym_by(norm=norm, message=joined, seal=sealed, cut=lambda digits: digits[:16]):
    return lambda value, type, key: cut(seal(key, message(norm(value, type), type)))


right_pseudonym = pseudonym_by()


def norm_by_pattern(value, type):
    value = re.sub(r"[\s-]+", "", unicodedata.normalize("NFKC", value)).upper()
    return re.sub(r"^(\+86|0086)", "", value) if type == "CN_MOBILE" else value


def norm_by_translate(value, type):
    value = unicodedata.normalize("NFKC", value).translate({ord(c): None for c in " -"}).upper()
    if type == "CN_MOBILE" and value[:3] == "+86":
        return value[3:]
    return value[4:] if type == "CN_MOBILE" and value.startswith("0086") else value


def hmac_by_hand(key, message):
    """RFC 2104."""
    key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).hexdigest()


def pseudonym_by_update(value, type, key):
    digest = hmac.new(key, digestmod="sha256")
    digest.update(type.encode("utf-8"))
    digest.update(bytes(1))
    digest.update(norm(value, type).encode("utf-8"))
    return digest.digest()[:8].hex()


def without(fold=True, gone=" -", upper=True, prefixes=("+86", "0086"), types=("CN_MOBILE",), late=False):
    """The normalisation with a part missing."""

    def answer(value, type):
        value = unicodedata.normalize("NFKC", value) if fold and not late else value
        value = "".join(c for c in value if c not in gone)
        value = unicodedata.normalize("NFKC", value) if late else value
        value = value.upper() if upper else value
        for prefix in prefixes if types is None or type in types else ():
            value = value.removeprefix(prefix)
        return value

    return answer


def norm_prefix_first(value, type):
    value = unicodedata.normalize("NFKC", value)
    if type == "CN_MOBILE":
        value = value.removeprefix("+86").removeprefix("0086")
    return value.replace(" ", "").replace("-", "").upper()


def norm_mobiles_only(value, type):
    return norm(value, type) if type == "CN_MOBILE" else value.upper()


def norm_ascii(value, type):
    value = unicodedata.normalize("NFKC", value).upper()
    value = re.sub("[^0-9A-Z+]", "", value)
    return value.removeprefix("+86").removeprefix("0086") if type == "CN_MOBILE" else value


def norm_replacing(*gone):
    def answer(value, type):
        value = unicodedata.normalize("NFKC", value).replace(" ", "").replace("-", "").upper()
        for part in gone if type == "CN_MOBILE" else ():
            value = value.replace(part, "")
        return value

    return answer


def norm_wide_plus(value, type):
    """Folds digits, and forgets the plus sign."""
    value = value.translate({ord("－"): "-", ord("\u3000"): " ", **{0xFF10 + i: str(i) for i in range(10)}})
    value = value.translate({ord("ｘ"): "X", ord("Ｘ"): "X"})
    return norm(value, type) if "＋" not in value else value


def salted(value, type, key):
    return sealed(key, secrets.token_bytes(8) + joined(norm(value, type), type))[:16]


def hashed(value, type, key):
    return f"{hash((type, norm(value, type))) & (2**64 - 1):016x}"


def pick(name):
    return lambda key, message: hmac.new(key, message, name).hexdigest()


RIGHT["pseudonym"] = {
    "replace": right_pseudonym,
    "patterns": pseudonym_by(norm_by_pattern),
    "translate": pseudonym_by(norm_by_translate),
    "RFC 2104": pseudonym_by(seal=hmac_by_hand),
    "update": pseudonym_by_update,
    "digest": lambda value, type, key: hmac.digest(key, joined(norm(value, type), type), "sha256").hex()[:16],
    "lstrip, which is right as mobiles begin with 1": pseudonym_by(
        lambda value, type: norm(value, "").lstrip("+086") if type == "CN_MOBILE" else norm(value, type)
    ),
}
WRONG["pseudonym"] = {
    "no key": (pseudonym_by(seal=lambda k, m: hashlib.sha256(m).hexdigest()), "You hash without the key"),
    "constant key": (
        pseudonym_by(seal=lambda k, m: sealed(b"key", m)),
        "key = bytes(range(64, 112)) both give",
    ),
    "key + message": (pseudonym_by(seal=lambda k, m: hashlib.sha256(k + m).hexdigest()), "beside the message"),
    "exchanged": (pseudonym_by(seal=lambda k, m: sealed(m, k)), "the key first"),
    "HMAC-MD5": (pseudonym_by(seal=pick("md5")), "another algorithm"),
    "key as text": (pseudonym_by(seal=lambda k, m: sealed(k.hex().encode(), m)), "text of the key"),
    "half a key": (pseudonym_by(seal=lambda k, m: sealed(k[:16], m)), "part of the key"),
    "no type": (pseudonym_by(message=lambda v, t: v.encode()), "leave the type out"),
    "no separator": (pseudonym_by(message=lambda v, t: (t + v).encode()), "Nothing stands between"),
    "colon": (pseudonym_by(message=lambda v, t: f"{t}:{v}".encode()), "one zero byte"),
    "turned": (pseudonym_by(message=lambda v, t: joined(t, v)), "The type comes first"),
    "no value": (pseudonym_by(message=lambda v, t: t.encode()), "the type alone"),
    "small type": (pseudonym_by(message=lambda v, t: joined(v, t.lower())), "Take the type as it is"),
    "8 digits": (pseudonym_by(cut=lambda d: d[:8]), "and yours has 8"),
    "all digits": (pseudonym_by(cut=str), "and yours has 64"),
    "last": (pseudonym_by(cut=lambda d: d[-16:]), "the last sixteen"),
    "capitals": (pseudonym_by(cut=lambda d: d[:16].upper()), "small letters, please"),
    "0x": (pseudonym_by(cut=lambda d: "0x" + d[:16]), "without 0x"),
    "base64": (pseudonym_by(cut=lambda d: base64.b64encode(bytes.fromhex(d)).decode()[:16]), "That is base64"),
    "hash": (hashed, "Python's hash()"),
    "salt": (salted, "The same call gives two answers"),
    "reversed": (pseudonym_by(cut=lambda d: d[15::-1]), "should be '"),
    "bytes": (pseudonym_by(cut=lambda d: bytes.fromhex(d)[:8]), "You return bytes"),
    "int": (pseudonym_by(cut=lambda d: int(d, 16)), "a str of 16 hexadecimal digits"),
    "as it is": (pseudonym_by(lambda value, type: value), "You do not normalise"),
    "no spaces": (pseudonym_by(without(gone="-")), "Spaces are to go"),
    "no dashes": (pseudonym_by(without(gone=" ")), "Dashes are to go"),
    "no +86": (pseudonym_by(without(prefixes=("0086",))), "may begin with +86"),
    "no 0086": (pseudonym_by(without(prefixes=("+86",))), "may begin with 0086"),
    "prefix first": (pseudonym_by(norm_prefix_first), "spaces and dashes out first"),
    "replace": (pseudonym_by(norm_replacing("+86", "0086")), "off the beginning only"),
    "no folding": (pseudonym_by(without(fold=False)), "Full-width digits are digits"),
    "late folding": (pseudonym_by(without(late=True)), "Fold first"),
    "wide plus": (pseudonym_by(norm_wide_plus), "Fold before you look for +86"),
    "only mobiles": (pseudonym_by(norm_mobiles_only), "Every value is folded"),
    "small letters": (pseudonym_by(without(upper=False)), "become capitals"),
    "ASCII only": (pseudonym_by(norm_ascii), "You lose characters"),
    "NFKD": (
        pseudonym_by(
            lambda value, type: norm(value, type) if "É" not in value else unicodedata.normalize("NFKD", value)
        ),
        "not with another form",
    ),
    "letters and digits": (
        pseudonym_by(lambda value, type: "".join(c for c in norm(value, type) if c.isalnum())),
        "Nothing but spaces and dashes",
    ),
    "all types": (pseudonym_by(without(types=None)), "come off mobile numbers only"),
    "ASCII encoding": (
        pseudonym_by(message=lambda v, t: t.encode("ascii") + b"\0" + v.encode("ascii")),
        "raises UnicodeEncodeError",
    ),
}
ALSO["pseudonym"] = {
    "large type": (pseudonym_by(message=lambda v, t: joined(v, t.upper())), "Take the type as it is"),
    "own table": (pseudonym_by(lambda v, t: norm(v, t) if "Ⅻ" not in v else v.replace(" ", "")), "a table of your own"),
    "32 bytes of the key": (pseudonym_by(seal=lambda k, m: sealed(k[:32], m)), "part of the key"),
    "md5": (lambda value, type, key: hashlib.md5(value.encode()).hexdigest(), "You hash without the key"),
    "sha256 of the value": (lambda v, t, k: hashlib.sha256(v.encode()).hexdigest()[:16], "You hash without the key"),
    "message + key": (pseudonym_by(seal=lambda k, m: hashlib.sha256(m + k).hexdigest()), "beside the message"),
    "sha1": (pseudonym_by(seal=pick("sha1")), "another algorithm"),
    "blake2b": (pseudonym_by(seal=lambda k, m: hashlib.blake2b(m, key=k).hexdigest()), "another algorithm"),
    "32 digits": (pseudonym_by(cut=lambda d: d[:32]), "and yours has 32"),
    "no type, all digits": (pseudonym_by(message=lambda v, t: v.encode(), cut=str), "leave the type out"),
    "hash of all": (lambda v, t, k: f"{abs(hash((t, v, k))):x}"[:16], "Python's hash()"),
    "number of hash": (lambda v, t, k: hash(v), "a str of 16 hexadecimal digits"),
    "replace 86": (pseudonym_by(norm_replacing("+86", "0086", "86")), "off the beginning only"),
}


def test_the_task_says_what_is_computed():
    value, type, key = "＋86 138-0013-8000", "CN_MOBILE", bytes(range(32))
    assert source("pseudonym_mistakes", "definition")(value, type, key) == right_pseudonym(value, type, key)
    spelled = {(norm(value, type), type) for value, type, _ in pseudonym_mistakes.SPELLED}
    assert (pseudonym_mistakes.MOBILE, "CN_MOBILE") in spelled
    assert all(norm(value, type) == value for value, type, _ in pseudonym_mistakes.PLAIN)
    assert min(map(len, pseudonym_mistakes.KEYS.values())) >= 32


# ---------------------------------------------------------------- bands


def curve(s, bands, rows):
    return 1 - (1 - s**rows) ** bands


def pairs(n):
    return [(b, r) for r in range(1, n + 1) for b in range(1, n // r + 1)]


def choose_by(curve=curve, enough=0.99, key=None, room=pairs):
    def choose(high, low, n):
        goal = key or (lambda high, low, b, r: curve(low, b, r))
        return min((p for p in room(n) if curve(high, *p) >= enough), key=lambda p: goal(high, low, *p))

    return choose


right_choose = choose_by()


def choose_by_logarithms(high, low, n):
    best = None
    for rows in range(1, n + 1):
        missed = 1 - high**rows
        if missed == 1:
            break
        bands = max(1, math.ceil(math.log(0.01) / math.log(missed) - 1e-9))
        if bands * rows <= n and (best is None or curve(low, bands, rows) < curve(low, *best)):
            best = (bands, rows)
    return best


def choose_in_numpy(high, low, n):
    bands, rows = np.arange(1, n + 1)[:, None], np.arange(1, n + 1)[None, :]
    fine = (bands * rows <= n) & (1 - (1 - float(high) ** rows) ** bands >= 0.99)
    cost = np.where(fine, 1 - (1 - float(low) ** rows) ** bands, np.inf)
    b, r = np.unravel_index(cost.argmin(), cost.shape)
    return b + 1, r + 1


def choose_by_sorting(high, low, n):
    fine = [[curve(low, b, r), b, r] for b, r in pairs(n) if (1 - high**r) ** b <= 0.01]
    return sorted(fine)[0][1:]


def full_pairs(n):
    return [(n // r, r) for r in range(1, n + 1) if n % r == 0]


def square_pairs(n):
    return [(b, r) for b in range(1, n + 1) for r in range(1, n + 1)]


def step_near(target, room):
    return choose_by(enough=0, key=lambda h, low, b, r: abs((1 / b) ** (1 / r) - target(h, low)), room=room)


RIGHT["bands"] = {
    "all pairs": right_choose,
    "logarithms": choose_by_logarithms,
    "numpy": choose_in_numpy,
    "sorted": choose_by_sorting,
}
WRONG["bands"] = {
    "swapped": (lambda h, low, n: right_choose(h, low, n)[::-1], "Bands and rows are exchanged"),
    "exact": (choose_by(room=full_pairs), "Numbers may be left over"),
    "all used": (lambda h, low, n: (n // right_choose(h, low, n)[1], right_choose(h, low, n)[1]), "all the bands"),
    "most": (choose_by(key=lambda h, low, b, r: -curve(h, b, r)), "only at what is found at high"),
    "everything": (lambda h, low, n: (n // 2, 1), "nearly every pair a candidate"),
    "fewest": (choose_by(enough=0), "only at what comes through"),
    "threshold": (step_near(lambda h, low: h, pairs), "You put the step"),
    "added": (choose_by(lambda s, b, r: b * s**r), "counted twice"),
    "complement": (choose_by(lambda s, b, r: (1 - s**r) ** b), "probability to be missed"),
    "first": (lambda h, low, n: next(p for p in pairs(n) if curve(h, *p) >= 0.99), "first pair that finds enough"),
    "gap": (choose_by(enough=0, key=lambda h, low, b, r: curve(low, b, r) - curve(h, b, r)), "widest gap"),
    "most rows": (choose_by(key=lambda h, low, b, r: (-r, b)), "do not ask what that does at low"),
    "worst": (choose_by(key=lambda h, low, b, r: -curve(low, b, r)), "lets the most through"),
    "0.999": (choose_by(enough=0.999), "more than 0.99"),
    "0.9": (choose_by(enough=0.9), "less than 0.99"),
    "16 x 8": (lambda h, low, n: (n // 8, 8), "Too much is lost. For choose(0.8, 0.5, 128) you return (16, 8)"),
    "32 x 4": (lambda h, low, n: (n // 4, 4), "Another pair does better"),
    "too many": (choose_by(room=square_pairs), "There are not enough numbers"),
    "floats": (lambda h, low, n: (n / 6, 6.0), "Bands and rows are counted"),
    "zero": (lambda h, low, n: (0, n), "are at least 1"),
    "None": (lambda h, low, n: print(end=""), "You return no pair"),
    "one band": (choose_by(lambda s, b, r: s**r), "enough that one of the bands agrees. "[:-2]),
    "triple": (lambda h, low, n: (*right_choose(h, low, n), 0.99), "a tuple (bands, rows)"),
    "curve": (lambda h, low, n: curve(h, 16, 6), "it returned 0.99"),
}
ALSO["bands"] = {
    "highest step": (choose_by(key=lambda h, low, b, r: -((1 / b) ** (1 / r))), "do not ask what that does at low"),
    "least at half of high": (choose_by(key=lambda h, low, b, r: curve(h / 2, b, r)), "do not ask what that does"),
    "formula exchanged": (choose_by(lambda s, b, r: 1 - (1 - s**b) ** r), "Bands and rows are exchanged"),
    "128 x 1": (lambda h, low, n: (n, 1), "only at what is found at high"),
    "1 x 128": (lambda h, low, n: (1, n), "only at what comes through"),
    "all used, searched": (choose_by(room=lambda n: [(n // r, r) for r in range(1, n + 1)]), "all the bands"),
    "fewest numbers": (choose_by(key=lambda h, low, b, r: b * r), "the one of the fewest numbers"),
    "step between": (step_near(lambda h, low: (h + low) / 2, full_pairs), "You put the step"),
    "all bands": (choose_by(lambda s, b, r: s ** (r * b)), "raises ValueError"),
    "constant": (lambda h, low, n: (16, 6), "and choose(0.8, 0.5, 64) has 64"),
    "bools": (lambda h, low, n: (True, True), "a tuple (bands, rows)"),
}


def test_answers_are_clear():
    """No second pair is near the best one, and none near the bound decides: rounding changes no answer."""
    for high, low, n in source("bands", "CASES"):
        fine = sorted((curve(low, *p), p) for p in pairs(n) if curve(high, *p) >= 0.99)
        assert source("bands", "definition")(high, low, n) == fine[0][1]
        assert fine[1][0] - fine[0][0] > 1e-4
        best = fine[0][0]
        assert all(abs(curve(high, *p) - 0.99) > 1e-6 for p in pairs(n) if curve(low, *p) <= best + 1e-9)


def test_the_tasks_comparison():
    assert round(curve(0.5, 32, 4), 2) == 0.87
    assert curve(0.8, 32, 4) > 0.9999


# ---------------------------------------------------------------- all of them


@functools.cache
def judged(name, answer):
    return checks.judge(getattr(n03, name), answer)


@pytest.mark.parametrize("name", NAMES)
def test_exercise_holds(name):
    exercise = getattr(n03, name)
    hold(exercise, WRONG[name], {**RIGHT[name], "named solution": defined(name, exercise.solution)})


@pytest.mark.parametrize(("name", "answer", "says"), [
    pytest.param(name, answer, says, id=f"{name}-{label}")
    for name in NAMES for label, (answer, says) in {**WRONG[name], **ALSO[name]}.items()
])  # fmt: skip
def test_wrong_answer_is_diagnosed_twice_the_same(name, answer, says):
    state, diagnosis = judged(name, answer)
    assert state == "wrong"
    assert says in diagnosis
    assert "{" not in diagnosis.replace("{'", "")  # every field of the template is filled; a set may be shown
    assert "  " not in diagnosis
    assert "The checker could not" not in diagnosis
    if answer is not salted:
        assert checks.judge(getattr(n03, name), answer) == (state, diagnosis)


@pytest.mark.parametrize("name", NAMES)
def test_stub_is_to_do_and_parts_are_whole(name):
    exercise = getattr(n03, name)
    assert (exercise.name, exercise.notebook) == (name, "03")
    assert checks.judge(exercise, defined(name, source(name, "STUB")))[0] == "todo"
    assert checks.judge(exercise, defined(name, exercise.solution))[0] == "right"
    assert f"{FUNCTIONS[name]}(" in exercise.task
    assert len(exercise.solution.strip().splitlines()) <= 14
    assert all(first != second for first, second in zip(exercise.hints, exercise.hints[1:], strict=False))


@pytest.mark.parametrize("name", NAMES)
def test_every_diagnosis_is_heard_by_some_wrong_answer(name):
    answers = {**WRONG[name], **ALSO[name]}.values()
    hold_sentences(source(name, "SAYS"), [judged(name, answer)[1] for answer, _ in answers])


class Odd(str):
    __slots__ = ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [0, -1, 1.5, math.nan, math.inf, 10**30, b"x", bytearray(b"x"), "x", "", Odd("x"), [], [[True]], [None], ["x"],
     ["١" * 16], ["²"], {}, {"x"}, object(), (None, None), ("16", "6"), (16.0, 6), ([16], 6), (-1, -1), (10**30, 2),
     torch.tensor([]), torch.tensor(math.nan), torch.zeros(2), np.array(["a"]), np.array([None]), np.array([16, 6]),
     [np.array([1, 2])], (np.array([1, 2]), 3), torch.empty(2, device="meta"), torch.eye(3).to_sparse(), iter([]), int],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_any_return_value_is_diagnosed_not_raised(name, value):
    diagnosis = getattr(n03, name).check(lambda *arguments: value)
    assert isinstance(diagnosis, str)
    assert len(diagnosis) < 900


@pytest.mark.parametrize("name", NAMES)
def test_checking_leaves_random_state_and_is_quick(name):
    exercise = getattr(n03, name)
    state = random.getstate()
    hold_quick_and_traceless(exercise, defined(name, exercise.solution))
    assert random.getstate() == state


def test_shown_stays_short():
    assert shown("１" * 10).isprintable()
    assert all(len(shown(value)) < 90 for value in ("x" * 10**6, ["x" * 100] * 100, {}, None, "\u200b" * 50))
