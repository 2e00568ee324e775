"""Hard negatives: what looks like a value and is none. A cleaner that takes them spoils code, logs and order books.

Each kind says why it is none: its check fails by construction, its length or first digits are impossible, or it is
another thing altogether (a version, a digest, a decorator). None passes the check of a type by chance: where a random
number could, it is drawn until it does not.
"""

from __future__ import annotations

import random
import uuid as _uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from dslab.privacy.synthetic import checks, values
from dslab.privacy.synthetic.pieces import Negative
from dslab.privacy.synthetic.values import digits

HEX = "0123456789abcdef"
UPPER = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def _hex(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(HEX, k=n))


def _wrong(rng: random.Random, right: str, signs: Sequence[str] = "0123456789") -> str:
    """Any check sign but the right one."""
    return rng.choice([sign for sign in signs if sign != right])


def _filled(rng: random.Random, *patterns: str) -> str:
    """One of the patterns, a random digit for each #."""
    return "".join(rng.choice(values.DIGITS) if sign == "#" else sign for sign in rng.choice(patterns))


def _moment(rng: random.Random) -> datetime:
    return datetime(2012, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(420_000_000))


def order_number(rng: random.Random) -> str:
    """Begins with a date, as shops number orders, or with letters: no card does."""
    day = f"{_moment(rng):%Y%m%d}"
    return _filled(
        rng, day + "#" * 6, day + "#" * 8, day + "#" * 10, day + "#" * 12, f"DD{day}########", f"SO-{day}-#####"
    )


def tracking_number(rng: random.Random) -> str:
    return _filled(rng, "SF#############", "YT#############", "1Z###E############", "RA#########CN")


def timestamp(rng: random.Random) -> str:
    """Unix time in seconds, milliseconds, microseconds."""
    return str(int(_moment(rng).timestamp())) + digits(rng, rng.choice((0, 3, 6)))


def date_time(rng: random.Random) -> str:
    patterns = ("%Y%m%d%H%M%S", "%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S%f", "%d/%m/%Y %H:%M", "%Y-%m-%dT%H:%M:%SZ")
    return _moment(rng).strftime(rng.choice(patterns))


def isbn(rng: random.Random) -> str:
    """ISBN-13 with its check digit, with and without dashes."""
    first = f"978{rng.choice('07')}{digits(rng, 8)}"
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(first))
    code = first + str(-total % 10)
    return rng.choice((code, f"{code[:3]}-{code[3]}-{code[4:8]}-{code[8:12]}-{code[12]}"))


def barcode(rng: random.Random) -> str:
    return "69" + digits(rng, 11)


def uuid(rng: random.Random) -> str:
    return str(_uuid.UUID(int=rng.getrandbits(128), version=4))


def digest(rng: random.Random) -> str:
    """MD5, SHA-1, SHA-256; git's long and short names."""
    return _hex(rng, rng.choice((32, 40, 64, 12)))


def mac(rng: random.Random) -> str:
    return rng.choice(":-").join(_hex(rng, 2) for _ in range(6))


def imei(rng: random.Random) -> str:
    """15 digits with a right Luhn digit, and no card network's first digits."""
    first = rng.choice(("86", "35", "01", "99")) + digits(rng, 12)
    return first + checks.luhn_check(first)


def version4(rng: random.Random) -> str:
    """Four parts, every one below 256: only the words around say that this is no address."""
    return ".".join(str(rng.randint(low, high)) for low, high in ((1, 12), (0, 20), (0, 30), (1, 9)))


def build_number(rng: random.Random) -> str:
    return f"{rng.randint(90, 140)}.0.{rng.randint(4000, 6999)}.{rng.randint(10, 240)}"


def object_identifier(rng: random.Random) -> str:
    return "1.3.6.1.4.1." + ".".join(str(rng.randint(1, 9999)) for _ in range(rng.randint(2, 4)))


def section_number(rng: random.Random) -> str:
    return ".".join(str(rng.randint(1, 12)) for _ in range(rng.choice((3, 4))))


def decimal(rng: random.Random) -> str:
    random_one = rng.choice((f"{rng.uniform(0, 10):.15f}", f"{rng.uniform(1e9, 1e12):.6f}"))
    return rng.choice((random_one, f"0.{digits(rng, 16)}", "3.14159265358979"))


def money(rng: random.Random) -> str:
    return f"{rng.randint(1, 999)},{digits(rng, 3)},{digits(rng, 3)}.{digits(rng, 2)}"


def coordinates(rng: random.Random) -> str:
    return f"{rng.uniform(-90, 90):.7f}, {rng.uniform(-180, 180):.7f}"


def arithmetic(rng: random.Random) -> str:
    a, b = rng.randint(10**10, 10**11 - 1), rng.randint(2, 9)
    return rng.choice((f"{a} * {b} = {a * b}", f"2^{b + 40} = {2 ** (b + 40)}"))


def bad_cn_id(rng: random.Random) -> str:
    """Wrong check digit, a 13th month, or a province that is none (the check digit then holds)."""
    good = values.cn_id(rng)
    how = rng.randrange(3)
    if how == 0:
        return good[:17] + _wrong(rng, good[17])
    first = (
        good[:10] + f"{rng.randint(13, 19)}" + good[12:17]
        if how == 1
        else rng.choice(("09", "18", "47", "99")) + good[2:17]
    )
    return first + checks.cn_id_check(first)


def bad_card(rng: random.Random) -> str:
    good = values.card(rng)
    bad = good[:-1] + _wrong(rng, good[-1])
    return rng.choice((bad, " ".join(bad[i : i + 4] for i in range(0, len(bad), 4))))


def bad_uscc(rng: random.Random) -> str:
    good = values.uscc(rng)
    return good[:17] + _wrong(rng, good[17], "23456789BCDFGH")


