"""Masking: what each mode writes, and that a second run changes nothing, wherever a value stands."""

import json
import pickle
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spelled_values import NAMED, PLACES, values

from dslab.privacy import TYPES, Detector, Masker, Recognizer, Span
from dslab.privacy.keys import keyed_digest
from dslab.privacy.masking import MODES, _Piece, _without_overlap
from dslab.privacy.surrogates import surrogate

KEY = bytes(range(32))
DETECTOR = Detector()
MASKERS = {mode: Masker(DETECTOR, mode=mode, key=KEY) for mode in MODES}
EVERY_MODE = pytest.mark.parametrize("mode", MODES)


def masked(mode, text):
    return MASKERS[mode].apply(text)[0]


def assert_settled(masker, text):
    once, spans = masker.apply(text)
    again, left = masker.apply(once)
    assert again == once
    assert left == []
    return once, spans


# -- what is written --------------------------------------------------------------------------------------------------


def test_tag_writes_the_type():
    text, spans = MASKERS["tag"].apply("邮箱ann@example.com，电话13800138000。")
    assert text == "邮箱<EMAIL>，电话<CN_MOBILE>。"
    assert [(s.start, s.end, s.type) for s in spans] == [(2, 17, "EMAIL"), (20, 31, "CN_MOBILE")]


def test_hmac_writes_sixteen_digits_of_the_documented_formula():
    text = masked("hmac", "电话 138 0013 8000 or ＋８６１３８００１３８０００")
    name = keyed_digest(KEY, "CN_MOBILE", "13800138000").hex()[:16]
    assert text == f"电话 <CN_MOBILE:{name}> or <CN_MOBILE:{name}>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("手机13800138000", "手机138****8000"),
        ("手机+86 138-0013-8000", "手机+86 138-****-8000"),
        ("手机１３８００１３８０００", "手机１３８＊＊＊＊８０００"),
        ("手机008613800138000", "手机****138****8000"),
        ("card 4111 1111 1111 1111", "card **** **** **** 1111"),
        ("身份证11010519491231002X", "身份证11**************2X"),
        ("mail john.doe@example.com", "mail j*******@example.com"),
        ("server 192.0.2.17", "server 192.0.*.**"),
        ("server 2001:db8::1", "server 2001:db8***"),
        ("server 2001:0db8:0012:0000:0000:0000:0000:0001", "server 2001:0db8" + "*" * 30),
        ("server fe80::1:2%eth0", "server fe80" + "*" * 5 + "%eth0"),
        ("SSN 219-09-9999", "SSN ***-**-9999"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "IBAN GB** **** **** **** **54 32"),
        ("phone +44 20 7946 0958", "phone +** ** **** 0958"),
        ("护照号E12345678", "护照号E******78"),
        ("车牌京A·12345", "车牌京A·****5"),
        ("USCC 91350100M000100Y43", "USCC 91**************43"),
    ],
)
def test_partial_keeps_what_people_know_their_value_by(text, expected):
    assert masked("partial", text) == expected


def test_partial_shows_no_more_than_four_digits_of_a_card():
    for type, value in values(3):
        if type == "CARD":
            text = masked("partial", f"card {value} ")
            assert sum(char.isdigit() for char in text) in (0, 4)  # 0: the tag


def test_secrets_show_their_maker_only():
    key = "gh" + "p_" + "A1b2C3d4" * 5
    assert masked("partial", f"token {key}") == "token " + "gh" + "p_" + "*" * 40
    assert masked("partial", "password=h7nterZ!x9") == "password=**********"
    block = f"-----BEGIN {'PRIVATE'} KEY-----\n" + "Ab3" * 30 + f"\n-----END {'PRIVATE'} KEY-----"
    assert masked("partial", f"密钥：{block}") == "密钥：" + re.sub(
        "Ab3|-----(?=BEGIN|END)", lambda m: "*" * len(m[0]), block
    )


