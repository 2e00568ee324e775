"""Exercise `boundaries`: mobile numbers glued to Chinese characters, and not those inside longer runs of digits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise

TASK = r"""
`\d{11}` cuts eleven digits out of every order number. `\b\d{11}\b` spares the order number and then misses
`电话13800138000`: to a regular expression a Chinese character is a letter, and there is no boundary between a letter
and a digit. And `\d` is more than ten characters; it knows the digits of every script.

Write `find_mobiles(text)`. It returns a list of all mobile numbers in `text`, each as a str, in the order in which
they stand there and as often as they do (`[]` where there is none). A mobile number is

- eleven ASCII digits (`0` to `9`), the first a 1, the second one of 3 to 9;
- with no ASCII digit directly before the first or after the last. Anything else may touch it: the end of the text, a
  line break, a Chinese or a Latin character, an underscore, a sign.

One character may stand between two numbers, and serve both. Numbers with separators inside are another step's work.
(The numbers here are made up; most begin as no network's do.)"""

STUB = '''\
def find_mobiles(text):
    """All mobile numbers in text, as a list of str."""
    ...
'''

HINTS = (
    "What may touch the number decides. It is not `a letter or not`, which \\b asks, but `a digit or not`. And "
    "whatever the pattern matches is used up: a neighbour that was matched cannot be the neighbour of the next number.",
    "A lookaround asks without matching: (?<!…) holds where … does not end just before, (?!…) where it does not begin "
    "just behind. Both hold at the ends of the text. Spell digits as [0-9].",
    "return re.findall(r'(?<![0-9])1[3-9][0-9]{9}(?![0-9])', text), with nothing in round brackets but the two "
    "lookarounds, because findall returns groups where there are some.",
)

SOLUTION = """\
import re

def find_mobiles(text):
    return re.findall(r"(?<![0-9])1[3-9][0-9]{9}(?![0-9])", text)
"""

SAYS = {
    "type": "find_mobiles should return a list of str; for {text} it returned {came}.",
    "set": "A set forgets the order and how often a number stands there; return a list. For {text} you return {came}.",
    "iterator": "You return {came}, which finds nothing until someone asks. Make it a list: list(...).",
    "matches": "You return match objects. Take the text of each: match.group().",
    "groups": "You return pieces: {came} for {text}. Where a pattern has groups, re.findall returns these. Take the "
    "round brackets away, or write (?:...).",
    "numbers": "You return numbers, {came} for {text}. Keep them as str: nobody counts with them, and others begin "
    "with 0.",
    "none": "Where there is no number the list is empty. For {text} you return None.",
    "none_crash": "Where there is no number the list is empty. For {text} your code raises {error}.",
    "empty": "You find nothing at all. {case}",
    "word": r"You use \b, or ask that no letter touch the number. To Python a Chinese character is a letter, and so is "
    "an underscore. {case}",
    "word_ascii": "You ask that no Latin letter touch the number, but any may. {case}",
    "no_boundary": "You look at no neighbours, and cut eleven digits out of something longer. {case}",
    "no_left": "You look only at what follows. {case}",
    "no_right": "You look only at what comes before. {case}",
    "consumed": "Your pattern uses up the neighbours: one that stands between two numbers is gone when the second is "
    "asked for. Use lookarounds. {case}",
    "extra": "You return the neighbours as well. Use lookarounds, or take the digits out. {case}",
    "ends": "You ask for a neighbour on both sides, but the text may begin or end with the number. {case}",
    "start": "You ask for a neighbour before the number, but the text may begin with it. {case}",
    "end": "You ask for a neighbour behind the number, but the text may end with it. {case}",
    "anchors": "You accept a number only if it is the whole text, or a whole line. {case}",
    "blanks": "You expect blanks around the number, but Chinese text has none. {case}",
    "unicode": r"\d and str.isdigit know the digits of every script, full-width ones too. Write [0-9], or pass "
    "re.ASCII. {case}",
    "folded": "You fold full-width digits first, but that is another step's work. {case}",
    "first": "You stop at the first number. {case}",
    "unique": "You return each number once; it should come as often as it stands there. {case}",
    "sorted": "You sort the numbers; keep the order of the text. {case}",
    "second": "You do not look at the second digit. {case}",
    "prefixes": "You know only some prefixes; the second digit may be any from 3 to 9. {case}",
    "comma": "In a set like [3,9] the comma is a character, and the dash is missing: write [3-9]. {case}",
    "any_first": "You do not ask that the first digit be a 1. {case}",
    "short": "You count one digit too few: a 1, a second digit, and nine more. {case}",
    "long": "You count one digit too many: a 1, a second digit, and nine more. {case}",
    "or_more": "You accept eleven digits and more. {case}",
    "all_second": "You ask that all the digits behind the 1 be 3 to 9; that goes for the second alone. {case}",
    "dashed": "You accept separators inside a number, but that is another step's work. {case}",
    "country": "You accept a country code before the number: that makes a longer run of digits, and is another step's "
    "work. {case}",
    "separators": "You take separators out of the text first. That joins what is apart. {case}",
    "other": "{case}",
    "case": "For {text} you return {got}, but it is {want}.",
}

HOTLINE = "13800138000"  # a network's own service number; the others begin as no network's do
A, B, C, D, E = "15488886666", "16412345678", "17409876543", "19400112233", "14405060708"
WIDE = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")

TEXTS: tuple[str, ...] = (
    f"电话{HOTLINE}，请回电",
    f"请打 {A} 。",
    f"订单号20240315{HOTLINE}",
    f"{B}0在库，{C}号",
    f"0{HOTLINE}；9{A}9",
    f"{HOTLINE}/{A}",
    f"{A},{B},{C},{A}",
    f"{D}和{E}或{D}",
    HOTLINE,
    f"{B}。",
    f"手机：{C}",
    f"第一行\n{D}\n{E}\n",
    f"tel{HOTLINE}x_{A}_y",
    f"id_{B};uid={C}&t=1",
    f"「{E}」",
    f"号{HOTLINE.translate(WIDE)}，{A}",
    f"رقم {HOTLINE.translate(ARABIC)} ",
    f"{HOTLINE[:10]}٠，1{A.translate(WIDE)[1:]}，{C[:1]}{C[1:].translate(ARABIC)}",
    "12345678901，10987654321，11111111111",
    "23800138000号，03800138000号，95488886666号",
    f"{HOTLINE[:10]}，{A[:10]}和{B}",
    "一一138 0013 8000，138-0013-8000，154-88886666",
    "13333333333，18888888889",
    f"1{HOTLINE}",
    f"+86{HOTLINE}，0086{A}，86{B}",
    f"11{A},{B}{C}",
    f"1234567890123456{D}，{E}①",
    "1,800,138,000,1",
    f"{D}\t{D}\t{D}",
    "99138001380001234567890",
    "",
    "没有号码",
)


def definition(text: str) -> list[str]:
    """The runs of ASCII digits, asked one by one."""
    return _runs(text, lambda char: char in "0123456789")


def _runs(text: str, is_digit: Callable[[str], bool]) -> list[str]:
    """The runs of what is a digit to someone."""
    runs = "".join(char if is_digit(char) else " " for char in text).split()
    return [run for run in runs if len(run) == 11 and run[0] == "1" and run[1] in "3456789"]


# ---------------------------------------------------------------- mistakes

Finder = Callable[[str], list[str]]
CORE = "1[3-9][0-9]{9}"
LEFT, RIGHT = "(?<![0-9])", "(?![0-9])"


def _all(pattern: str, flags: int = 0, group: int = 0) -> Finder:
    return lambda text: [match.group(group) for match in re.finditer(pattern, text, flags)]


def _of(pattern: str) -> Finder:
    """Another core between the right boundaries."""
    return _all(LEFT + pattern + RIGHT)


def _split(pattern: str) -> Finder:
    """Pieces of the text that are numbers."""
    return lambda text: [piece for piece in re.split(pattern, text) if re.fullmatch(CORE, piece)]


_DASHED = _of("1[3-9][0-9][- ]?[0-9]{4}[- ]?[0-9]{4}")
_BOTH_DIGITS = (r"\d", "[0-9]")
MISTAKES: tuple[tuple[str, Finder], ...] = (
    ("empty", lambda text: []),
    *(("word", _all(rf"{left}1[3-9]{digit}{{9}}{right}"))
      for digit in _BOTH_DIGITS
      for left, right in ((r"\b", r"\b"), (r"(?<!\w)", r"(?!\w)"), (r"\b", RIGHT), (LEFT, r"\b"), (r"\b", ""),
                          ("", r"\b"), (r"\b", r"(?!\d)"), (r"(?<!\d)", r"\b"), (r"(?<![^\W_])", r"(?![^\W_])"))),
    *(("word_ascii", _all(rf"{left}{CORE}{right}", flags))
      for left, right, flags in ((r"\b", r"\b", re.ASCII), (r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])", 0),
                                 (r"(?<![0-9A-Za-z_])", r"(?![0-9A-Za-z_])", 0), (LEFT, r"(?![0-9A-Za-z])", 0),
                                 (r"(?<![0-9A-Za-z])", RIGHT, 0))),
    *(("no_boundary", _all(f"1[3-9]{digit}{{9}}")) for digit in _BOTH_DIGITS),
    *(("no_left", _all(f"1[3-9]{digit}{{9}}(?!{digit})")) for digit in _BOTH_DIGITS),
    *(("no_right", _all(f"(?<!{digit})1[3-9]{digit}{{9}}")) for digit in _BOTH_DIGITS),
    *(("consumed", _all(rf"(?:^|{other})(1[3-9]{digit}{{9}})(?:{other}|$)", flags, 1))
      for digit in _BOTH_DIGITS for other in (r"\D", "[^0-9]") for flags in (0, re.MULTILINE)),
    *(("consumed", _all(pattern, 0, 1))
      for pattern in (f"(?:^|[^0-9])({CORE}){RIGHT}(?:[^0-9]|$)", f"{LEFT}({CORE})(?:[^0-9]|$)[^0-9]?")),
    *(("extra", _all(rf"(?:^|{other}){CORE}(?:{other}|$)")) for other in (r"\D", "[^0-9]")),
    *(("extra", _all(rf"{other}{CORE}{other}")) for other in (r"\D", "[^0-9]")),
    *(("ends", _all(rf"(?<={other})1[3-9]{digit}{{9}}(?={other})"))
      for digit in _BOTH_DIGITS for other in (r"\D", "[^0-9]")),
    *(("ends", _all(rf"{other}(1[3-9]{digit}{{9}}){other}", 0, 1))
      for digit in _BOTH_DIGITS for other in (r"\D", "[^0-9]")),
    *(("start", _all(rf"(?<={other}){CORE}(?!{digit})")) for digit in _BOTH_DIGITS for other in (r"\D", "[^0-9]")),
    *(("end", _all(rf"(?<!{digit}){CORE}(?={other})")) for digit in _BOTH_DIGITS for other in (r"\D", "[^0-9]")),
    *(("anchors", _all(f"^1[3-9]{digit}{{9}}$", flags)) for digit in _BOTH_DIGITS for flags in (0, re.MULTILINE)),
    ("anchors", lambda text: [text] if re.fullmatch(CORE, text) else []),
    ("blanks", lambda text: [word for word in text.split() if re.fullmatch(CORE, word)]),
    ("blanks", lambda text: [word for word in text.split() if re.match(CORE, word)]),
    ("blanks", _split(r"[ ,，。；;/]+")),
    *(("blanks", _all(rf"(?<!\S)1[3-9]{digit}{{9}}(?!\S)")) for digit in _BOTH_DIGITS),
    *(("unicode", _all(rf"(?<!{edge})1[3-9]\d{{9}}(?!{edge})")) for edge in _BOTH_DIGITS),
    *(("unicode", lambda text, is_digit=is_digit: _runs(text, is_digit))
      for is_digit in (str.isdigit, str.isdecimal, str.isnumeric)),
    ("folded", lambda text: definition(unicodedata.normalize("NFKC", text))),
    ("first", lambda text: definition(text)[:1]),
    ("unique", lambda text: list(dict.fromkeys(definition(text)))),
    ("sorted", lambda text: sorted(definition(text))),
    ("sorted", lambda text: sorted(set(definition(text)))),
    ("second", _of("1[0-9]{10}")),
    *(("prefixes", _of(f"1[{second}][0-9]{{9}}"))
      for second in ("358", "3578", "35789", "345789", "34578", "3-8", "356789", "3456789"[:-1], "4-9")),
    ("comma", _of("1[3,9][0-9]{9}")),
    ("comma", _of("1[39][0-9]{9}")),
    ("any_first", _of("[0-9]{11}")),
    ("any_first", _of("[0-9][3-9][0-9]{9}")),
    ("short", _of("1[3-9][0-9]{8}")),
    ("long", _of("1[3-9][0-9]{10}")),
    ("long", _of("1[3-9][0-9]{11}")),
    ("or_more", _of("1[3-9][0-9]{9,}")),
    ("or_more", _of("1[3-9][0-9]+")),
    ("all_second", _of("1[3-9]{10}")),
    *(("dashed", lambda text, gone=gone: [re.sub(gone, "", number) for number in _DASHED(text)])
      for gone in ("[^0-9]", "$")),
    *(("country", _all(f"{LEFT}{code}({CORE}){RIGHT}", 0, group)) for group in (0, 1)
      for code in (r"(?:\+?86)?", r"(?:\+86)?", r"(?:\+86|0086)?", r"(?:\+?86|0086)?", r"(?:(?:\+|00)86)?")),
    *(("separators", lambda text, gone=gone: definition(re.sub(gone, "", text)))
      for gone in (r"[\s-]", "[- ]", "-", " ", r"\s", r"[^\w]", "[ ,-]", r"[\s,-]")),
)  # fmt: skip


