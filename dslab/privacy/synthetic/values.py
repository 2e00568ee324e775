"""Values of every type: valid by their checks, in ranges that belong to nobody where there are such ranges.

    CN_ID        check digit and date hold; county codes pp96..pp99, which no province has
    USCC         check sign holds; the same county codes
    CARD         Luhn holds; issuer digits of the networks' published test cards
    IBAN         mod 97 holds; bank code of zeros, or XXXX where it has letters
    US_SSN       areas 734..749 and 773..899: none was given out before 2011
    EMAIL        example.com, .net, .org, .test, .example (RFC 2606); QQ addresses with a leading zero
    IP           192.0.2.0/24 and its like (RFC 5737), 2001:db8::/32 (RFC 3849), private networks
    PHONE_INTL   numbers kept free for film and radio (Ofcom, Arcep, BNetzA, ACMA, PTS), 555-01xx in North America
    CN_PLATE     office letters W and X in provinces that have no such office
    CN_MOBILE, landlines, PASSPORT: no range is kept free; random digits behind a prefix in use

`value(rng, kind, form)` draws one in a spelling (forms.py). A kind is finer than a type: ipv4 and ipv6 are both IP.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta

from dslab.privacy.synthetic import checks, credentials, forms
from dslab.privacy.synthetic.pieces import Value

_words = str.split
DIGITS = "0123456789"
CONSONANTS = "bcdfghjklmnpqrstvwxyz"
PROVINCES = _words("11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65")
MOBILE_PREFIXES = _words(
    "130 131 132 133 134 135 136 137 138 139 145 147 149 150 151 152 153 155 156 157 158 159 162 165 166 167 170 171 "
    "172 173 175 176 177 178 180 181 182 183 184 185 186 187 188 189 190 191 192 193 195 196 197 198 199"
)
# Test cards' first digits, and the lengths that network issues.
ISSUERS = (
    ("411111", 16), ("424242", 16), ("400000", 16), ("555555", 16), ("510510", 16), ("222300", 16), ("378282", 15),
    ("371449", 15), ("601111", 16), ("353011", 16), ("356600", 16), ("305693", 14), ("385200", 14),
    *((prefix, length) for prefix in ("620000", "620550", "621094", "625094") for length in (16, 17, 18, 19, 19, 19)),
)  # fmt: skip
# Country, and the account number: n digit, c letter, the rest as it stands (zeros and X: no such bank).
ACCOUNTS = {
    "DE": "00000000nnnnnnnnnn", "GB": "XXXX000000nnnnnnnn", "FR": "0000000000nnnnnnnnnnnnn",
    "ES": "00000000nnnnnnnnnnnn", "NL": "XXXXnnnnnnnnnn", "IT": "X0000000000nnnnnnnnnnnn", "CH": "00000nnnnnnnnnnnn",
    "AT": "00000nnnnnnnnnnn",
    "BE": "000nnnnnnnnn", "PL": "00000000nnnnnnnnnnnnnnnn", "SE": "000nnnnnnnnnnnnnnnnn", "IE": "XXXX000000nnnnnnnn",
    "PT": "00000000nnnnnnnnnnnnn", "NO": "0000nnnnnnn", "DK": "0000nnnnnnnnnn", "AE": "000nnnnnnnnnnnnnnnn",
}  # fmt: skip
# Free numbers by country: country code, national digits (n stands for any), and how the groups are written.
FREE_NUMBERS = (
    ("44", "2079460nnn", "0aa bbbb cccc"), ("44", "1632960nnn", "0aaaa bbbbbb"), ("44", "1134960nnn", "0aaa bbb cccc"),
    ("44", "1214960nnn", "(0aaa) bbb cccc"), ("44", "7700900nnn", "0aaaa bbbbbb"),
    ("33", "19900nnnn", "0a bb cc dd ee"), ("33", "26191nnnn", "0a bb cc dd ee"), ("33", "53649nnnn", "0a.bb.cc.dd.ee"),
    ("33", "63998nnnn", "0a bb cc dd ee"),
    ("49", "3023125nnn", "0aa/bbbbbbbb"), ("49", "6990009nnn", "0aa bbbbbbbb"), ("49", "4066969nnn", "(0aa) bbb bbbbb"),
    ("61", "25550nnnn", "(0a) bbbb cccc"), ("61", "37010nnnn", "(0a) bbbb cccc"), ("61", "75550nnnn", "0a bbbb cccc"),
    ("46", "3139006nn", "0aa-bbb cc dd"), ("46", "8465004n", "0a-bbb ccc cc"),
)  # fmt: skip
SHORT_AREAS = ("351", "471", "931", "951", "971", "991")
LANDLINE_AREAS = _words("10 20 21 22 23 24 25 27 28 29 311 371 411 431 451 512 531 571 591 731 755 757 769 871 898")
LANDLINE_AREAS += SHORT_AREAS
AREAS = _words("202 206 212 215 303 305 312 404 415 503 512 602 617 646 702 713 718 808 907 919")
PLATE_PROVINCES = "冀晋蒙辽吉黑苏浙皖闽赣豫鄂湘桂琼贵云藏陕甘青宁新"
PLATE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
NAMES = _words(
    "ann ben carla david elena farid gina hugo ines jonas kira liam mona nils olga pavel rosa sami tara umut vera "
    "wanda xiaoli yuki zoe wei lili jun hao mei fang tao qiang yan"
)
SURNAMES = _words(
    "adler brook castro dunn ekman fuchs garza holt ito jansen kovac lindt mori novak ortiz price wang li zhang"
)
LABELS = _words("mail corp sales support hr lists news cs physics intranet dev team shop north")


def digits(rng: random.Random, n: int) -> str:
    """n random digits."""
    return "".join(rng.choices(DIGITS, k=n))


def county(rng: random.Random) -> str:
    """Six digits of GB/T 2260 with a real province and a prefecture that none has."""
    return f"{rng.choice(PROVINCES)}{rng.randint(96, 99)}{rng.randint(1, 29):02d}"


def fill(rng: random.Random, pattern: str) -> str:
    """A pattern with its n's replaced by random digits."""
    return "".join(rng.choice(DIGITS) if sign == "n" else sign for sign in pattern)


