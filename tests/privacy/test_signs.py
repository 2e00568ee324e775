"""The gates that let most texts pass: whatever a family can find, its gate lets through."""

from __future__ import annotations

import pytest

from dslab.privacy import Detector
from dslab.privacy.fold import fold
from dslab.privacy.recognizers import accounts, documents, email, keywords, network, numbers, phones, secrets
from dslab.privacy.recognizers.base import Document
from dslab.privacy.signs import Signs
from dslab.privacy.spans import TYPES
from dslab.privacy.synthetic import documents as synthetic

FAMILIES = (numbers, accounts, email, network, phones, secrets, documents)


class Open(Signs):
    """Signs of every kind, whatever the text."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text} 0@:=_-/ A AKIA ASIA LTAI SG. -----BEGIN :AA :// pass secret token bearer authorization"
        )


def found(text: str, signs: type[Signs]) -> list[object]:
    document = Document(fold(text).text, frozenset(TYPES))
    document.signs = signs(document.text)
    return sorted((s.start, s.end, s.rule) for family in FAMILIES for s in family.find(document))


@pytest.mark.parametrize("hand", ["first", "second"])
def test_open_gates_find_no_more(hand: str) -> None:
    for row in synthetic(80, seed=41, hand=hand):
        assert found(row["text"], Signs) == found(row["text"], Open), row["text"][:80]


LETTERS = "qWxZtRbNmKjHgFdSpLoIuYvC"


@pytest.mark.parametrize(
    "text",
    [
        "ssh face:dead:beef:cafe:face:dead:beef:cafe",
        "车牌京ABCDEF",
        "password: hunter!x",
        "pas\u200bsword: hunter!x",
        "to\u212aen: " + LETTERS + "kT",
        "密码：hunter!x",
        "-----BEGIN " + "PRIVATE KEY-----\n" + LETTERS + "\n-----END " + "PRIVATE KEY-----",
        "glpat-" + LETTERS,
        "SG." + LETTERS + "." + LETTERS + "kTqWzPxRbV",
        "hf_" + LETTERS + "kTqWzPxR",
        "https://ann:hunterx@db.example.com",
        "AccountKey=" + LETTERS + "kTqWzPxRbV",
        "ann@example.com",
    ],
)
def test_a_value_without_digits_passes_its_gate(text: str) -> None:
    assert found(text, Signs) == found(text, Open) != []
    assert Detector().find(text)


def test_every_hint_passes_the_gate_of_names() -> None:
    for hint in keywords._HINTS:
        assert keywords._is_hinted(f"a {hint} b"), hint
    assert not keywords._is_hinted("a compact of bears")
    assert all(set("密钥令凭暗") & set(hint) for hint in keywords._CHINESE_HINTS)


def test_prose_leaves_nothing() -> None:
    signs = Signs("the quick brown fox; it jumps over (the) dog! 敏捷的狐狸。\n")
    assert (signs.rest, signs.has_digit) == (b"", False)
