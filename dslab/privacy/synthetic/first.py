"""The first hand: documents of eleven layouts, in English and Chinese.

Chats, letters, logs, source code, tables, JSON, forms, scans, pages of prose, links and single lines. A layout takes
items (a kind of value or of look-alike), names each one as its medium would (first_labels.py), and leaves the offsets
to `assemble`. What only a label can tell (a password, a passport, a phone number as written at home) always has one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dslab.privacy.synthetic import first_filler, first_labels, forms, negatives, values
from dslab.privacy.synthetic.pieces import Negative, Piece, Value, assemble

LANGUAGES = ("en", "zh")
# How often each kind is drawn.
_WEIGHTS = {
    "cn_id": 4, "cn_mobile": 5, "card": 4, "uscc": 2, "email": 5, "ipv4": 3, "ipv6": 1, "iban": 2, "us_ssn": 2,
    "phone_e164": 3, "phone_national": 1, "landline": 1, "cn_plate": 2, "passport": 2, "provider_key": 2, "jwt": 1,
    "pem": 1, "password": 1, "token": 1,
}  # fmt: skip
# What a reader knows without a label.
PLAIN = frozenset(("cn_id", "cn_mobile", "card", "uscc", "email", "ipv4", "ipv6", "iban", "provider_key", "jwt", "pem"))
_BROKEN = ("line_break", "apart")  # spellings of scans and forms only
_LINKED = ("email", "cn_mobile", "ipv6", "cn_plate", "jwt", "timestamp", "uuid", "hex_colour", "order_number")
_ASSIGNMENTS = (
    ('{1} = "', '"\n'), ("{0} = '", "';\n"), ('    "{0}": "', '",\n'), ("# {0}: ", "\n"), ("export {1}=", "\n"),
)  # fmt: skip
_PEOPLE = {"en": ("Ann", "Tom", "Priya", "Lee", "ops-bot"), "zh": ("小林", "阿强", "王姐", "群主", "客服")}


def documents(n: int, seed: int) -> list[dict[str, Any]]:
    """n documents in the two languages in turns; document i of a seed is the same whatever n is."""
    made = []
    for number in range(n):
        rng, lang = random.Random(f"first {seed} {number}"), LANGUAGES[number % 2]
        made.append({"id": f"first-{seed}-{number}", "lang": lang, **assemble(document(rng, lang))})
    return made


def document(rng: random.Random, lang: str) -> Iterable[Piece]:
    """One document: a layout, none to six items, and filler between them; one in 150 is long."""
    layout = rng.choices(list(LAYOUTS), [weight for _, weight in LAYOUTS.values()])[0]
    size = rng.choice((0, 1, 1, 2, 2, 3, 4, 6))
    items = [rng.choice(list(negatives.KINDS)) if rng.random() < 0.45 else _kind(rng) for _ in range(size)]
    pieces = list(LAYOUTS[layout][0](rng, lang, items))
    if rng.random() < 1 / 150:
        pieces = [first_filler.sentences(rng, lang, 400), "\n", *pieces, "\n", first_filler.sentences(rng, lang, 400)]
    return pieces


def _kind(rng: random.Random) -> str:
    return rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]


def _draw(rng: random.Random, kind: str, broken: bool = False) -> Value | Negative:
    """An item of a kind. Its spelling is broken over lines or drawn apart only where `broken` allows it."""
    if kind in negatives.KINDS:
        return negatives.negative(rng, kind)
    if broken:
        usual = [form for form in forms.of(kind) if form in _BROKEN]
        if usual:
            return values.value(rng, kind, rng.choice(usual))
    while True:
        value = values.value(rng, kind)
        if value.form not in _BROKEN:
            return value


def _in_line(items: list[str]) -> list[str]:
    """Without what takes several lines."""
    return [kind for kind in items if kind != "pem"]


def _sentence(rng: random.Random, lang: str, kind: str) -> Iterator[Piece]:
    before, after = first_labels.said(rng, kind, lang)
    stop = rng.choice((". ", "! ", "\n")) if lang == "en" else rng.choice("。，；\n")
    yield from (before, _draw(rng, kind), after + stop)


def chat(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """Lines with a name and perhaps a time."""
    for kind in [*items, None]:
        who, time = rng.choice(_PEOPLE[lang]), f"{rng.randint(8, 22)}:{rng.randint(0, 59):02d}"
        heads = (f"{who}: ", f"[{time}] {who}: ", f"{who} {time}\n") if lang == "en" else (f"{who}：", f"{who}：嗯，")
        yield rng.choice(heads)
        if kind is None or rng.random() < 0.3:
            yield first_filler.sentences(rng, lang, 1)
        if kind is not None:
            yield from _sentence(rng, lang, kind)
        yield "\n"


def letter(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """Head, text and signature; the head's addresses are values too."""
    sender, receiver = _draw(rng, "email"), _draw(rng, "email")
    yield from ("From: ", sender, "\nTo: <", receiver, f">\nSubject: {rng.choice(('Re: boat', 'minutes', '通知'))}\n\n")
    yield first_filler.sentences(rng, lang, rng.randint(1, 3)) + "\n"
    for kind in items:
        yield from _sentence(rng, lang, kind)
    yield "\n-- \n"
    for kind in rng.sample(("cn_mobile", "phone_e164", "landline", "phone_national"), rng.randint(0, 2)):
        yield from (first_labels.label(rng, kind, lang) + rng.choice((": ", "：")), _draw(rng, kind), "\n")


