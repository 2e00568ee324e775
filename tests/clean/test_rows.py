"""One line: the text is found as json finds it, and replaced without touching a byte around it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslab.clean.line import DUPLICATE_KEY, MALFORMED, MISSING, NOT_OBJECT, NOT_STRING, NULL, read_text, splice
from dslab.clean.skim import skim

# Surrogates too: JSON can hold a lone one as an escape, and corpora do.
strings = st.text(st.characters(codec=None, exclude_categories=[]), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | strings
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(strings, v, max_size=3), max_leaves=8
)
spaces = st.sampled_from(["", " ", "  ", "\t", "\r", " \t "])
numbers = st.sampled_from(["1.10", "1e5", "-0", "12345678901234567890.5", "9" * 5000, "1E+2", "0.000", "-1.5e-7"])


@st.composite
def written_string(draw, value: str) -> str:
    """One of the many ways to write a string in JSON: some characters escaped, some not."""
    out = []
    for char in value:
        plain = char >= " " and char not in '"\\' and not "\ud800" <= char <= "\udfff"
        if plain and draw(st.booleans()):
            out.append(char)
        elif char == "/" and draw(st.booleans()):
            out.append("\\/")
        else:
            out.append(json.dumps(char)[1:-1] if draw(st.booleans()) else "".join(_units(char)))
    return f'"{"".join(out)}"'


def _units(char: str) -> list[str]:
    units = char.encode("utf-16-be", "surrogatepass").hex().upper()
    return [f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)]


@st.composite
def written(draw, value: object) -> str:
    """`value` as JSON with spaces, escapes and numbers of every kind."""
    gap = lambda: draw(spaces)  # noqa: E731
    if isinstance(value, str):
        return draw(written_string(value))
    if isinstance(value, list):
        return "[" + ",".join(gap() + draw(written(v)) + gap() for v in value) + gap() + "]"
    if isinstance(value, dict):
        pairs = (f"{gap()}{draw(written_string(k))}{gap()}:{gap()}{draw(written(v))}{gap()}" for k, v in value.items())
        return "{" + ",".join(pairs) + gap() + "}"
    return draw(numbers) if draw(st.integers(0, 3)) == 0 else json.dumps(value)


@st.composite
def rows(draw) -> tuple[bytes, bytes, str, bytes]:
    """(before the text value, the value as written, what it says, after it)."""
    text = draw(strings)
    others = draw(st.lists(st.tuples(strings.filter(lambda k: k != "text"), values), max_size=3))
    members = [draw(written_string(k)) + draw(spaces) + ":" + draw(spaces) + draw(written(v)) for k, v in others]
    at = draw(st.integers(0, len(members)))
    key = draw(written_string("text"))
    head = draw(spaces) + "{" + draw(spaces) + "".join(m + draw(spaces) + "," + draw(spaces) for m in members[:at])
    head += key + draw(spaces) + ":" + draw(spaces)
    tail = draw(spaces) + "".join("," + draw(spaces) + m + draw(spaces) for m in members[at:]) + "}" + draw(spaces)
    tail += draw(st.sampled_from(["\n", "\r\n", ""]))
    return head.encode(), draw(written_string(text)).encode(), text, tail.encode()


def as_json(text: str) -> str:
    """What a JSON reader makes of a string: a high and a low surrogate side by side are one character."""
    return json.loads(json.dumps(text))


@settings(max_examples=300, deadline=None)
@given(rows(), strings)
def test_only_the_text_value_changes(row, new):
    head, old, text, tail = row
    line = head + old + tail
    assert read_text(line, "text") == (as_json(text), "")
    spliced = splice(line, "text", new)
    assert spliced.startswith(head)
    assert spliced.endswith(tail)
    assert json.loads(spliced[len(head) : len(spliced) - len(tail)]) == as_json(new)
    assert read_text(spliced, "text") == (as_json(new), "")


@settings(max_examples=200, deadline=None)
@given(values.flatmap(lambda value: st.tuples(st.just(value), written(value))))
def test_skim_ends_where_a_parser_ends(pair):
    _, document = pair
    for tail in ("", " ", ",", "]", "1]"):
        if document[-1].isdigit() and tail[:1].isdigit():
            continue
        assert skim(document + tail, 0) == len(document.rstrip(" \t\r"))


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('{}[]",:\\ntrue0-1.eE \t"text'), max_size=30), st.sampled_from(["skim", "scan"]))
def test_what_json_refuses_is_refused(soup, way):
    """Short rows go through the C scanner, long and deep ones through skim: both take what json takes."""
    row = f'{{"text": "a", "b": {soup}}}'
    try:
        pairs = json.loads(row, object_pairs_hook=list)
        expected = "" if sum(k == "text" for k, _ in pairs) == 1 else DUPLICATE_KEY
    except ValueError:
        expected = MALFORMED
    import dslab.clean.line as line

    limit = line.SKIM_CHARS
    line.SKIM_CHARS = 0 if way == "skim" else limit
    try:
        assert read_text(row.encode(), "text")[1] == expected
    finally:
        line.SKIM_CHARS = limit


@pytest.mark.parametrize(("line", "reason"), [
    (b"{}", MISSING), (b'{"a": {"text": "inner"}}', MISSING), (b'{"Text": "a"}', MISSING),
    (b'{"text": null}', NULL), (b'{"text": 1}', NOT_STRING), (b'{"text": 1.5}', NOT_STRING),
    (b'{"text": true}', NOT_STRING), (b'{"text": ["a"]}', NOT_STRING), (b'{"text": {}}', NOT_STRING),
    (b'{"text": "a", "text": "b"}', DUPLICATE_KEY), (b'{"text": "a", "te\\u0078t": "b"}', DUPLICATE_KEY),
    (b'{"text": null, "text": "b"}', DUPLICATE_KEY),
    (b"[1, 2]", NOT_OBJECT), (b'"text"', NOT_OBJECT), (b"null", NOT_OBJECT), (b"text", NOT_OBJECT),
    (b'{"text": "a"', MALFORMED), (b'{"text": "a"} x', MALFORMED), (b'{"text": "a"}{"text": "b"}', MALFORMED),
    (b'{"text": "a",}', MALFORMED), (b"{'text': 'a'}", MALFORMED), (b'{"text": "a\x00b"}', MALFORMED),
    (b'{"text": "tab\there"}', MALFORMED), (b'{"text" "a"}', MALFORMED), (b'{"a": 01, "text": "a"}', MALFORMED),
    (b'{"text": "\\ud8"}', MALFORMED), (b'{"text": "a" "b": 1}', MALFORMED), (b"{", MALFORMED), (b'{"', MALFORMED),
    (b'{"n": [1, 2, "text": "a"}', MALFORMED), (b'{"n": [1}, "text": "a"}', MALFORMED),
    (b'{"n": {"a": [1]], "text": "a"}', MALFORMED), (b'{"n": {"a": {}, 1: 2}, "text": "a"}', MALFORMED),
    (b'{"n": [[1], ], "text": "a"}', MALFORMED), (b'{"n": {"a": [1], }, "text": "a"}', MALFORMED),
    (b'{"n": [[1] [2]], "text": "a"}', MALFORMED), (b'{"n": {"a" [1]}, "text": "a"}', MALFORMED),
    (b'{"n": [nul], "text": "a"}', MALFORMED), (b'{"n": ["\x01"], "text": "a"}', MALFORMED),
    (b'\xef\xbb\xbf{"text": "a"}', NOT_OBJECT),
])  # fmt: skip
@pytest.mark.parametrize("padding", [0, (4 << 20) + 1], ids=["short", "long"])
def test_what_is_no_row(line, reason, padding):
    assert read_text(line + b" " * padding, "text") == ("", reason)


def test_equal_keys_that_are_not_the_text_are_none_of_our_business():
    line = b'{"a": 1, "a": 2, "m": {"text": 1, "text": 2}, "text": "x"}'
    assert read_text(line, "text") == ("x", "")
    assert splice(line, "text", "y") == line.replace(b'"x"', b'"y"')


@pytest.mark.parametrize(("old", "new", "written"), [
    ('"caf\\u00e9 1"', "café 2", '"caf\\u00e9 2"'), ('"café 1"', "café 2", '"café 2"'),
    ('"plain"', "中", '"中"'), ('"a\\/b"', "a/c", '"a/c"'), ('"x"', "\ud800 中", '"\\ud800 中"'),
    ('"\\u0000"', "\0x", '"\\u0000x"'), ('"x"', 'a"\n\\', '"a\\"\\n\\\\"'),
])  # fmt: skip
def test_who_wrote_escapes_gets_escapes(old, new, written):
    line = f'{{"text": {old}}}\n'.encode()
    assert splice(line, "text", new).decode() == f'{{"text": {written}}}\n'


def test_a_column_of_another_name():
    line = '{"text": "no", "正文": "yes", "a.b": "dot"}'.encode()
    assert read_text(line, "正文") == ("yes", "")
    assert read_text(line, "a.b") == ("dot", "")
    assert read_text(b'{"\\u6b63\\u6587": "yes"}', "正文") == ("yes", "")


@pytest.mark.parametrize("deep", ["[" * 20_000 + "]" * 20_000, '{"a":' * 20_000 + "1" + "}" * 20_000])
def test_depth_is_no_error(deep):
    line = f'{{"text": "x", "deep": {deep}}}'.encode()
    assert read_text(line, "text") == ("x", "")
    assert splice(line, "text", "y") == line.replace(b'"x"', b'"y"')
    assert read_text(line[:-2], "text") == ("", MALFORMED)


@pytest.mark.parametrize("make", [
    lambda n: b'{"n": %s, "text": "x"}' % (b"1" * n), lambda n: b'{"text": "%s"}' % (b"1" * n), lambda n: b"1" * n,
    lambda n: b'{"n": 1.%s, "text": "x"}' % (b"1" * n), lambda n: b"[" * n, lambda n: b"{" + b" " * n,
    lambda n: b'{"text": "x"' + b" " * n, lambda n: b'{"text": "x"}' + b" " * n, lambda n: b'{"a": ' + b'{"a": ' * n,
    lambda n: b'{"' + b"a" * n, lambda n: b'{"text": "' + b"\\" * n, lambda n: b'{"a": [' + b"1, " * n,
])  # fmt: skip
def test_time_is_linear(make):
    def seconds(n):
        line, best = make(n), 9.0
        for _ in range(2):
            start = time.process_time()
            read_text(line, "text")
            best = min(best, time.process_time() - start)
        return best

    assert seconds(200_000) < 8 * seconds(50_000) + 0.05  # quadratic would be 16