def bad_iban(rng: random.Random) -> str:
    """Check digits 02..98 are 97 different remainders, so any others are wrong."""
    good = values.iban(rng)
    return good[:2] + _wrong(rng, good[2:4], [f"{n:02d}" for n in range(2, 99)]) + good[4:]


def bad_ssn(rng: random.Random) -> str:
    """Area 000, 666 or 9xx, group 00, serial 0000: none was ever given out."""
    return _filled(rng, "000-##-####", "666-##-####", "9##-2#-####", "3##-00-####", "4##-12-0000")


def eleven_digits(rng: random.Random) -> str:
    """As long as a mobile number, with a prefix that no carrier has; or one digit too many."""
    return _filled(rng, "10#########", "12#########", "2##########", "7##########", "154########", "138#########")


def hotline(rng: random.Random) -> str:
    """400 and 800 numbers and short codes: a company's, nobody's."""
    return _filled(rng, "400-###-####", "400#######", "800-###-####", "95588", "12306", "10086", "95555")


def decorator(rng: random.Random) -> str:
    return rng.choice(("@property", "@staticmethod", "@app.route", "@pytest.mark.slow", "@Override", "@media"))


def git_remote(rng: random.Random) -> str:
    host = rng.choice(("github.com", "gitlab.example.org", "gitee.com"))
    return f"git@{host}:{rng.choice(values.NAMES)}/{rng.choice(values.SURNAMES)}.git"


def retina_file(rng: random.Random) -> str:
    name, ending = rng.choice(("icon", "logo", "banner", "btn_close")), rng.choice(("png", "jpg", "webp"))
    return f"{name}@{rng.choice('23')}x.{ending}"


def machine_login(rng: random.Random) -> str:
    return rng.choice(
        ("root@db01", "ubuntu@web-03", "admin@localhost", "postgres@node7", "root@iZbp1", "pi@raspberrypi")
    )


def package(rng: random.Random) -> str:
    version = f"{rng.randint(1, 20)}.{rng.randint(0, 30)}.{rng.randint(0, 9)}"
    return f"@{rng.choice(('babel', 'types', 'vue', 'angular'))}/core@{version}"


def handle(rng: random.Random) -> str:
    return f"@{rng.choice(values.NAMES)}_{rng.choice(values.SURNAMES)}{rng.randint(1, 99)}"


def qq_number(rng: random.Random) -> str:
    """Five to nine digits: an account name, shorter than any number that is looked for."""
    return str(rng.randint(10_000, 999_999_999))


def part_number(rng: random.Random) -> str:
    letters = "".join(rng.choices(UPPER, k=3))
    return _filled(rng, f"{letters}-####-####", f"{letters}########", "####-######-##")


def stock(rng: random.Random) -> str:
    return _filled(rng, "600###.SH", "000###.SZ", "沪A指数#####", "京A股######")


def clock(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}.{digits(rng, 3)}"


def scope(rng: random.Random) -> str:
    return rng.choice(("std::vector", "ab::cd", "Foo::bad", "std::cout", "dead::beef()", "a::b::c"))


def placeholder(rng: random.Random) -> str:
    """Stands where a key would: written by hand, no key."""
    crossed = rng.choice(("s" + "k-", "gh" + "p_", "AK" + "IA")) + "x" * 24
    return rng.choice(("<YOUR_API_KEY>", "your-api-key-here", "${API_TOKEN}", crossed, "REPLACE_ME", "getenv('TOKEN')"))


def hex_colour(rng: random.Random) -> str:
    return f"#{_hex(rng, 6)}"


def doi(rng: random.Random) -> str:
    return _filled(rng, "10.1###/s4####-0##-#####-#", "10.5#/jmlr.2#.1###", "arXiv:2###.#####")


def vehicle_number(rng: random.Random) -> str:
    """A VIN: 17 signs, without I, O and Q."""
    return "L" + "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ" + "0123456789", k=10)) + digits(rng, 6)


def digit_stretch(rng: random.Random) -> str:
    """A mobile number or a card in the middle of a longer run of digits belongs to that run."""
    return rng.choice("123456789") + digits(rng, 5) + values.cn_mobile(rng) + digits(rng, rng.choice((7, 13, 20)))


KINDS: dict[str, Callable[[random.Random], str]] = {
    make.__name__: make
    for make in (
        order_number, tracking_number, timestamp, date_time, isbn, barcode, uuid, digest, mac, imei, version4,
        build_number, object_identifier, section_number, decimal, money, coordinates, arithmetic, bad_cn_id, bad_card,
        bad_uscc, bad_iban, bad_ssn, eleven_digits, hotline, decorator, git_remote, retina_file, machine_login, package,
        handle, qq_number, part_number, stock, clock, scope, placeholder, hex_colour, doi, vehicle_number,
        digit_stretch,
    )
}  # fmt: skip


def negative(rng: random.Random, kind: str | None = None) -> Negative:
    """A look-alike of a kind, or of any. Raises KeyError for an unknown kind.

    >>> negative(random.Random(0), "retina_file").kind
    'retina_file'
    """
    kind = rng.choice(list(KINDS)) if kind is None else kind
    while True:
        text = KINDS[kind](rng)
        if kind in ("imei", "isbn") or not _passes("".join(filter(str.isalnum, text))):
            return Negative(text, kind)


def _passes(code: str) -> bool:
    """Does a card's or a company's check hold by chance? Then it is no look-alike but a value."""
    if code.isdigit() and 12 <= len(code) <= 19 and code[-1] == checks.luhn_check(code[:-1]):
        return True
    signs = set(checks.USCC_SIGNS)
    return len(code) == 18 and set(code) <= signs and code[-1] == checks.uscc_check(code[:-1])