def cn_id(rng: random.Random) -> str:
    born = date(1949, 10, 1) + timedelta(days=rng.randrange(22_000))
    first = f"{county(rng)}{born:%Y%m%d}{rng.randint(1, 999):03d}"
    return first + checks.cn_id_check(first)


def cn_mobile(rng: random.Random) -> str:
    return rng.choice(MOBILE_PREFIXES) + digits(rng, 8)


def card(rng: random.Random) -> str:
    prefix, length = rng.choice(ISSUERS)
    first = prefix + digits(rng, length - len(prefix) - 1)
    return first + checks.luhn_check(first)


def uscc(rng: random.Random) -> str:
    organisation = "".join(rng.choices(DIGITS + "MTAY" + checks.USCC_SIGNS, k=8)) + rng.choice(DIGITS + "X")
    first = rng.choice(("91", "91", "92", "93", "12", "11", "51", "52")) + county(rng) + organisation
    return first + checks.uscc_check(first)


def email(rng: random.Random) -> str:
    name, surname = rng.choice(NAMES), rng.choice(SURNAMES)
    if rng.random() < 0.12:
        return f"0{digits(rng, rng.randint(5, 9))}@{rng.choice(('qq.com', 'vip.qq.com', 'QQ.com'))}"
    local = rng.choice(
        (
            f"{name}.{surname}", f"{name}_{surname}{rng.randint(1, 99):02d}", f"{name}{rng.randint(1950, 2009)}",
            f"{name[0]}.{surname}+{rng.choice(LABELS)}", f"{name}-{surname}", f"{name.title()}.{surname.title()}",
            f"{surname}{digits(rng, 3)}", f"{name[0]}{surname}", "".join(rng.choices(CONSONANTS + DIGITS, k=8)) + "x",
        )
    )  # fmt: skip
    zone = rng.choice(("example.com", "example.com", "example.org", "example.net", "shop.test", "uni.example"))
    return f"{local}@{rng.choice(('', '', rng.choice(LABELS) + '.'))}{zone}"


def ipv4(rng: random.Random) -> str:
    network = rng.choice(
        ("192.0.2", "198.51.100", "203.0.113", f"10.{rng.randint(0, 255)}.{rng.randint(0, 255)}",
         f"192.168.{rng.randint(0, 255)}", f"172.{rng.randint(16, 31)}.{rng.randint(0, 255)}")
    )  # fmt: skip
    return f"{network}.{rng.randint(1, 254)}"


def ipv6(rng: random.Random) -> str:
    part = lambda: f"{rng.randrange(1, 65536):x}"  # noqa: E731
    return rng.choice(
        (f"2001:db8::{part()}", f"2001:db8:{part()}:{part()}::{part()}", f"fe80::{part()}:{part()}:{part()}:{part()}",
         "2001:db8:" + ":".join(f"{rng.randrange(65536):04x}" for _ in range(6)),
         f"fd{rng.randrange(256):02x}:{part()}::1")
    )  # fmt: skip


def iban(rng: random.Random) -> str:
    country = rng.choice(list(ACCOUNTS))
    account = fill(rng, ACCOUNTS[country])
    return country + checks.iban_check(country, account) + account


def us_ssn(rng: random.Random) -> str:
    area = rng.choice((rng.randint(734, 749), rng.randint(773, 899), rng.randint(773, 899)))
    return f"{area}{rng.randint(1, 99):02d}{rng.randint(1, 9999):04d}"