def check(find_mobiles: Any) -> str | None:
    """None when right, else what is wrong."""
    answers: list[list[str]] = []
    for text in TEXTS:
        want = definition(text)
        try:
            came = find_mobiles(text)
        except (AttributeError, TypeError, IndexError) as error:
            if want or not answers:
                raise
            return SAYS["none_crash"].format(text=shown(text), error=type(error).__name__)
        got, diagnosis = _as_list(came, text, want)
        if got is None:
            return diagnosis
        answers.append(got)
    for text, got in zip(TEXTS, answers, strict=True):
        if got != definition(text):
            known = probe.recognise([(text,) for text in TEXTS], answers, MISTAKES, lambda a, b: a == b)
            case = SAYS["case"].format(text=shown(text), got=got, want=definition(text))
            return SAYS[known[0] if known else "other"].format(case=case)
    return None


def _as_list(came: Any, text: str, want: list[str]) -> tuple[list[str] | None, str]:
    """The answer as a list of str, or None and why it is none."""
    facts = {"text": shown(text), "came": shown(came)}
    if isinstance(came, set | frozenset):
        return None, SAYS["set"].format(**facts)
    if came is None and not want:
        return None, SAYS["none"].format(**facts)
    if isinstance(came, re.Match) or (isinstance(came, list) and any(isinstance(item, re.Match) for item in came)):
        return None, SAYS["matches"]
    if hasattr(came, "__next__"):
        return None, SAYS["iterator"].format(**facts)
    if not isinstance(came, list | tuple):
        return None, SAYS["type"].format(**facts)
    if any(isinstance(item, tuple) for item in came):
        return None, SAYS["groups"].format(**facts)
    if any(probe.as_integer(item) is not None for item in came):
        return None, SAYS["numbers"].format(**facts)
    if not all(isinstance(item, str) for item in came):
        return None, SAYS["type"].format(**facts)
    if want and came and all(0 < len(item) < 10 and item in want[0] for item in came):
        return None, SAYS["groups"].format(**facts)
    return [str(item) for item in came], ""


exercise = Exercise(name="boundaries", notebook="03", task=TASK.strip(), hints=HINTS, solution=SOLUTION, check=check)
