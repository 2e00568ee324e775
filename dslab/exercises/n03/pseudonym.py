"""Exercise `pseudonym`: the same value, the same pseudonym, and no way back without the key."""

from __future__ import annotations

from typing import Any

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise
from dslab.exercises.n03 import pseudonym_mistakes as cases
from dslab.exercises.n03.pseudonym_mistakes import FIRST, KEYS, PLAIN, SPELLED, definition, wrong_codes

TASK = r"""
A pseudonym lets you see that two rows speak of the same person without saying of whom. A bare hash does not: there are
fewer than 10**10 mobile numbers, and whoever tries all of them has the table back. The key is what stops that.

Write `pseudonym(value, type, key)`. `value` and `type` are str, `key` is at least 32 bytes. Return the first sixteen
hexadecimal digits, small letters, of HMAC-SHA256 under `key` over these bytes: the type, one zero byte (`b"\0"`), the
normalised value; text as UTF-8. To normalise a value,

- fold it with `unicodedata.normalize("NFKC", value)`, so that full-width characters become the usual ones;
- then take out spaces and dashes (`-`), and make its letters capitals;
- and where the type is `"CN_MOBILE"`, and only there, take `+86` or `0086` off its beginning.

So `138 0013 8000`, `+86-138-0013-8000` and `１３８００１３８０００` are one person. The type keeps apart an ID and a
passport with the same digits, and the zero byte the type `AB` with the value `C` and the type `A` with the value
`BC`."""

STUB = '''\
def pseudonym(value, type, key):
    """16 hexadecimal digits: HMAC-SHA256 under key over type, a zero byte and the normalised value."""
    ...
'''

HINTS = (
    "Two halves: one spelling for what is the same, then a hash for what is not to be seen. Inside the first keep the "
    "order of the list: whoever takes spaces out before folding misses the wide ones.",
    "str.removeprefix takes something off the beginning alone, which replace and lstrip do not. For the second half, "
    "hmac.new(key, message, hashlib.sha256).hexdigest(), where message is bytes.",
    "value = unicodedata.normalize('NFKC', value).replace(' ', '').replace('-', '').upper(); if type == 'CN_MOBILE': "
    "value = value.removeprefix('+86').removeprefix('0086'); message = type.encode() + b'\\0' + value.encode(); the "
    "answer is the first 16 characters of the hexdigest.",
)

SOLUTION = r"""
import hashlib, hmac, unicodedata

def pseudonym(value, type, key):
    value = unicodedata.normalize("NFKC", value).replace(" ", "").replace("-", "").upper()
    if type == "CN_MOBILE":
        value = value.removeprefix("+86").removeprefix("0086")
    message = type.encode() + b"\0" + value.encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:16]
""".lstrip()

SAYS = {
    "type": "pseudonym should return a str of 16 hexadecimal digits; {call} returned {came}.",
    "bytes": "You return bytes. Write them as hexadecimal digits: .hexdigest()[:16]. {call} returned {came}.",
    "random": "The same call gives two answers, so nothing can be linked: {call} returned {first}, then {second}. Salt "
    "drawn anew is for passwords.",
    "hash": "You use Python's hash(), which is another one in every process and no secret. {case}",
    "no_key": "You hash without the key. Whoever tries all mobile numbers has the table back. {case}",
    "key_unused": "Your answer does not depend on the key: {call} and the same with key = {other} both give {came}.",
    "joined": "You put the key beside the message and hash both. That is not HMAC: whoever has one such hash can "
    "lengthen the message. Use hmac.new. {case}",
    "exchanged": "hmac.new takes the key first and the message second. {case}",
    "algorithm": "That is another algorithm than HMAC-SHA256. Give hmac.new hashlib.sha256. {case}",
    "key_text": "You make text of the key first. It is bytes already; take it as it is. {case}",
    "key_short": "You use a part of the key only. {case}",
    "no_type": "You leave the type out, so a card and a passport with the same characters are one. {case}",
    "no_separator": "Nothing stands between type and value, so the type AB with the value C is the type A with the "
    "value BC. {case}",
    "separator": r"Between type and value belongs one zero byte, b'\0'; a sign that may occur in either separates "
    "nothing. {case}",
    "turned": "The type comes first, then the zero byte, then the value. {case}",
    "no_value": "You hash the type alone. {case}",
    "type_case": "Take the type as it is; only the value is normalised. {case}",
    "length": "The answer should be 16 hexadecimal digits, and yours has {n}. {case}",
    "end": "You take the last sixteen digits; it should be the first. {case}",
    "capitals": "Hexadecimal digits with small letters, please: a to f. {case}",
    "prefix": "Take the digits without 0x. {case}",
    "base64": "That is base64; hexadecimal digits are wanted: .hexdigest()[:16]. {case}",
    "other": "{case}",
    "case": "{call} should be {want!r}, and you return {came}.",
    "none": "You do not normalise the value. {same}",
    "space": "Spaces are to go. {same}",
    "dash": "Dashes are to go. {same}",
    "plus": "A mobile number may begin with +86. {same}",
    "zeros": "A mobile number may begin with 0086. {same}",
    "order": "Take spaces and dashes out first, then look for +86 or 0086 at the beginning. {same}",
    "inner": "Take +86 or 0086 off the beginning only; the same digits may stand further inside. {same}",
    "wide": "Full-width digits are digits too: unicodedata.normalize('NFKC', value). {same}",
    "wide_separator": "Fold first, then take out spaces and dashes: they may be full-width as well. {same}",
    "wide_plus": "Fold before you look for +86, which may be full-width. {same}",
    "every_type": "Every value is folded and freed of spaces and dashes, not only mobile numbers. {same}",
    "small": "Small letters become capitals. {same}",
    "ascii": "You lose characters that are neither ASCII letters nor digits. {same}",
    "only_mobile": "+86 and 0086 come off mobile numbers only. {same}",
    "same": "{call} should be {want!r}, as for {plain}, and you return {came}.",
    "crash": "{call} raises {error}. Text becomes bytes with .encode(), which is UTF-8.",
    "only_dashes": "Nothing but spaces and dashes is to be taken out. {same}",
    "form": "Fold with unicodedata.normalize('NFKC', value): not with another form, nor with a table of your own. "
    "{same}",
    "call": "pseudonym({value}, {type!r}, key) with key = {key}",
}


