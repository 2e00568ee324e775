"""A small web corpus with known faults: personal data, copies, leaked exam items, junk. For notebooks and benches.

Everything planted is recorded, so that a cleaner can be judged. All values are synthetic (values.py says how).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from dslab.privacy.synthetic import exam, phrases, values

N_ITEMS = 40


@dataclass
class Corpus:
    """Rows and the truth about them; row numbers count from 0.

    rows:            {"id", "text", "url", "lang", "year"}.
    near_duplicates: (copy, original) row numbers; a few words differ, or none.
    benchmark:       exam items; leaked: (row, item) numbers of pages that hold an item with its answer.
    low_quality, pii: row numbers of junk, and of pages that carry personal data.

    leaked, low_quality and pii name the rows where a thing was planted and not the copies of these rows, since an edit
    may have hit the value or the item: `near_duplicates` leads from a copy to what it was made of.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    near_duplicates: list[tuple[int, int]] = field(default_factory=list)
    benchmark: list[exam.Item] = field(default_factory=list)
    leaked: list[tuple[int, int]] = field(default_factory=list)
    low_quality: list[int] = field(default_factory=list)
    pii: list[int] = field(default_factory=list)


def corpus(n: int, seed: int, pii: float = 0.08) -> Corpus:
    """n rows: 8 % with personal data (`pii`), 8 % copies, 4 % junk, half of the exam's items leaked.

    Raises ValueError for fewer than 100 rows or a share outside 0..0.5.

    >>> made = corpus(200, seed=0)
    >>> len(made.rows), len(made.benchmark), made.rows == corpus(200, seed=0).rows
    (200, 40, True)
    """
    if n < 100 or not 0 <= pii <= 0.5:
        raise ValueError(
            f"a corpus has at least 100 rows, and at most half of them carry personal data; got {n=}, {pii=}"
        )
    rng = random.Random(seed)
    made = Corpus(benchmark=exam.items(N_ITEMS, rng))
    fates = ["copy"] * (n * 8 // 100) + ["junk"] * (n * 4 // 100) + ["pii"] * round(n * pii) + ["leak"] * (N_ITEMS // 2)
    fates += ["page"] * (n - len(fates))
    rng.shuffle(fates)
    fates[0] = "page" if fates[0] == "copy" else fates[0]  # a copy needs an original
    leaks = iter(range(1, N_ITEMS, 2))  # the Chinese items are among them
    for number, fate in enumerate(fates):
        lang = "zh" if rng.random() < 0.4 else "en"
        if fate == "copy":
            original = rng.randrange(number)
            lang = made.rows[original]["lang"]
            text = _edited(made.rows[original]["text"], lang, rng)
            made.near_duplicates.append((number, original))
        elif fate == "junk":
            text = "\n".join([rng.choice(phrases.JUNK)] * rng.randint(3, 8))
            made.low_quality.append(number)
        elif fate == "leak":
            item = next(leaks)
            lang = made.benchmark[item].lang
            text = made.benchmark[item].page(_prose(rng, lang, 4), _prose(rng, lang, 5))
            made.leaked.append((number, item))
        else:
            text = _prose(rng, lang, rng.randint(7, 13))
            if fate == "pii":
                text = _with_values(text, rng, lang)
                made.pii.append(number)
        url = f"https://{rng.choice(('notes', 'pages', 'forum'))}.example/{rng.randrange(16**6):06x}"
        made.rows.append(
            {"id": f"web-{number:06d}", "text": text, "url": url, "lang": lang, "year": rng.randint(2009, 2025)}
        )
    return made


def _prose(rng: random.Random, lang: str, n: int) -> str:
    blank = " " if lang == "en" else ""
    return "".join(text + ("\n\n" if rng.random() < 0.12 else blank) for text in phrases.prose(rng, lang, n)).strip()


def _with_values(text: str, rng: random.Random, lang: str) -> str:
    """The text with one to three contact sentences between its own."""
    end = "。" if lang == "zh" else ". "
    parts = text.split(end)
    for _ in range(rng.randint(1, 3)):
        sentence, kind = phrases.contact(rng, lang)
        value, _form = values.draw(rng, kind)
        parts.insert(rng.randrange(len(parts)), sentence.replace("«»", value).rstrip("。."))
    return end.join(parts)


def _edited(text: str, lang: str, rng: random.Random) -> str:
    """A copy: as it is, or with single words or clauses changed, about one in sixty of them or one in fifteen."""
    how = rng.random()
    if how < 0.3:
        return text
    words = {"，": "今天", " ": "today"} if lang == "zh" else {" ": "today", "，": "今天"}
    cut = next((cut for cut in words if cut in text), " ")
    parts = text.split(cut)
    for _ in range(max(1, len(parts) // 60) if how < 0.8 else max(1, len(parts) // 15)):
        parts[rng.randrange(len(parts))] = words[cut]
    return cut.join(parts)