def test_spans_are_those_of_the_original():
    text = "Tel ００８６ １３８００１３８０００, mail a%40example.com, card 4111-1111-1111-1111"
    for masker in MASKERS.values():
        _, spans = masker.apply(text)
        assert [text[s.start : s.end] for s in spans] == [
            "００８６ １３８００１３８０００",
            "a%40example.com",
            "4111-1111-1111-1111",
        ]


@EVERY_MODE
def test_what_holds_no_value_comes_back_as_it_is(mode):
    for text in (
        "",
        "nothing here",
        "订单号 20240315123456",
        "a\ud800b <b> \x00 \ue000",
        "<CN_ID> <CN_ID:0123456789abcdef>",
    ):
        assert MASKERS[mode].apply(text) == (text, [])


def test_apply_spans_masks_what_it_is_given():
    text = "Ann met Bob."
    spans = [Span(8, 11, "PERSON", 1.0, "mine:"), Span(0, 3, "PERSON", 1.0, "mine:")]
    assert MASKERS["tag"].apply_spans(text, spans) == "<PERSON> met <PERSON>."
    for wrong in (
        [Span(0, 5, "A", 1, "x:"), Span(4, 6, "A", 1, "x:")],
        [Span(5, 13, "A", 1, "x:")],
        [Span(-1, 2, "A", 1, "x:")],
    ):
        with pytest.raises(ValueError, match="must lie in the text and not overlap"):
            MASKERS["tag"].apply_spans(text, wrong)


def test_spans_that_are_no_value_of_their_type_are_masked_too():
    for type in TYPES:
        for value in ("?", "x", "1.2", "@", "[", "100000000000000000000000000000", "十", "a@b", "::"):
            for mode in MODES:
                span = Span(0, len(value), type, 1.0, "mine:")
                assert isinstance(MASKERS[mode].apply_spans(value, [span]), str)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["surrogate", "hmac"])
def test_a_keyed_mode_without_a_key_says_what_to_do(mode):
    with pytest.raises(ValueError, match=r"needs a key of at least 32 bytes.*load_key"):
        Masker(DETECTOR, mode=mode)
    with pytest.raises(ValueError, match="has 5 bytes; at least 32"):
        Masker(DETECTOR, mode=mode, key=b"short")
    with pytest.raises(ValueError, match="empty"):
        Masker(DETECTOR, mode=mode, key=b"")
    with pytest.raises(TypeError, match="must be bytes"):
        Masker(DETECTOR, mode=mode, key="k" * 40)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode must be one of tag, partial, surrogate, hmac; got 'blur'"):
        Masker(DETECTOR, mode="blur")


def test_a_masker_prints_no_key_and_travels():
    masker = Masker(DETECTOR, mode="hmac", key=b"do not show this key: 0123456789")
    assert "show this" not in repr(masker)
    text = "call 13800138000"
    assert pickle.loads(pickle.dumps(masker)).apply(text) == masker.apply(text)


# -- masking twice changes nothing ------------------------------------------------------------------------------------


@EVERY_MODE
def test_every_value_in_every_place(mode):
    found = set()
    for type, value in values(1):
        for place in PLACES:
            text = place.replace("{}", value)
            once, spans = assert_settled(MASKERS[mode], text)
            found |= {span.type for span in spans}
            for gone in {text[s.start : s.end] for s in spans}:
                assert once.count(gone) <= text.count(gone) - sum(text[s.start : s.end] == gone for s in spans)
        named = NAMED[type].replace("{}", value)
        assert any(s.end - s.start >= 5 for s in MASKERS[mode].apply(named)[1]), named  # the test tests something
    assert found == set(TYPES)


@EVERY_MODE
@settings(max_examples=100, deadline=None)
@given(
    picks=st.lists(st.tuples(st.sampled_from(values(2)), st.sampled_from(PLACES)), min_size=1, max_size=4),
    joint=st.sampled_from(
        ["", " ", "  ", ",", "、", "\n", "/", "-", ".", ":", "；", "|", "\t", " or ", "和", "@", "="]
    ),
)
def test_values_side_by_side(mode, picks, joint):
    bare = joint.join(value for (_, value), _ in picks)
    placed = joint.join(place.replace("{}", value) for (_, value), place in picks)
    inside = picks[0][1].replace("{}", bare)
    for text in (bare, placed, inside):
        assert_settled(MASKERS[mode], text)