def check(pseudonym: Any) -> str | None:
    """None when right, else what is wrong. First the hash, on values that are normal already."""
    return _check_plain(pseudonym) or _check_spelled(pseudonym)


def _check_plain(pseudonym: Any) -> str | None:
    answers = []
    for value, type, key in PLAIN:
        got, diagnosis = _ask(pseudonym, value, type, key)
        if got is None:
            return diagnosis
        answers.append(got)
    for (value, type, key), got in zip(PLAIN, answers, strict=True):
        if got != definition(value, type, KEYS[key]):
            return _say_code(answers, value, type, key, got)
    return None


def _say_code(answers: list[str], value: str, type: str, key: str, got: str) -> str:
    """What was hashed instead."""
    want = definition(value, type, KEYS[key])
    call = _call(value, type, key)
    case = SAYS["case"].format(call=call, want=want, came=shown(got))
    calls = [(value, type, KEYS[key]) for value, type, key in PLAIN]
    known = probe.recognise(calls, answers, wrong_codes(), lambda a, b: a == b)
    if known is None:
        by_call = dict(zip(PLAIN, answers, strict=True))
        for (value, type, key), came in by_call.items():
            if key != FIRST and by_call.get((value, type, FIRST)) == came:
                return SAYS["key_unused"].format(call=_call(value, type, FIRST), other=key, came=shown(came))
    return SAYS[known[0] if known else "other"].format(case=case, n=len(got))


def _check_spelled(pseudonym: Any) -> str | None:
    """Other spellings of the same; the hash is known to be right."""
    key = KEYS[FIRST]
    answers = []
    for value, type, _ in SPELLED:
        try:
            got, diagnosis = _ask(pseudonym, value, type, FIRST)
        except (ValueError, UnicodeError, IndexError) as error:
            name = error.__class__.__name__
            return SAYS["crash"].format(call=_call(value, type, FIRST), error=name)
        if got is None:
            return diagnosis
        answers.append(got)
    for (value, type, kind), got in zip(SPELLED, answers, strict=True):
        want = definition(value, type, key)
        if got != want:
            raw = [cases.unnormalised(value, type, key) for value, type, _ in SPELLED]
            call, plain = _call(value, type, FIRST), shown(cases.normal(value, type))
            same = SAYS["same"].format(call=call, want=want, plain=plain, came=shown(got))
            return SAYS["none" if answers == raw else kind].format(same=same)
    return None


def _ask(pseudonym: Any, value: str, type: str, key: str) -> tuple[str | None, str]:
    """The answer to one call, or None and why it is none. Asked twice."""
    came, again = (pseudonym(value, type, KEYS[key]) for _ in range(2))
    facts = {"call": _call(value, type, key), "came": shown(came)}
    if isinstance(came, bytes | bytearray):
        return None, SAYS["bytes"].format(**facts)
    if not isinstance(came, str) or not isinstance(again, str):
        return None, SAYS["type"].format(**facts)
    if came != again:
        return None, SAYS["random"].format(**facts, first=shown(came), second=shown(again))
    return str(came), ""


def _call(value: str, type: str, key: str) -> str:
    return SAYS["call"].format(value=repr(value), type=type, key=key)


exercise = Exercise(name="pseudonym", notebook="03", task=TASK.strip(), hints=HINTS, solution=SOLUTION, check=check)
