"""Surrogates: same shape, nobody's, one for all spellings under a key, and known by their form."""

import hashlib
import hmac
import ipaddress
import random
import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spelled_values import MAKERS, NAMED
from stdnum import iban as stdnum_iban
from stdnum import luhn as stdnum_luhn
from stdnum.cn import uscc as stdnum_uscc
from stdnum.us import ssn as stdnum_ssn

from dslab.privacy import TYPES, Detector, Masker, checksums
from dslab.privacy.draw import Draw
from dslab.privacy.fold import fold
from dslab.privacy.hazards import holds_a_card, holds_a_value
from dslab.privacy.keys import keyed_digest
from dslab.privacy.recognizers.domains import is_top_level
from dslab.privacy.spelling import normalise, respell, signs
from dslab.privacy.surrogates import is_surrogate, surrogate

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
MASKER = Masker(Detector(), mode="surrogate", key=KEY)


def plain(text):
    return "".join(char for char in fold(text).text if char.isascii() and char.isalnum())


def values_of(type, seeds):
    return [value for seed in seeds for value in MAKERS[type](random.Random(seed))]


def kind(char):
    """What shape keeps of a sign: digit, letter by case, Chinese, full-width or not; separators as they are."""
    wide = "\uff01" <= char <= "\uff5e"
    narrow = chr(ord(char) - 0xFEE0) if wide else char
    if narrow.isdigit():
        return "digit", wide
    if narrow.isascii() and narrow.isalpha():
        return ("upper" if narrow.isupper() else "lower"), wide
    return ("chinese", wide) if narrow.isalpha() else (narrow, wide)


# -- the shape --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", [t for t in TYPES if t not in ("EMAIL", "IP", "SECRET")])
def test_the_shape_stays(type):
    for value in values_of(type, range(5)):
        made = surrogate(type, value, KEY)
        assert made != value
        assert [kind(char) for char in made] == [kind(char) for char in value]


def test_an_address_keeps_its_separators_case_and_labels():
    made = surrogate("EMAIL", "Ann.Lee+x_7@Mail-1.Example.com", KEY)
    assert re.fullmatch(r"[A-Z][a-z]{2}\.[A-Z][a-z]{2}\+[a-z]_[0-9]@[A-Z][a-z]{3}-[0-9]\.[A-Z][a-z]{6}\.invalid", made)
    assert surrogate("EMAIL", "ann%40example.com", KEY) == surrogate("EMAIL", "ann@example.com", KEY).replace(
        "@", "%40"
    )
    wide = surrogate("EMAIL", "ａｎｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", KEY)
    assert fold(wide).text == surrogate("EMAIL", "ann@example.com", KEY)
    assert surrogate("EMAIL", "ann@[203.0.113.7]", KEY).endswith(".invalid")


def test_an_ip_keeps_its_groups():
    assert re.fullmatch(r"[3-9][0-9]{2}\.[0-9]{3}\.[0-9]\.[0-9]{2}", surrogate("IP", "10.250.3.17", KEY))
    assert re.fullmatch("[g-x]{4}:[g-x]{3}::[g-x]", surrogate("IP", "2001:db8::1", KEY))
    assert re.fullmatch("[G-X]{4}:[G-X]{3}::[G-X]", surrogate("IP", "2001:DB8::A", KEY))
    assert surrogate("IP", "fe80::1%eth0", KEY).endswith("%eth0")
    assert re.fullmatch(r"::[g-x]{4}:[3-9][0-9]{2}(\.[0-9]){3}", surrogate("IP", "::ffff:10.0.0.1", KEY))


def test_a_secret_keeps_its_makers_prefix_and_its_punctuation():
    key = "gh" + "p_" + "a1B2" * 9
    assert re.fullmatch("gh" + "p_[xX]{36}", surrogate("SECRET", key, KEY))
    assert re.fullmatch("[xX]{4}-[xX]{3}!#[xX]{2}", surrogate("SECRET", "ab1c-D2f!#9k", KEY))
    block = f"-----BEGIN {'PRIVATE'} KEY-----\\nAb1+/\n=\n-----END {'PRIVATE'} KEY-----"
    made = surrogate("SECRET", block, KEY)
    assert re.fullmatch(r"-----BEGIN [A-Z]+ KEY-----\\n[xX]{3}\+/\n=\n-----END [A-Z]+ KEY-----", made)


# -- nobody's ---------------------------------------------------------------------------------------------------------


def made_of(type, seeds=range(15)):
    return [surrogate(type, value, KEY) for value in values_of(type, seeds)]


