"""Exercise `hard_negative`: numbers that pass Luhn's check and are no cards, and what a checksum is worth."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise

TASK = """\
A colleague's detector calls every number of sixteen digits a card if it passes Luhn's check:

    def naive_cards(text):
        runs = re.findall(r"(?<![0-9])[0-9]{16}(?![0-9])", text)
        return [run for run in runs if luhn_sum(run) % 10 == 0]

`luhn_sum` goes through the digits from the right. The last counts as it is, the one before it twice, and so on in turn;
where twice a digit is above 9, 9 is taken off. So `17` gives 7 + 2 = 9.

The detector has only been tried on cards. Write the test that it lacks: `hard_negatives(count)` returns a list of
`count` different strings which it takes for cards although no network gives out such numbers. For each of them:

- sixteen ASCII digits and nothing else, at least three different ones among them (sixteen zeros would be too easy);
- it passes Luhn's check;
- it begins like no card. Cards begin with 2200 to 2204 (Mir), 2221 to 2720 (Mastercard), 3 (American Express, Diners,
  JCB), 4 (Visa), 5 (Mastercard, Maestro), 6 (UnionPay, Discover, Maestro), 81 or 82 (UnionPay, RuPay) or 9792 (Troy).

`count` goes up to 500. Order numbers that begin with a date of this century are of this kind. One in ten of them passes
Luhn's check by luck; that is all it takes."""

STUB = '''\
def hard_negatives(count):
    """count different strings of sixteen digits that pass Luhn's check and begin like no card."""
    ...
'''

HINTS = (
    "Two ways lead there. Draw numbers that begin like no card and keep those that pass, one in ten; or write fifteen "
    "digits and work out the one that is missing. Either way you need luhn_sum as a function.",
    "Begin with a date, 20260315, and go on with a counter of seven digits, so that all are different. The sixteenth "
    "digit counts as it is. It has to fill the sum of the others up to a multiple of 10; if they are one already, it "
    "is 0, not 10.",
    "luhn_sum(number): sum over enumerate(reversed(number)) of int(d) for even i, and of divmod(2 * int(d), 10) added "
    "up for odd i. Then body = f'20260315{i:07}' and body + str(-luhn_sum(body + '0') % 10), for i in range(count).",
)

SOLUTION = """\
def luhn_sum(number):
    return sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(reversed(number)))

def hard_negatives(count):
    bodies = [f"20260315{i:07}" for i in range(count)]
    return [body + str(-luhn_sum(body + "0") % 10) for body in bodies]
"""

SAYS = {
    "type": "hard_negatives should return a list of str; for count = {count} it returned {came}.",
    "one": "hard_negatives should return a list, also of one. For count = {count} it returned {came}.",
    "iterator": "You return {came}, which holds nothing until someone asks. Make it a list: list(...).",
    "numbers": "You return numbers, {came} among them. A number is a str here: as an int it loses the zeros that it "
    "begins with.",
    "few": "For count = {count} you return {n} numbers.",
    "repeated": "They should all be different; for count = {count} you return {number} {times} times.",
    "blanks": "{number} holds something besides ASCII digits. naive_cards asks for sixteen digits in a row, and would "
    "leave it alone.",
    "seventeen": "{number} has seventeen digits. If the sum of the others is a multiple of 10 already, the last digit "
    "is 0, not 10: (10 - s) % 10, or -s % 10.",
    "length": "{number} has {n} digits; naive_cards asks for exactly sixteen.",
    "fillers": "{number} has fewer than three different digits. Such fillers are easily told from cards; try one that "
    "is not.",
    "network": "{number} begins like a card ({network}). If it is taken for one, who is to say that it is none?",
    "luck": "You leave the check to luck. Of your {n} numbers {passed} pass it, about one in ten; {number} does not, "
    "its sum is {sum}.",
    "negated": "You take the sum's last digit for the check digit; it is what is missing to the next multiple of 10. "
    "{case}",
    "parity": "You double the wrong digits. The last one, the check digit itself, counts as it is, the one before it "
    "twice. {case}",
    "no_nine": "Where twice a digit is above 9, take 9 off (or add up its two digits). {case}",
    "over_ten": "Twice 5 is 10, which is above 9 too: it counts 1. {case}",
    "single": "You double no digit. {case}",
    "eleven": "You work modulo 11 or with the rule of Chinese ID numbers. Luhn's is modulo 10. {case}",
    "most": "Of your {n} numbers {passed} pass Luhn's check. {case}",
    "case": "The sum of {number} is {sum}, and should end in 0; naive_cards leaves it alone.",
}

COUNTS = (1, 20, 500)
# Beginnings of all sixteen-digit numbers that a network gives out, coarser than the networks' own tables.
NETWORKS: tuple[tuple[str, str, str], ...] = (
    ("2200", "2204", "Mir"),
    ("2221", "2720", "Mastercard"),
    ("3", "3", "American Express, Diners or JCB"),
    ("4", "4", "Visa"),
    ("5", "5", "Mastercard or Maestro"),
    ("6", "6", "UnionPay, Discover or Maestro"),
    ("81", "82", "UnionPay or RuPay"),
    ("9792", "9792", "Troy"),
)