@EVERY_MODE
@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="0123456789+-() .:/@<>_xXAeE电话卡护照SN", max_size=80))
def test_noise(mode, text):
    assert_settled(MASKERS[mode], text)


@EVERY_MODE
def test_masks_of_one_mode_survive_all_others(mode):
    text = " ".join(NAMED[type].replace("{}", value) for type, value in values(4) if type != "SECRET")
    once = masked(mode, text)
    for other in ("tag", "surrogate", "hmac"):
        if mode != "partial":
            assert MASKERS[other].apply(once) == (once, [])
    other_key = Masker(DETECTOR, mode=mode, key=bytes(range(1, 33)))
    assert other_key.apply(once)[0] == once


def test_a_tag_is_no_label_and_hides_the_label_before_it():
    # 6304... is a card only where a word says so. "<CARD>" is such a word to a reader, not to a second run.
    rare = "6304000000000000"
    assert MASKERS["tag"].apply(f"<CARD> {rare}") == (f"<CARD> {rare}", [])
    assert MASKERS["tag"].apply(f"card {rare}")[0] == "card <CARD>"
    assert MASKERS["tag"].apply(f"card <CARD> {rare}") == (f"card <CARD> {rare}", [])


def test_what_a_mask_uncovers_is_masked_too_and_reported():
    class Series:
        """Numbers of a series are found one at a time: the last that is not followed by another."""

        def find(self, text):
            end = len(text.rstrip())
            while end > 0 and not text[end - 1].isdigit():
                end -= 1
            start = end
            while start > 0 and text[start - 1].isdigit():
                start -= 1
            return [Span(start, end, "CARD", 1.0, "card:")] if start < end else []

    text, spans = Masker(Series()).apply("1111 2222 3333")
    assert text == "<CARD> <CARD> <CARD>"
    assert [(s.start, s.end) for s in spans] == [(0, 4), (5, 9), (10, 14)]
    # A long series ends after a fixed number of searches: the rest of its run goes at once.
    text, spans = Masker(Series()).apply(" ".join(["4111"] * 200))
    assert not any(char.isdigit() for char in text)
    assert len(spans) < 10


def test_stars_that_are_found_give_way_to_a_tag():
    class Stars:
        """Believes that everything after "pw=" is a secret, stars included."""

        def find(self, text):
            at = text.find("pw=")
            is_value = at >= 0 and text[at + 3 :] and "\ue000" not in text[at:]
            return [Span(at + 3, len(text), "SECRET", 1.0, "s:")] if is_value else []

    assert Masker(Stars(), mode="partial").apply("pw=hunter2") == ("pw=<SECRET>", [Span(3, 10, "SECRET", 1.0, "s:")])
    once, _ = assert_settled(Masker(Stars(), mode="hmac", key=KEY), "pw=hunter2")
    assert once.startswith("pw=<SECRET:")


def test_a_find_that_reaches_over_a_mask_takes_it_along():
    class Brackets:
        def find(self, text):
            start, end = text.find("["), text.find("]")
            spans = [Span(start, end + 1, "BLOCK", 1.0, "b:")] if 0 <= start < end and "ab" not in text else []
            at = text.find("ab")
            return [*spans, Span(at, at + 2, "AB", 1.0, "ab:")] if at >= 0 else spans

    masker = Masker(Brackets())
    masker.detector.recognizers = (Recognizer("AB", "ab"), Recognizer("BLOCK", "x"))
    text, spans = masker.apply("see [1 ab 2] end")
    assert text == "see <BLOCK> end" or text == "see <AB> end"
    assert [(s.start, s.end) for s in spans] == [(4, 12)]
    assert masker.apply(text) == (text, [])


