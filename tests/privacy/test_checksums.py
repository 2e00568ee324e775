"""Check digits against python-stdnum, where that is right, and against the standards' own examples where it is not."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban
from stdnum import luhn as stdnum_luhn
from stdnum import numdb
from stdnum.cn import ric, uscc

from dslab.privacy import checksums

DIGITS = "0123456789"
DAY = st.dates(date(1900, 1, 1), date(2020, 12, 31))


@given(st.text(DIGITS, min_size=2, max_size=19))
def test_luhn(digits: str) -> None:
    assert checksums.luhn(digits) == stdnum_luhn.is_valid(digits)
    assert sum(checksums.luhn(digits[:-1] + last) for last in DIGITS) == 1


@given(
    st.sampled_from(sorted(checksums.PROVINCES)),
    st.text(DIGITS, min_size=4, max_size=4),
    DAY,
    st.text(DIGITS, min_size=3, max_size=3),
)
def test_resident_id(province: str, county: str, born: date, serial: str) -> None:
    first17 = f"{province}{county}{born:%Y%m%d}{serial}"
    number = first17 + checksums.cn_id_check(first17)
    assert number[17] == ric.calc_check_digit(number)
    assert checksums.cn_id(number)
    assert [sign for sign in DIGITS + "X" if checksums.cn_id(first17 + sign)] == [number[17]]


@pytest.mark.parametrize(
    ("number", "is_valid"),
    [
        ("11010519491231002X", True),  # the example of GB 11643
        ("11010519491231002x", False),  # callers write X in upper case
        ("110105194912310021", False),
        ("11010519490230002", False),
        ("11010518991231002", False),
        ("99010519491231002", False),
        ("11010529491231002", False),
    ],
)
def test_resident_id_by_hand(number: str, is_valid: bool) -> None:
    if len(number) == 17:  # a good check sign behind a bad date or province
        number += checksums.cn_id_check(number)
    assert checksums.cn_id(number, today=date(2026, 1, 1)) is is_valid


def test_stdnum_turns_away_good_ids() -> None:
    """Why `stdnum.cn.ric` is not used: check sign, date and province hold, and its table of counties says no."""
    born_in_pudong = (
        "310115196501011235"  # the district was founded in 1992; its number was given to all who lived there
    )
    assert checksums.cn_id(born_in_pudong)
    assert not ric.is_valid(born_in_pudong)


@given(
    st.sampled_from(("91", "92", "12", "51")),
    st.text(DIGITS, min_size=6, max_size=6),
    st.text(checksums.USCC_SIGNS, min_size=9, max_size=9),
)
def test_company_code(kind: str, region: str, body: str) -> None:
    first17 = kind + region + body
    check = uscc.calc_check_digit(first17)
    assert [sign for sign in checksums.USCC_SIGNS if checksums.uscc(first17 + sign)] == [check]
    assert not checksums.uscc(first17)
    assert not checksums.uscc(first17 + check + "0")
    assert not checksums.uscc("I" + first17[1:] + check)


def test_lengths_of_ibans_are_those_of_the_registry() -> None:
    registry = numdb.get("iban")
    for country, length in checksums.IBAN_LENGTHS.items():
        form = registry.info(country)[0][1].get("bban")
        if form:
            assert sum(map(int, re.findall(r"(\d+)!", form))) + 4 == length, country


@pytest.mark.parametrize("code", ["GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606"])
def test_iban(code: str) -> None:
    assert checksums.iban(code)
    assert stdnum_iban.is_valid(code, check_country=False)
    assert not checksums.iban(code[:-1])
    assert not checksums.iban(code + "0")
    assert not checksums.iban(code[:2] + f"{(int(code[2:4]) + 1) % 97:02d}" + code[4:])
    assert not checksums.iban("ZZ" + code[2:])
