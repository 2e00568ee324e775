r"""Spellings: the ways in which people and machines write one and the same value.

bare         13800138000                    full_width   １３８００１３８０００
dash, space  138-0013-8000                  zero_width   138<U+200B>00138000
plus86       +86 138 0013 8000              apart        1 3 8 0 0 1 3 8 0 0 0
line_break   138 0013\n8000                 percent      %2B8613800138000
"""

from __future__ import annotations

import random
from urllib.parse import quote

_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
# Group sizes that are in use, by kind; the last group takes what is left.
_GROUPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "cn_id": ((6, 8, 4), (6, 4, 4, 4)),
    "cn_mobile": ((3, 4, 4),),
    "card": ((4, 4, 4, 4, 4),),
    "iban": ((4,) * 9,),
    "uscc": ((8, 9, 1), (4, 4, 4, 4, 2), (2, 6, 9, 1)),
    "us_ssn": ((3, 2, 4),),
}
# Spellings by kind, with weights; bare is the commonest.
_FORMS: dict[str, dict[str, int]] = {
    "cn_id": {"bare": 10, "lower": 2, "space": 2, "full_width": 1, "zero_width": 1, "line_break": 1, "apart": 1},
    "cn_mobile": {"bare": 8, "dash": 2, "space": 2, "plus86": 3, "0086": 1, "full_width": 1, "zero_width": 1,
                  "apart": 1, "line_break": 1, "percent": 1},
    "card": {"bare": 6, "space": 5, "dash": 2, "full_width": 1, "zero_width": 1, "line_break": 1, "apart": 1},
    "uscc": {"bare": 8, "lower": 1, "space": 1, "full_width": 1, "zero_width": 1},
    "email": {"bare": 10, "upper": 1, "full_width": 1, "zero_width": 1, "percent": 1},
    "ipv4": {"bare": 10, "full_width": 1},
    "ipv6": {"bare": 8, "upper": 1, "percent": 1},
    "iban": {"bare": 5, "space": 5, "lower": 1, "dash": 1, "line_break": 1, "zero_width": 1},
    "us_ssn": {"dash": 8, "space": 1, "bare": 2, "full_width": 1},
    "phone_e164": {"bare": 8, "full_width": 1},
    "cn_plate": {"bare": 6, "middle_dot": 3, "space": 1, "full_width": 1, "percent": 1},
    "passport": {"bare": 8, "lower": 1, "full_width": 1},
}  # fmt: skip


def of(kind: str) -> tuple[str, ...]:
    """The spellings that a kind has."""
    return tuple(_FORMS.get(kind, {"bare": 1}))


def spell(rng: random.Random, kind: str, plain: str, form: str | None = None) -> tuple[str, str]:
    """The value in a spelling, and that spelling's name. Raises ValueError for one that the kind does not have.

    >>> spell(random.Random(0), "card", "4111111111111111", "space")
    ('4111 1111 1111 1111', 'space')
    """
    weights = _FORMS.get(kind, {"bare": 1})
    if form is None:
        form = rng.choices(list(weights), list(weights.values()))[0]
    if form not in weights:
        raise ValueError(f"{kind} is spelled {', '.join(weights)}; not {form!r}")
    return _spell(rng, kind, plain, form), form


def _spell(rng: random.Random, kind: str, plain: str, form: str) -> str:
    if form in ("dash", "space", "line_break"):
        parts = cut(plain, _groups(rng, kind, plain)) if kind in _GROUPS else [plain[:2], plain[2:]]
        if form != "line_break":
            return ("-" if form == "dash" else " ").join(parts)
        at = rng.randrange(1, len(parts))
        return " ".join(parts[:at]) + "\n" + " ".join(parts[at:])
    if form == "plus86":
        number = rng.choice((plain, "-".join(cut(plain, (3, 4, 4))), " ".join(cut(plain, (3, 4, 4)))))
        return rng.choice(("+86", "+86 ", "+86-")) + number
    if form == "0086":
        return "0086" + rng.choice(("", " ", "-")) + plain
    if form == "full_width":
        return plain.translate(_WIDE)
    if form == "zero_width":
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(1, len(plain))
            plain = plain[:at] + rng.choice(_ZERO_WIDTH) + plain[at:]
        return plain
    if form == "apart":
        return " ".join(plain)
    if form == "percent":
        return quote("+86" + plain if kind == "cn_mobile" else plain, safe="")
    if form == "middle_dot":
        return f"{plain[:2]}·{plain[2:]}"
    return {"lower": plain.lower(), "upper": plain.upper()}.get(form, plain)


def _groups(rng: random.Random, kind: str, plain: str) -> tuple[int, ...]:
    return (4, 6, 5) if kind == "card" and len(plain) == 15 else rng.choice(_GROUPS[kind])


def cut(text: str, sizes: tuple[int, ...]) -> list[str]:
    """The text in groups of these sizes, what is left over in a last one."""
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return [part for part in [*parts, text[at:]] if part]


def grouped_like(digits: str, pattern: str) -> str:
    """Digits in the place of a pattern's letters and its zero.

    >>> grouped_like("02079460123", "0aa bbbb cccc")
    '020 7946 0123'
    """
    left = iter(digits)
    text = "".join(next(left, "") if sign.isalnum() else sign for sign in pattern)
    return text + "".join(left)