def test_check_digits_are_wrong():
    assert not any(stdnum_luhn.is_valid(plain(made)) for made in made_of("CARD"))
    assert not any(checksums.cn_id(plain(made).upper()) for made in made_of("CN_ID"))
    assert not any(stdnum_uscc.is_valid(plain(made).upper()) for made in made_of("USCC"))
    for made in made_of("IBAN"):
        assert plain(made)[2:4] == "00"
        assert not stdnum_iban.is_valid(plain(made))
        assert int("".join(str(int(c, 36)) for c in plain(made)[4:] + plain(made)[:4])) % 97 != 1


def test_nobody_can_be_called():
    for made in made_of("CN_MOBILE"):
        digits = plain(made)[-11:]
        assert digits.startswith("154")
        assert not phonenumbers.is_valid_number(phonenumbers.parse("+86" + digits))
    for made in made_of("PHONE_INTL"):
        assert plain(made).startswith("000")
        if made.startswith("+"):
            with pytest.raises(phonenumbers.NumberParseException):
                phonenumbers.parse(made)


def test_no_machine_no_mailbox_no_person():
    for made in made_of("IP"):
        with pytest.raises(ValueError, match="does not appear to be"):
            ipaddress.ip_address(made)
    assert all(fold(made).text.lower().endswith(".invalid") for made in made_of("EMAIL"))
    assert not any(stdnum_ssn.is_valid(plain(made)) for made in made_of("US_SSN"))
    assert not any(int(plain(made)[3:5]) >= 50 for made in made_of("US_SSN"))  # those groups are tax numbers
    assert all("I" in plain(made).upper() or made.startswith("使000") for made in made_of("CN_PLATE"))


@pytest.mark.parametrize("type", TYPES)
def test_the_form_tells_it_from_a_value(type):
    for value in values_of(type, range(10)):
        assert not is_surrogate(type, value)
        assert is_surrogate(type, surrogate(type, value, KEY))


@pytest.mark.parametrize("type", TYPES)
def test_a_masker_finds_nothing_in_one(type):
    for value in values_of(type, range(8)):
        made = surrogate(type, value, KEY)
        assert MASKER.find(made) == []
        if type in ("CN_ID", "CARD", "CN_MOBILE", "EMAIL", "IP", "IBAN", "USCC", "US_SSN"):
            assert MASKER.detector.find(made) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**18 - 1))
def test_no_stretch_of_an_account_is_a_card_a_mobile_or_an_id(number):
    made = plain(surrogate("IBAN", f"DE11{number:018d}", KEY))[2:]
    numbers = Detector(types=("CARD", "CN_MOBILE", "CN_ID"))
    for size in range(11, 20):
        for start in range(len(made) - size + 1):
            assert numbers.find(f"card {made[start : start + size]} ") == []


@pytest.mark.parametrize("type", TYPES)
def test_where_a_value_usually_stands_its_surrogate_stays(type):
    """No fall back to the tag there: a surrogate is not found as anything else."""
    for value in values_of(type, range(6)):
        text, _ = MASKER.apply(NAMED[type].replace("{}", value))
        assert f"<{type}" not in text


def test_what_a_surrogate_may_not_hold():
    for value in (
        "4111111111111111",
        "13800138000",
        "11010519491231002X",
        "91350100M000100Y43",
        "GB82WEST12345698765432",
    ):
        assert holds_a_value(value)
    for value in ("004111111111111111", "0013800138000"):
        assert holds_a_value(value)
    # Resident IDs inside longer runs, of which no stretch is a card or begins like a mobile.
    firsts = [f"22000020030205{serial:03d}" for serial in range(200)]
    numbers = [f"0{first}{checksums.cn_id_check(first)}0" for first in firsts if checksums.cn_id_check(first) != "X"]
    inside = [n for n in numbers if not holds_a_card(n)]
    assert len(inside) > 3
    assert all(holds_a_value(value) for value in inside)
    for value in ("4111111111111112", "15400138000", "110105194912310020", "12345678", "", "A" * 18):
        assert not holds_a_value(value)


def test_no_label_inside_an_address_ends_it_early():
    for number in range(200):
        labels = surrogate("EMAIL", f"a{number}@corp.example.co.uk", KEY).partition("@")[2].split(".")
        assert not any(is_top_level(label) for label in labels[:-1])


# -- one for all spellings, under a key -------------------------------------------------------------------------------