class Quoted:
    """Finds what stands between quotes, whatever it is."""

    def find(self, text):
        return [Span(m.start() + 1, m.end() - 1, "SECRET", 1.0, "q:") for m in re.finditer('"[^"]+"', text)]


def test_a_find_that_begins_or_ends_in_a_mask_takes_all_of_it_and_a_mask_alone_stays():
    masker = Masker(Quoted())
    for quoted in ("<EMAIL> y", "y <EMAIL>", "<EMAIL> y <CARD:0123456789abcdef>", "y"):
        text = f'<IP> a "{quoted}" b <IP>'
        assert masker.apply(text)[0] == '<IP> a "<SECRET>" b <IP>'
        assert [text[s.start : s.end] for s in masker.find(text)] == [quoted]
    assert masker.apply('a "<EMAIL>" b') == ('a "<EMAIL>" b', [])
    # Walls at both ends: the find is text in between and the masks around it.
    assert masker.find('"<EMAIL><EMAIL>"') == [Span(1, 15, "SECRET", 1.0, "q:")]


def test_surrogates_are_left_by_their_form_whatever_finds_them():
    class Everything:
        def __init__(self, type):
            self.type = type

        def find(self, text):
            return [Span(0, len(text), self.type, 1.0, "e:")]

    for type, value in values(5):
        masker = Masker(Everything(type), mode="surrogate", key=KEY)
        made = surrogate(type, value, KEY)
        if type in ("CN_ID", "CARD", "USCC", "IBAN"):
            # Who finds cards without a check means numbers without one: leaving them would be a leak.
            assert masker.find(made) == [Span(0, len(made), type, 1.0, "e:")]
        else:
            assert masker.find(made) == []
            assert masker.apply(value)[0] == made


def test_what_overlaps_becomes_one_plain_mask():
    old, new = _Piece(Span(2, 8, "CARD", 1.0, "a:")), _Piece(Span(5, 12, "IP", 1.0, "b:"), plain=True)
    assert _without_overlap([old], [new]) == [_Piece(Span(2, 12, "CARD", 1.0, "a:"), plain=True)]
    assert _without_overlap([_Piece(Span(5, 12, "IP", 1.0, "b:"))], [_Piece(Span(2, 8, "CARD", 1.0, "a:"))])[0].plain
    inside = _Piece(Span(3, 4, "IP", 1.0, "b:"), plain=True)
    assert _without_overlap([old], [inside]) == [old]


def test_types_of_your_own_are_masked_with_their_name():
    staff = Recognizer("EMPLOYEE", "E[0-9]{6}", context="staff")
    for mode, expected in (("tag", "staff <EMPLOYEE>"), ("partial", "staff *******")):
        assert_settled(Masker(Detector(types=[staff]), mode=mode), "staff E204817")
        assert Masker(Detector(types=[staff]), mode=mode).apply("staff E204817")[0] == expected
    once, _ = assert_settled(Masker(Detector(types=[staff]), mode="surrogate", key=KEY), "staff E204817")
    assert once == f"staff <EMPLOYEE:{keyed_digest(KEY, 'EMPLOYEE', 'E204817').hex()[:16]}>"


def test_masked_json_stays_json():
    key = f"-----BEGIN {'PRIVATE'} KEY-----\n" + "Ab3" * 30 + f"\n-----END {'PRIVATE'} KEY-----"
    row = json.dumps({"key": key, "tel": "+86 13800138000", "mail": "ann@example.com"})
    for mode in MODES:
        assert set(json.loads(masked(mode, row))) == {"key", "tel", "mail"}


def test_a_long_series_costs_linear_time():
    def cost(n):
        text = "卡 " + " ".join(["4111 1111 1111 1111", "138-0013-8000", "a@b.cn"] * n)
        start = time.process_time()
        for masker in MASKERS.values():
            masker.apply(text)
        return time.process_time() - start

    cost(20)
    assert min(cost(160) for _ in range(2)) < 7 * max(min(cost(40) for _ in range(2)), 0.01)
