"""A second hand: the same kinds of value in documents that the detector's author has not written.

A test set by the hand that wrote the detector flatters it: both share one idea of what a text looks like. These
templates were written from the conventions alone, without reading the detector or the first hand's templates. They are
chats, mail, forum posts, logs, traces, source code, configuration, dumps, URLs, tables, forms, scans and pages, from
one line to 60 kB.

A template is text with marks. «cn_id» is a value in any spelling a person may use, «cn_id!» as a program writes it,
«cn_id^» broken once as a scanner breaks it, «email%» percent-encoded; «-uuid» is a look-alike, «~city» is filler.
Marks are the only place where spans come from, so that text and offsets cannot part.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from dslab.privacy.synthetic import forms, values
from dslab.privacy.synthetic import second_filler as filler
from dslab.privacy.synthetic import second_machine as machine
from dslab.privacy.synthetic import second_sheets as sheets
from dslab.privacy.synthetic import second_talk as talk
from dslab.privacy.synthetic.pieces import Piece, Value, assemble
from dslab.privacy.synthetic.second_looks import look_alike

MARK = re.compile("«([^«»]+)»")
LONG_SIZES = (4_000, 15_000, 60_000)
CHINESE = re.compile("[\u4e00-\u9fff]")


class Writer:
    """A document as it grows, piece by piece."""

    def __init__(self, rng: random.Random, lang: str) -> None:
        self.rng = rng
        self.lang = lang
        self.length = 0
        self.pieces: list[Piece] = []

    def write(self, template: str) -> None:
        """Append a template, its marks drawn afresh."""
        end = 0
        for mark in MARK.finditer(template):
            self._append(template[end : mark.start()])
            self._draw(mark[1])
            end = mark.end()
        self._append(template[end:])

    def choose(self, *pools: tuple[str, ...]) -> None:
        """Append one template of the document's language; what has no Chinese in it serves either."""
        pool = [template for pool in pools for template in pool]
        self.write(self.rng.choice([t for t in pool if self.lang == "zh" or not CHINESE.search(t)]))

    def _append(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.length += len(piece if isinstance(piece, str) else piece.text)

    def _draw(self, mark: str) -> None:
        if mark[0] == "~":
            self._append(filler.draw(self.rng, mark[1:]))
        elif mark[0] == "-":
            self._append(look_alike(self.rng, mark[1:]))
        else:
            drawn = _value(self.rng, mark)
            # A number may open with a bracket; brackets are no part of it.
            opening = drawn.text[: drawn.text[0] in "(（"]
            self._append(opening)
            self._append(drawn._replace(text=drawn.text[len(opening) :]))


def _value(rng: random.Random, mark: str) -> Value:
    kind, how = mark.rstrip("!^%"), mark[-1]
    if how not in "!^%":
        # A person writes no percent signs and breaks no number over lines; marks of their own do that.
        return values.value(rng, kind, rng.choices(*_spoken(kind))[0])
    plain = values.value(rng, kind, "dash" if kind == "us_ssn" else "bare")
    if how == "^":
        return plain._replace(text=broken(rng, plain.text), form="broken")
    return plain._replace(text=quote(plain.text, safe=""), form="percent") if how == "%" else plain


def _spoken(kind: str) -> tuple[list[str], list[int]]:
    """The spellings of a kind in people's hands, and their weights: half are plain."""
    names = [form for form in forms.of(kind) if form not in ("percent", "line_break")]
    return names, [max(1, len(names) - 1), *[1] * (len(names) - 1)]


def broken(rng: random.Random, text: str) -> str:
    """A value as a scan gives it: a gap of spaces somewhere inside, or the end of a line."""
    cut = rng.randrange(4, len(text) - 3)
    return text[:cut] + rng.choice([" ", "  ", "\n"]) + text[cut:]


def _chat(page: Writer) -> None:
    said, noise = _talk(page)
    style = page.rng.choice(["{who}: ", "[«~time»] {who}: ", "{who} «~date» «~time»\n", "<{who}> "])
    for _ in range(page.rng.randrange(2, 12)):
        page.write(style.replace("{who}", "«~zh_name»" if page.lang == "zh" else "«~word»"))
        page.write(page.rng.choice(page.rng.choice((said, noise))))
        page.write("\n")


def _prose(page: Writer) -> None:
    gap, pause = ("。", "；") if page.lang == "zh" else (". ", "; ")
    for _ in range(page.rng.randrange(1, 5)):
        for pool in _talk(page):
            page.write(page.rng.choice(pool) + page.rng.choice([gap, gap, "\n", pause]))


def _long(page: Writer) -> None:
    """Mostly filler: a value stands far from the next one, as in a corpus from the web."""
    size = page.rng.choice(LONG_SIZES)
    said, noise = _talk(page)
    while page.length < size:
        page.write("«~zh»«~zh»«~zh»\n" if page.lang == "zh" else "«~en» «~en» «~en»\n")
        for pool, share in ((said, 0.04), (noise, 0.08)):
            if page.rng.random() < share:
                page.write(page.rng.choice(pool) + "\n")


def _talk(page: Writer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (talk.ZH_TALK, talk.ZH_NOISE) if page.lang == "zh" else (talk.EN_TALK, talk.EN_NOISE)


def _log(page: Writer) -> None:
    head = page.rng.choice(machine.LOG_HEADS)
    for _ in range(page.rng.randrange(3, 20)):
        page.write(head)
        page.choose(machine.LOG_LINES)
        page.write("\n")


def _access(page: Writer) -> None:
    for _ in range(page.rng.randrange(2, 12)):
        page.choose(machine.ACCESS)


def _sheet(page: Writer) -> None:
    """One heading, many rows: most cells stand out of sight of the words that say what they are."""
    chinese = page.lang == "zh"
    columns = page.rng.choice([s for s in sheets.SHEETS if bool(CHINESE.search(s[0][0])) == chinese])
    left, between, right = page.rng.choice(sheets.STYLES)
    page.write(left + between.join(heading for heading, _ in columns) + right)
    if left == "| ":
        page.write("|" + " --- |" * len(columns) + "\n")
    for _ in range(page.rng.choice([1, 4, 10, 60])):
        page.write(left + between.join(cell for _, cell in columns) + right)


def _one_of(pool: tuple[str, ...]) -> Callable[[Writer], None]:
    return lambda page: page.choose(pool)


def _some_of(pool: tuple[str, ...]) -> Callable[[Writer], None]:
    def layout(page: Writer) -> None:
        for _ in range(page.rng.randint(1, 3)):
            page.choose(pool)
            page.write("\n")

    return layout


# Layout, and how often it is drawn.
LAYOUTS: tuple[tuple[Callable[[Writer], None], int], ...] = (
    (_chat, 14),
    (_prose, 16),
    (_one_of(talk.LETTERS), 8),
    (_one_of(talk.POSTS), 8),
    (_log, 10),
    (_access, 5),
    (_one_of(machine.TRACES), 6),
    (_one_of(machine.CODE), 9),
    (_one_of(machine.CONFIG), 9),
    (_some_of(machine.URLS), 6),
    (_sheet, 9),
    (_one_of(sheets.SCANS), 9),
    (_some_of(sheets.PAGES), 7),
    (_long, 1),
)


def documents(n: int, seed: int) -> list[dict[str, Any]]:
    """n documents, half of them Chinese; document i of a seed is the same whatever n is.

    >>> [made["lang"] for made in documents(3, seed=7)]
    ['en', 'zh', 'en']
    """
    layouts, weights = zip(*LAYOUTS, strict=True)
    made = []
    for number in range(n):
        page = Writer(random.Random(f"second {seed} {number}"), "zh" if number % 2 else "en")
        page.rng.choices(layouts, weights)[0](page)
        made.append({"id": f"second-{seed}-{number}", "lang": page.lang, **assemble(page.pieces)})
    return made