SPELLINGS = {
    "CN_ID": ["11010519491231002X", "11010519491231002x", "110105 19491231 002X", "１１０１０５19491231００２Ｘ"],
    "CN_MOBILE": ["13800138000", "+86 138-0013-8000", "008613800138000", "(86)13800138000", "１３８００１３8000"],
    "CARD": ["4111111111111111", "4111-1111-1111-1111", "4111\u200b1111 1111 1111"],
    "USCC": ["91350100M000100Y43", "91350100m000100y43", "９１３５０１００Ｍ０００１００Ｙ４３"],
    "EMAIL": ["ann@example.com", "Ann@Example.COM", "ann%40example.com", "a\u200bnn@example.com"],
    "IBAN": ["GB82WEST12345698765432", "gb82 west 1234 5698 7654 32"],
    "US_SSN": ["219-09-9999", "219 09 9999", "219099999"],
    "PHONE_INTL": ["+1 212-555-0142", "(212) 555-0142", "212.555.0142", "0012125550142"],
    "PASSPORT": ["E12345678", "e12345678", "E 12345678"],
    "CN_PLATE": ["京A12345", "京a·12345", "京A 12345"],
}  # fmt: skip


@pytest.mark.parametrize("type", SPELLINGS)
def test_every_spelling_gives_the_same_signs(type):
    assert len({normalise(type, value) for value in SPELLINGS[type]}) == 1
    size = {"CN_MOBILE": 11, "PHONE_INTL": 10}.get(type, 0)
    made = [surrogate(type, value, KEY) for value in SPELLINGS[type]]
    assert len({plain(text).lower()[-size:] for text in made}) == 1
    assert len({surrogate(type, value, OTHER) for value in SPELLINGS[type]} & set(made)) == 0


def test_an_address_is_the_same_however_it_is_written():
    assert normalise("IP", "2001:DB8:0:0::1") == normalise("IP", "2001:0db8:0000:0000:0000:0000:0000:0001")
    short, long = surrogate("IP", "2001:db8::1", KEY), surrogate("IP", "2001:0db8:0:0:0:0:0:0001", KEY)
    assert long.split(":")[0] == short.split(":")[0]
    assert long[-1] == short[-1]


def test_landlines_lose_what_is_dialled_before_them():
    assert len({normalise("PHONE_INTL", v) for v in ("010-65529988", "+86 10 6552 9988", "0086 (0)10 65529988")}) == 1
    assert normalise("PHONE_INTL", "+44 (0)20 7946 0958") == normalise("PHONE_INTL", "+44 20 7946 0958")
    assert normalise("PHONE_INTL", "8655-2998") == "86552998"  # no country code without + or 00
    assert normalise("PHONE_INTL", "011 44 20 7946 0958") == normalise("PHONE_INTL", "+44 20 7946 0958")


def test_the_digest_is_the_documented_one():
    expected = hmac.new(KEY, b"CARD\x004111111111111111", hashlib.sha256).digest()
    assert keyed_digest(KEY, "CARD", normalise("CARD", "4111 1111 1111 1111")) == expected


def test_different_values_seldom_share_one():
    for type in ("CN_ID", "CARD", "IBAN", "EMAIL", "CN_MOBILE", "USCC"):
        pairs = {(v, surrogate(type, v, KEY)) for v in values_of(type, range(25)) if v.isascii()}
        by_value = {plain(v).upper()[-11:] if type == "CN_MOBILE" else plain(v).upper(): plain(m) for v, m in pairs}
        assert len(set(by_value.values())) == len(by_value) >= 25


def test_draws_are_even():
    draw = Draw(b"seed")
    counts = [0] * 10
    for _ in range(5000):
        counts[draw.below(10)] += 1
    assert all(400 < count < 600 for count in counts)
    assert Draw(b"seed", 1).below(2**20) != Draw(b"seed").below(2**20)


# -- spelling ---------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="01aZ@%4 -１ａ＠\u200b\u00a0张ö", max_size=24))
def test_a_value_is_the_sum_of_its_pieces(value):
    assert "".join(sign.piece for sign in signs(value)) == value
    assert "".join(sign.char for sign in signs(value)) == fold(value).text
    assert respell(signs(value), "") == value


def test_respell_refuses_more_signs_than_places():
    with pytest.raises(ValueError, match="3 signs do not fit in 2 places"):
        respell(signs("1-2"), "123")


def test_types_without_an_invalid_form_have_no_surrogate():
    assert surrogate("EMPLOYEE", "E123456", KEY) is None
    assert surrogate("CN_ID", "not an id", KEY) is None
    assert not is_surrogate("EMPLOYEE", "E123456")
    assert set(MAKERS) == set(TYPES) == set(NAMED)