def luhn_sum(number: str, first: int = 1, highest: int = 9) -> int:
    """The sum that Luhn's check wants to end in 0.

    first:   what the last digit counts; the others take turns.
    highest: what may stay as it is when doubled; 9 is taken off above.

    >>> luhn_sum("17"), luhn_sum("4111111111111111")
    (9, 30)
    """
    doubled = [int(digit) * (first if i % 2 == 0 else 3 - first) for i, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > highest else value for value in doubled)


def naive_cards(text: str) -> list[str]:
    """The detector under test: sixteen digits and Luhn, nothing else.

    >>> naive_cards("order 2026031500000006, card 4111111111111111, 2026031500000011")
    ['2026031500000006', '4111111111111111']
    """
    return [run for run in re.findall(r"(?<![0-9])[0-9]{16}(?![0-9])", text) if luhn_sum(run) % 10 == 0]


def network(number: str) -> str | None:
    """Whose cards begin like this.

    >>> network("4111111111111111"), network("2026031500000012")
    ('Visa', None)
    """
    for low, high, name in NETWORKS:
        if low <= number[: len(low)] <= high:
            return name
    return None


# What an answer's numbers have in common when the check digit was made another way: true of every one of them.
MISTAKES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("negated", lambda number: luhn_sum(number[:-1] + "0") % 10 == int(number[-1])),
    ("parity", lambda number: luhn_sum(number, first=2) % 10 == 0),
    ("parity", lambda number: (luhn_sum(number[:-1]) + int(number[-1])) % 10 == 0),
    *(("no_nine", lambda number, first=first: luhn_sum(number, first, highest=18) % 10 == 0) for first in (1, 2)),
    ("over_ten", lambda number: luhn_sum(number, highest=10) % 10 == 0),
    ("single", lambda number: sum(map(int, number)) % 10 == 0),
    ("eleven", lambda number: sum(int(d) * 2 ** (15 - i) for i, d in enumerate(number)) % 11 == 1),
    ("eleven", lambda number: int(number) % 11 == 0),
)


def check(hard_negatives: Any) -> str | None:
    """None when right, else what is wrong."""
    for count in COUNTS:
        numbers, diagnosis = _as_list(hard_negatives(count), count)
        if numbers is None:
            return diagnosis
        fault = _say_form(numbers) or _say_network(numbers) or _say_sum(hard_negatives, numbers)
        if fault is not None:
            return fault
        if len(numbers) != count:
            return SAYS["few"].format(count=count, n=len(numbers))
        if len(set(numbers)) < count:
            most = max(numbers, key=numbers.count)
            return SAYS["repeated"].format(count=count, number=most, times=numbers.count(most))
    return None


def _as_list(came: Any, count: int) -> tuple[list[str] | None, str]:
    """The answer as a list of str, or None and why it is none."""
    if hasattr(came, "__next__"):
        return None, SAYS["iterator"].format(came=shown(came))
    if isinstance(came, str):
        return None, SAYS["one"].format(count=count, came=shown(came))
    if not isinstance(came, list | tuple | set):
        return None, SAYS["type"].format(count=count, came=shown(came))
    for number in came:
        if probe.as_integer(number) is not None:
            return None, SAYS["numbers"].format(came=shown(number))
        if not isinstance(number, str):
            return None, SAYS["type"].format(count=count, came=f"{shown(number)} in it")
    if not came:
        return None, SAYS["few"].format(count=count, n=0)
    return [str(number) for number in came], ""


def _say_form(numbers: Sequence[str]) -> str | None:
    for number in numbers:
        if not (number.isascii() and number.isdigit()):
            return SAYS["blanks"].format(number=shown(number))
        if len(number) == 17 and number.endswith("10") and luhn_sum(number[:15] + "0") % 10 == 0:
            return SAYS["seventeen"].format(number=number)
        if len(number) != 16:
            return SAYS["length"].format(number=shown(number), n=len(number))
    return None


def _say_network(numbers: Sequence[str]) -> str | None:
    for number in numbers:
        name = network(number)
        if name is not None:
            return SAYS["network"].format(number=number, network=name)
        if len(set(number)) < 3:
            return SAYS["fillers"].format(number=number)
    return None


def _say_sum(hard_negatives: Any, numbers: Sequence[str]) -> str | None:
    """Why some do not pass Luhn's check; two dozen of them tell a mistake from bad luck."""
    failed = [number for number in numbers if not naive_cards(number)]
    if not failed:
        return None
    case = SAYS["case"].format(number=failed[0], sum=luhn_sum(failed[0]))
    more = _as_list(hard_negatives(COUNTS[1]), COUNTS[1])[0] if len(numbers) < COUNTS[1] else None
    pool = [number for number in [*numbers, *(more or [])] if re.fullmatch("[0-9]{16}", number)]
    for name, is_so in MISTAKES:
        if all(map(is_so, pool)):
            return SAYS[name].format(case=case)
    passed = sum(bool(naive_cards(number)) for number in pool)
    facts = {"n": len(pool), "passed": passed, "number": failed[0], "sum": luhn_sum(failed[0]), "case": case}
    return SAYS["luck" if passed < len(pool) / 3 else "most"].format(**facts)


exercise = Exercise(name="hard_negative", notebook="03", task=TASK, hints=HINTS, solution=SOLUTION, check=check)