def log(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """Lines of a server, key=value."""
    for kind in [*_in_line(items), "uuid", "clock"]:
        day, level = f"2024-0{rng.randint(1, 9)}-{rng.randint(10, 28)}", rng.choice(("INFO", "WARN", "ERROR"))
        name, tail = first_labels.key(rng, kind), rng.choice((" status=200 cost=13ms\n", " retry in 5s\n", "\n"))
        before, after = rng.choice((("=", ""), (": ", ""), ('="', '"')))
        yield from (f"{day} {level} [worker-{rng.randint(1, 8)}] {name}{before}", _draw(rng, kind), after + tail)


def code(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """Assignments, settings and comments."""
    yield rng.choice(("import os\n\n", "# settings\n", "// config.js\n", "class Order:\n"))
    for kind in items:
        item = _draw(rng, kind)
        if kind == "pem":
            yield from ("PRIVATE_" + 'KEY = """', item, '"""\n')
        elif kind == "decorator":
            yield from ("    ", item, "\n    def total(self): return self.price * 3\n")
        else:
            name = first_labels.key(rng, kind)
            before, after = rng.choice(_ASSIGNMENTS)
            yield from (before.format(name, name.upper()), item, after)
    yield rng.choice(("print(total)\n", "for (let i = 0; i < 10; i++) {}\n", "x = y[1:20]  # ten of them\n"))


def table(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """Markdown, CSV or tabs; only the header says what a column holds."""
    mark = rng.choice("|,\t")
    commas = ("money", "coordinates") if mark == "," else ()  # would open another column
    columns = [kind for kind in _in_line(items) if kind not in commas] or ["hotline"]
    gap, edge = (" | ", "| ") if mark == "|" else (mark, "")
    names = ["name" if lang == "en" else "姓名", *(first_labels.label(rng, kind, lang) for kind in columns)]
    yield f"{edge}{gap.join(names)}{edge[::-1]}\n"
    if edge:
        yield "|" + "---|" * len(names) + "\n"
    for _ in range(rng.randint(1, 5)):
        yield edge + rng.choice(_PEOPLE[lang])
        for kind in columns:
            yield from (gap, _draw(rng, kind))
        yield edge[::-1] + "\n"


def json_object(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """Keys tell; strings hold what would be escaped in no way."""
    yield f'{{"id": {rng.randint(1, 9999)}, "note": "{first_filler.sentences(rng, lang, 1)}"'
    for kind in _in_line(items):
        yield from (f', "{first_labels.key(rng, kind)}": "', _draw(rng, kind), '"')
    yield rng.choice(("}\n", ', "tags": ["a", "b"]}\n', ', "price": 12.50, "ok": true}'))


def form(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """A label and a value on each line."""
    yield (
        rng.choice(("APPLICATION\n", "Registration form\n"))
        if lang == "en"
        else rng.choice(("登记表\n", "【报名信息】\n"))
    )
    for kind in items:
        colon = rng.choice((": ", ":", " ...... ")) if lang == "en" else rng.choice(("：", ": ", "："))
        yield from (first_labels.label(rng, kind, lang) + colon, _draw(rng, kind, broken=rng.random() < 0.15), "\n")


def scan(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """What a scanner reads: values broken over lines or drawn apart, stray blanks between words."""
    yield first_filler.sentences(rng, lang, 1).replace(" ", "  ", 3) + "\n"
    for kind in items:
        yield from (
            first_labels.label(rng, kind, lang) + rng.choice((" ", ": ", "：")),
            _draw(rng, kind, broken=True),
            "\n",
        )
    yield "— 1 —\n"


def page(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """Paragraphs, the sentences with values among them."""
    for kind in items:
        yield first_filler.sentences(rng, lang, rng.randint(1, 4)) + (" " if lang == "en" else "")
        yield from _sentence(rng, lang, kind)
    yield first_filler.sentences(rng, lang, rng.randint(1, 5))


def link(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """The query of a web address, its values percent-encoded where that changes them."""
    yield f"{first_filler.sentences(rng, lang, 1)}\nGET https://{rng.choice(('shop', 'crm', 'api'))}.example/find?"
    for kind in ["uuid", *(kind for kind in items if kind in _LINKED)]:
        item = values.value(rng, kind, "percent") if "percent" in forms.of(kind) else _draw(rng, kind)
        yield from (first_labels.key(rng, kind) + "=", item, "&")
    yield f"page={rng.randint(1, 9)}\n{first_filler.sentences(rng, lang, 1)}"


def line(rng: random.Random, lang: str, items: list[str]) -> Iterator[Piece]:
    """Nothing but values that need no label, side by side."""
    plain = [kind for kind in items if kind in PLAIN] or ["cn_mobile"]
    gap = rng.choice((" ", ",", "，", "、", "\n", "; "))
    for number, kind in enumerate(plain):
        yield from (gap if number else "", _draw(rng, kind))


Layout = Callable[[random.Random, str, list[str]], Iterator[Piece]]
LAYOUTS: dict[str, tuple[Layout, int]] = {
    "chat": (chat, 4), "letter": (letter, 2), "log": (log, 3), "code": (code, 3), "table": (table, 3),
    "json": (json_object, 3), "form": (form, 4), "scan": (scan, 2), "page": (page, 4), "link": (link, 1),
    "line": (line, 1),
}  # fmt: skip