def phone_e164(rng: random.Random) -> str:
    """With its country code, in one of the usual spellings."""
    if rng.random() < 0.4:
        area, last = rng.choice(AREAS), f"01{digits(rng, 2)}"
        return rng.choice(
            (f"+1 {area}-555-{last}", f"+1{area}555{last}", f"+1 ({area}) 555-{last}", f"+1-{area}-555-{last}")
        )
    code, pattern, groups = rng.choice(FREE_NUMBERS)
    national = fill(rng, pattern)
    grouped = forms.grouped_like(national, groups.replace("0a", "a", 1)).replace("(", "").replace(")", "")
    return rng.choice((f"+{code}{national}", f"+{code} {grouped}", f"00{code} {grouped}", f"+{code} (0){grouped}"))


def phone_national(rng: random.Random) -> str:
    """As it is written at home: nothing but a label says that it is a phone number."""
    if rng.random() < 0.4:
        area, last = rng.choice(AREAS), f"01{digits(rng, 2)}"
        return rng.choice((f"({area}) 555-{last}", f"{area}-555-{last}", f"{area}.555.{last}"))
    _, pattern, groups = rng.choice(FREE_NUMBERS)
    return forms.grouped_like("0" + fill(rng, pattern), groups.replace("0a", "aa", 1))


def landline(rng: random.Random) -> str:
    """Chinese, with area code: eight digits in the large cities, seven elsewhere."""
    area = rng.choice(LANDLINE_AREAS)
    local = rng.choice("2345678") + digits(rng, 6 if area in SHORT_AREAS else 7)
    plain = f"0{area}-{local}"
    return rng.choice((plain, plain, f"0{area} {local}", f"（0{area}）{local}", f"+86-{area}-{local}"))


def cn_plate(rng: random.Random) -> str:
    office = rng.choice(PLATE_PROVINCES) + rng.choice("WX")
    if rng.random() < 0.25:  # six signs: electric
        return office + rng.choice("DF") + digits(rng, 5)
    signs = list(digits(rng, 5))
    for place in rng.sample(range(5), rng.choice((0, 0, 1, 2))):
        signs[place] = rng.choice(PLATE_LETTERS)
    return office + "".join(signs)


def passport(rng: random.Random) -> str:
    """Chinese (E and eight digits, or a letter more and seven), other countries' letters and digits, nine digits."""
    return rng.choice(
        (f"E{digits(rng, 8)}", f"G{digits(rng, 8)}", f"E{rng.choice('ABCDEFGH')}{digits(rng, 7)}",
         f"PE{digits(rng, 7)}", f"C0{rng.choice('FGHJK')}X{digits(rng, 5)}", f"{rng.choice('123456')}{digits(rng, 8)}")
    )  # fmt: skip


# kind -> (type, generator). Spellings by kind stand in forms.py.
KINDS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "cn_id": ("CN_ID", cn_id), "cn_mobile": ("CN_MOBILE", cn_mobile), "card": ("CARD", card), "uscc": ("USCC", uscc),
    "email": ("EMAIL", email), "ipv4": ("IP", ipv4), "ipv6": ("IP", ipv6), "iban": ("IBAN", iban),
    "us_ssn": ("US_SSN", us_ssn), "phone_e164": ("PHONE_INTL", phone_e164), "cn_plate": ("CN_PLATE", cn_plate),
    "phone_national": ("PHONE_INTL", phone_national), "landline": ("PHONE_INTL", landline),
    "passport": ("PASSPORT", passport), "provider_key": ("SECRET", credentials.provider_key),
    "jwt": ("SECRET", credentials.jwt), "pem": ("SECRET", credentials.pem),
    "password": ("SECRET", credentials.password), "token": ("SECRET", credentials.token),
}  # fmt: skip


TYPE_OF = {kind: type for kind, (type, _) in KINDS.items()}


def draw(rng: random.Random, kind: str, plain: bool = False) -> tuple[str, str]:
    """(text, form): a value of a kind in a spelling drawn at random, or in the plain one.

    Raises KeyError for an unknown kind.
    """
    text = KINDS[kind][1](rng)
    return forms.spell(rng, kind, text, "bare" if plain and "bare" in forms.of(kind) else None)


def value(rng: random.Random, kind: str, form: str | None = None) -> Value:
    """A value of a kind, in a spelling: the given one, or drawn, the plain ones more often.

    Raises KeyError for an unknown kind, ValueError for a spelling the kind does not have (`forms.of(kind)` lists them).

    >>> value(random.Random(0), "cn_mobile", "dash").form
    'dash'
    """
    type, make = KINDS[kind]
    plain = make(rng)
    while form == "lower" and plain == plain.lower():  # an ID whose check sign is no X has no case
        plain = make(rng)
    text, form = forms.spell(rng, kind, plain, form)
    return Value(text, type, form)
