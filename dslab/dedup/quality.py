"""Rules that web pages worth training on rarely break, as two published corpora state them, each with its name.

    failed("buy buy buy")  ->  ["gopher_word_count", "gopher_stop_words", ...]

Gopher:  Rae et al. 2021, arXiv 2112.11446, appendix A (MassiveText: quality and repetition filtering, table A1).
C4:      Raffel et al. 2020, JMLR 21 (140), section 2.2.

Every rule is one measure of the text and the range it must lie in; `RULES` is the table, and a threshold is changed by
name: `failed(text, limits={"gopher_word_count": (20, 100_000)})`. The rules were made for English prose. For Chinese,
words are characters and the two rules that count letters of words or English stop words do not apply; code, poems and
tables fail them in any language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dslab.dedup.page import Page
from dslab.dedup.repetition import repeated_share, run_share, top_share

GOPHER, GOPHER_A1, C4 = "Gopher, appendix A.1", "Gopher, table A1", "C4, section 2.2"
STOP_WORDS = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
BULLETS = ("•", "-", "*", "●", "‣", "·")
ELLIPSES = ("...", "…")
TERMINAL = (".", "!", "?", '"', "'", "”", "’", "。", "！", "？", "」", "』", "；")
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
# White space, a quote or the end must follow: a full stop inside a number or an address ends no sentence. Possessive,
# and tried only where a run begins, so that a page of dots stays linear.
SENTENCE = re.compile(r"(?<![.!?])[.!?]++[\"'”’)\]]*+(?:\s++|$)|[。！？]++[”’」』）]*+\s*+")


@dataclass(frozen=True)
class Rule:
    """A measure of a page and the closed range it must lie in. languages: where it applies; empty for everywhere."""

    name: str
    source: str
    meaning: str
    measure: Callable[[Page], float]
    least: float = 0.0
    most: float = float("inf")
    languages: tuple[str, ...] = ()

    def holds(self, page: Page) -> bool:
        """Whether the page keeps this rule; a rule that does not apply is kept."""
        if self.languages and page.language not in self.languages:
            return True
        return self.least <= self.measure(page) <= self.most


def _share_of_lines(page: Page, test: Callable[[str], bool]) -> float:
    return sum(map(test, page.lines)) / max(1, len(page.lines))


def _kept_lines(page: Page) -> list[str]:
    """The lines that C4 keeps: they end a sentence, have 3 words, no script or policy notice, no word over 1000."""

    def keeps(line: str) -> bool:
        if not line.endswith(TERMINAL) or line.endswith("..."):
            return False
        low, words = line.lower(), Page(line).tokens
        notice = "javascript" in low or any(phrase in low for phrase in POLICY)
        return not notice and len(words) >= 3 and max(map(len, words)) <= 1000

    return list(filter(keeps, page.lines))


def _sentences(page: Page) -> float:
    return sum(len([part for part in SENTENCE.split(line) if part.strip()]) for line in _kept_lines(page))


def _alphabetic(page: Page) -> float:
    return sum(any(map(str.isalpha, token)) for token in page.tokens) / max(1, len(page.tokens))


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("gopher_word_count", GOPHER, "words", lambda p: len(p.words), 50, 100_000),
        Rule(
            "gopher_word_length", GOPHER, "mean letters of a word",
            lambda p: sum(map(len, p.words)) / max(1, len(p.words)), 3, 10, ("en", "other"),
        ),
        Rule("gopher_hashes", GOPHER, "# per word", lambda p: p.text.count("#") / max(1, len(p.tokens)), most=0.1),
        Rule(
            "gopher_ellipses", GOPHER, "ellipses per word",
            lambda p: sum(map(p.text.count, ELLIPSES)) / max(1, len(p.tokens)), most=0.1,
        ),
        Rule(
            "gopher_bullet_lines", GOPHER, "lines that begin with a bullet",
            lambda p: _share_of_lines(p, lambda line: line.startswith(BULLETS)), most=0.9,
        ),
        Rule(
            "gopher_ellipsis_lines", GOPHER, "lines that end in an ellipsis",
            lambda p: _share_of_lines(p, lambda line: line.endswith(ELLIPSES)), most=0.3,
        ),
        Rule("gopher_alphabetic", GOPHER, "words with a letter", _alphabetic, least=0.8),
        Rule(
            "gopher_stop_words", GOPHER, "different stop words of the, be, to, of, and, that, have, with",
            lambda p: len(STOP_WORDS.intersection(map(str.lower, p.words))), 2, languages=("en",),
        ),
        Rule("gopher_repeated_lines", GOPHER_A1, "lines seen before", lambda p: repeated_share(p.lines)[0], most=0.3),
        Rule(
            "gopher_repeated_paragraphs", GOPHER_A1, "paragraphs seen before",
            lambda p: repeated_share(p.paragraphs)[0], most=0.3,
        ),
        Rule(
            "gopher_repeated_line_letters", GOPHER_A1, "characters in lines seen before",
            lambda p: repeated_share(p.lines)[1] / max(1, len(p.text)), most=0.2,
        ),
        Rule(
            "gopher_repeated_paragraph_letters", GOPHER_A1, "characters in paragraphs seen before",
            lambda p: repeated_share(p.paragraphs)[1] / max(1, len(p.text)), most=0.2,
        ),
        *(
            Rule(
                f"gopher_top_{n}_words", GOPHER_A1, f"characters in the commonest run of {n} words",
                lambda p, n=n: top_share(p, n), most=most,  # type: ignore[misc]
            )
            for n, most in ((2, 0.20), (3, 0.18), (4, 0.16))
        ),
        *(
            Rule(
                f"gopher_repeated_{n}_words", GOPHER_A1, f"characters in runs of {n} words seen before",
                lambda p, n=n: run_share(p, n), most=most,  # type: ignore[misc]
            )
            for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
        ),
        Rule(
            "c4_sentences", C4, "sentences in lines that end one, have 3 words and no script or policy notice",
            _sentences, 5,
        ),
        Rule("c4_lorem_ipsum", C4, "'lorem ipsum'", lambda p: p.text.lower().count("lorem ipsum"), most=0),
        Rule("c4_curly_bracket", C4, "curly brackets", lambda p: p.text.count("{"), most=0),
    )
}  # fmt: skip


def failed(
    text: str, limits: Mapping[str, tuple[float, float]] | None = None, language: str | None = None
) -> list[str]:
    """The names of the rules that a text breaks, in the order of RULES; empty for a text that keeps them all.

    limits:   rule name -> (least, most), in place of the published range.
    language: "en", "zh" or another code. By default "zh" where Chinese characters outnumber other letters, else "en":
              name the language of a French text, or it fails for want of English stop words.
    Raises ValueError for an unknown rule name.

    >>> failed("# # # Lorem ipsum {")[:2]
    ['gopher_word_count', 'gopher_hashes']
    """
    limits = limits or {}
    if unknown := set(limits) - set(RULES):
        raise ValueError(f"unknown rules {sorted(unknown)}; there are {', '.join(RULES)}")
    page = Page(text, language)
    rules = (replace(r, least=limits[n][0], most=limits[n][1]) if n in limits else r for n, r in RULES.items())
    return [rule.name for rule in rules if not rule.holds(page)]
