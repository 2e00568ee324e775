"""Is the made-up data what it says it is? Judged by the arithmetic of python-stdnum and phonenumbers, not ours."""

from __future__ import annotations

import base64
import ipaddress
import json
import random
import re
import time
import uuid
from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from stdnum import iban, imei, isbn, luhn
from stdnum.cn import ric, uscc
from stdnum.us import ssn

from dslab.privacy import TYPES, Detector
from dslab.privacy.spelling import normalise
from dslab.privacy.synthetic import documents, negatives, values
from dslab.privacy.synthetic import forms as spellings

ROOT = Path(__file__).parents[2]
EVERY_FORM = [(kind, form) for kind in values.KINDS for form in spellings.of(kind)]
PRIVATE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fe80::/10", "fd00::/8")]
DOCUMENTATION = [
    ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
# What no committed file may hold: shapes that a code host's push protection knows. Built of halves, like the keys.
KEY_SHAPES = re.compile(
    "|".join(
        (
            "AK" + "IA[A-Z2-7]{16}", "gh" + "[pousr]_[A-Za-z0-9]{30,}", "github" + "_pat_[A-Za-z0-9_]{40,}",
            "gl" + "pat-[A-Za-z0-9_-]{20}", "s" + "k-(?:proj-|ant-)?[A-Za-z0-9]{30,}",
            "sk" + "_live_[A-Za-z0-9]{20,}", "AI" + "za[A-Za-z0-9_-]{35}", "h" + "f_[A-Za-z]{30,}",
            "np" + "m_[A-Za-z0-9]{36}", "LT" + "AI[A-Za-z0-9]{16,}", "xo" + "x[abp]-[0-9]{8,}-[A-Za-z0-9-]{20,}",
            "ey" + "J[A-Za-z0-9_-]{15,}[.]ey" + "J[A-Za-z0-9_-]{15,}[.][A-Za-z0-9_-]{10,}",
            "-----BEGIN [A-Z ]*PRIVATE " + r"KEY-----(?:\s|\\n|[\"',])*[A-Za-z0-9+/=]{40,}",
        )
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def docs() -> list[dict[str, Any]]:
    return documents(1600, seed=3)


def digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def is_value(type: str, text: str) -> bool:
    """Is the text a value of its type and nothing more, by checks that are not dslab's?"""
    code = normalise(type, text)
    match type:
        case "CN_ID":
            return len(code) == 18 and ric.calc_check_digit(code) == code[-1] and _birth_date(code) < date.today()
        case "CARD":
            return bool(re.fullmatch("[0-9]{13,19}", code)) and luhn.is_valid(code)
        case "USCC":
            return len(code) == 18 and uscc.calc_check_digit(code) == code[-1]
        case "IBAN":
            return iban.is_valid(code, check_country=False)
        case "US_SSN":
            return len(code) == 9 and ssn.is_valid(f"{code[:3]}-{code[3:5]}-{code[5:]}")
        case "CN_MOBILE":
            return is_chinese_mobile(code)
        case "PHONE_INTL":
            return 8 <= len(digits(text)) <= 15 and not re.search(r"[A-Za-z\n]", text)
        case "EMAIL":
            return bool(re.fullmatch(r"[a-z0-9.+_-]+@[a-z0-9-]+(\.[a-z0-9-]+)+", code))
        case "IP":
            return bool(ipaddress.ip_address(code))
        case "CN_PLATE":
            return bool(re.fullmatch("[\u4e00-\u9fff][A-Z][A-HJ-NP-Z0-9]{5,6}", code))
        case "PASSPORT":
            return bool(re.fullmatch("[A-Z0-9]{8,9}", code)) and len(digits(code)) >= 6
    return type == "SECRET" and len(text) >= 8 and text == text.strip()


def is_chinese_mobile(code: str) -> bool:
    if len(code) != 11 or code.startswith("149"):  # 149 is in use, and missing in their tables
        return len(code) == 11
    try:
        number = phonenumbers.parse(code, "CN")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE


def _birth_date(code: str) -> date:
    return date.fromisoformat(f"{code[6:10]}-{code[10:12]}-{code[12:14]}")


def test_all_follows_from_the_seed(docs: list[dict[str, Any]]) -> None:
    assert documents(40, seed=3) == docs[:40]
    assert documents(40, seed=4) != docs[:40]
    for kind in values.KINDS:
        assert values.value(random.Random(5), kind) == values.value(random.Random(5), kind)
    for kind in negatives.KINDS:
        assert negatives.negative(random.Random(5), kind) == negatives.negative(random.Random(5), kind)


def test_spans_and_look_alikes_lie_apart_in_their_text(docs: list[dict[str, Any]]) -> None:
    for doc in docs:
        marks = sorted((mark["start"], mark["end"]) for mark in doc["spans"] + doc["neg"])
        assert all(0 <= start < end <= len(doc["text"]) for start, end in marks)
        assert all(before[1] <= after[0] for before, after in pairwise(marks)), doc["id"]


def test_a_span_holds_a_value_and_nothing_more(docs: list[dict[str, Any]]) -> None:
    wrong = []
    for doc in docs:
        for span in doc["spans"]:
            text = doc["text"][span["start"] : span["end"]]
            if text != text.strip() or not is_value(span["type"], text):
                wrong.append((span["type"], span["form"], text))
    assert wrong == []


def test_documents_hold_every_type_kind_form_and_language(docs: list[dict[str, Any]]) -> None:
    assert Counter(doc["lang"] for doc in docs) == {"en": 800, "zh": 800}
    types = Counter(span["type"] for doc in docs for span in doc["spans"])
    kinds = Counter(mark["kind"] for doc in docs for mark in doc["neg"])
    assert set(types) == set(TYPES)
    assert min(types.values()) >= 50
    assert set(kinds) == set(negatives.KINDS)
    assert min(kinds.values()) >= 10
    seen = {span["form"] for doc in docs for span in doc["spans"]}
    assert seen == {form for _, form in EVERY_FORM}
    assert any(not doc["spans"] for doc in docs), "clean documents belong to the data too"


@pytest.mark.parametrize(("kind", "form"), EVERY_FORM)
def test_a_spelling_changes_nothing_but_the_looks(kind: str, form: str) -> None:
    for seed in range(15):
        spelled = values.value(random.Random(seed), kind, form)
        assert (spelled.type, spelled.form) == (values.TYPE_OF[kind], form)
        assert is_value(spelled.type, spelled.text), spelled.text
        if form == "lower":  # may draw again, until there is a letter to be lowered
            assert spelled.text != spelled.text.upper()
            continue
        plain = values.value(random.Random(seed), kind, "bare")
        assert normalise(spelled.type, spelled.text) == normalise(plain.type, plain.text)
        if form not in ("bare", "upper", "percent"):  # these two may have nothing to change
            assert spelled.text != plain.text


def test_draw_gives_a_text_and_its_form() -> None:
    assert {kind: type for kind, (type, _) in values.KINDS.items()} == values.TYPE_OF
    assert set(values.TYPE_OF.values()) == set(TYPES)
    for kind in values.KINDS:
        text, form = values.draw(random.Random(1), kind)
        assert form in spellings.of(kind)
        assert is_value(values.TYPE_OF[kind], text)
        text, form = values.draw(random.Random(1), kind, plain=True)
        assert form == "bare"
        assert is_value(values.TYPE_OF[kind], text)


def test_values_belong_to_nobody_where_a_range_is_kept_free() -> None:
    rng = random.Random(8)
    for _ in range(400):
        assert int(values.cn_id(rng)[2:4]) >= 96  # no province has such a prefecture
        assert int(values.uscc(rng)[4:6]) >= 96
        area = int(values.us_ssn(rng)[:3])
        assert area in range(734, 750) or area in range(773, 900)  # given to nobody before 2011
        name, _, domain = values.email(rng).partition("@")
        reserved = re.search(r"(^|\.)(example\.(com|net|org)|test|example)$", domain)
        assert reserved or (domain.lower().endswith("qq.com") and name[0] == "0")
        addresses = [ipaddress.ip_address(make(rng)) for make in (values.ipv4, values.ipv6)]
        assert all(any(a in net for net in DOCUMENTATION + PRIVATE) for a in addresses)
        assert values.cn_plate(rng)[1] in "WX"
        account = values.iban(rng)[4:]
        assert re.match("X?0{3}|XXXX", account)
        for phone in (values.phone_e164(rng), values.phone_national(rng)):
            film = "|".join(national[:5] for _, national, _ in values.FREE_NUMBERS)
            assert re.search(f"55501[0-9]{{2}}$|{film}", digits(phone)), phone


def test_phone_numbers_read_as_such_by_phonenumbers() -> None:
    rng = random.Random(9)
    for _ in range(300):
        abroad = re.sub("^00", "+", values.phone_e164(rng))
        assert phonenumbers.is_possible_number(phonenumbers.parse(abroad, None)), abroad
        at_home = values.landline(rng)
        assert phonenumbers.is_valid_number(phonenumbers.parse(at_home, "CN")), at_home


def test_tokens_and_key_blocks_are_well_formed() -> None:
    rng = random.Random(10)
    for _ in range(50):
        head, claims, signature = values.value(rng, "jwt").text.split(".")
        assert json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["alg"] == "HS256"
        assert "sub" in json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        assert len(signature) >= 40
        first, *body, last = values.value(rng, "pem").text.splitlines()
        assert first.replace("BEGIN", "END") == last
        assert len(base64.b64decode("".join(body), validate=True)) >= 100


def test_a_form_that_a_kind_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="ipv4 is spelled"):
        values.value(random.Random(0), "ipv4", "apart")
    with pytest.raises(ValueError, match="hand"):
        documents(1, seed=0, hand="third")
    with pytest.raises(ValueError, match="n >= 0"):
        documents(-1, seed=0)


def drawn(kind: str, n: int = 200) -> list[str]:
    rng = random.Random(kind)
    return [negatives.negative(rng, kind).text for _ in range(n)]


def test_bad_numbers_fail_the_check_that_makes_a_value() -> None:
    for text in drawn("bad_cn_id"):
        assert not ric.is_valid(text)
        held = ric.calc_check_digit(text) == text[-1]
        month = 1 <= int(text[10:12]) <= 12
        assert not (held and month and text[:2] in values.PROVINCES), text
    assert not any(luhn.is_valid(digits(text)) for text in drawn("bad_card"))
    assert not any(uscc.calc_check_digit(text) == text[-1] for text in drawn("bad_uscc"))
    assert not any(iban.is_valid(text, check_country=False) for text in drawn("bad_iban"))
    assert not any(ssn.is_valid(text) for text in drawn("bad_ssn"))


def test_bad_cn_ids_are_bad_in_each_of_three_ways() -> None:
    texts = drawn("bad_cn_id")
    ways = {(ric.calc_check_digit(t) == t[-1], int(t[10:12]) <= 12, t[:2] in values.PROVINCES) for t in texts}
    assert ways == {(False, True, True), (True, False, True), (True, True, False)}


@pytest.mark.parametrize("kind", sorted(set(negatives.KINDS) - {"imei", "isbn"}))
def test_no_look_alike_is_a_card_a_company_or_an_identity_number(kind: str) -> None:
    for text in drawn(kind):
        code = re.sub("[ -]", "", text).upper()  # a point or a comma divides no number
        number = code.isdigit() and 12 <= len(code) <= 19
        assert not (number and luhn.is_valid(code)), text
        assert not (len(code) == 18 and set(code) <= set("0123456789ABCDEFGHJKLMNPQRTUWXY") and uscc.is_valid(code))
        assert not re.fullmatch("[0-9]{17}[0-9X]", code) or not ric.is_valid(code), text


def test_look_alikes_are_what_their_name_says() -> None:
    assert all(isbn.is_valid(text) for text in drawn("isbn"))
    assert all(imei.is_valid(text) for text in drawn("imei"))
    assert all(uuid.UUID(text).version == 4 for text in drawn("uuid"))
    assert all(re.fullmatch("([0-9a-f]{2}[:-]){5}[0-9a-f]{2}", text) for text in drawn("mac"))
    assert all(ipaddress.ip_address(text) for text in drawn("version4"))  # only words tell it from an address
    assert not any(is_chinese_mobile(text) for text in drawn("eleven_digits"))
    assert len(negatives.KINDS) >= 35


def readable(path: Path) -> str:
    """A file without the pictures in it: 100 kB of base64 hold four letters of a prefix by chance."""
    return re.sub(r'"image/png": "[A-Za-z0-9+/=\\n]*"', '""', path.read_text(encoding="utf-8"))


def test_no_file_of_the_repository_holds_the_shape_of_a_key() -> None:
    rng = random.Random(11)
    made = [values.value(rng, kind).text for kind in ("provider_key", "jwt", "pem") for _ in range(100)]
    assert all(KEY_SHAPES.search(key) for key in made), "the scan below must know what it looks for"
    sources = [path for folder in ("dslab", "tests", "notebooks") for path in sorted((ROOT / folder).rglob("*"))]
    sources = [path for path in sources if path.suffix in (".py", ".ipynb", ".md", ".toml", ".json", ".yml")]
    assert len(sources) > 50
    assert [str(path) for path in sources if KEY_SHAPES.search(readable(path))] == []


def test_the_detector_sees_no_key_in_the_sources_that_make_them() -> None:
    """A keyword beside a word (`password | passwd`) is its business; a key's own shape is ours."""
    detector = Detector(types=("SECRET",))
    for folder in ("synthetic", "recognizers"):
        for path in sorted((ROOT / "dslab" / "privacy" / folder).glob("*.py")):
            found = [span.rule for span in detector.find(path.read_text(encoding="utf-8"))]
            assert [rule for rule in found if "keyword" not in rule] == [], path.name


def test_ten_thousand_documents_take_seconds() -> None:
    start = time.process_time()
    documents(1000, seed=12)
    assert time.process_time() - start < 3  # 0.3 s on an idle core
