"""The finders that `dslab bench privacy` compares, set up as their users would, each with `find(text)`.

    two regexes       the widespread pair: 11 to 15 digits, then 17 digits and a digit or X (which never gets its turn)
    datatrove         the e-mail and IP patterns of PIIFormatter and its check, as it comes (public addresses only)
    phonenumbers      PhoneNumberMatcher with China as the home region
    presidio          AnalyzerEngine with six pattern recognisers, a blank spaCy model, no NER

presidio's e-mail recogniser asks the network for a list of domains; here it reads the list that came with the package.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from dslab.privacy import Span

TWO_REGEXES, DATATROVE, PHONENUMBERS = "two regexes", "datatrove PIIFormatter", "phonenumbers"
PRESIDIO, OURS = "presidio patterns", "dslab Detector"
PRESIDIO_TYPES = {
    "EMAIL_ADDRESS": "EMAIL", "CREDIT_CARD": "CARD", "IP_ADDRESS": "IP", "IBAN_CODE": "IBAN", "US_SSN": "US_SSN",
    "PHONE_NUMBER": "PHONE_INTL",
}  # fmt: skip


class TwoRegexes:
    """What is copied from one cleaning script to the next."""

    PHONE, IDENTITY = re.compile(r"\d{11,15}"), re.compile(r"\d{17}[\dXx]")

    def find(self, text: str) -> list[Span]:
        """Where text changes: the second pattern reads what the first one left."""
        spans = [Span(*m.span(), "CN_MOBILE", 1.0, "two:pattern") for m in self.PHONE.finditer(text)]
        left = self.PHONE.sub(lambda m: "\0" * len(m[0]), text)
        return spans + [Span(*m.span(), "CN_ID", 1.0, "two:pattern") for m in self.IDENTITY.finditer(left)]


class Datatrove:
    """PIIFormatter: `find` by its patterns and its check, `format` as its pipelines call it."""

    def __init__(self) -> None:
        from datatrove.pipeline.formatters.pii import PIIFormatter

        self.formatter = PIIFormatter()

    def find(self, text: str) -> list[Span]:
        replacers = (("EMAIL", self.formatter.emails_replacer), ("IP", self.formatter.ip_replacer))
        return [
            Span(match.start(), match.end(), name, 1.0, "datatrove:pattern")
            for name, replacer in replacers
            for match in replacer.regex.finditer(text)
            if replacer.validator is None or replacer.validator(match[0])
        ]

    def format(self, text: str) -> str:
        return str(self.formatter.format(text))


class PhoneNumbers:
    """Numbers that are valid by the metadata of the world's operators."""

    def find(self, text: str) -> list[Span]:
        from phonenumbers import PhoneNumberMatcher, PhoneNumberType, number_type

        spans = []
        for match in PhoneNumberMatcher(text, "CN"):
            is_mobile = match.number.country_code == 86 and number_type(match.number) == PhoneNumberType.MOBILE
            kind = "CN_MOBILE" if is_mobile else "PHONE_INTL"
            spans.append(Span(match.start, match.end, kind, 1.0, "phonenumbers:valid"))
        return spans


class Presidio:
    """The pattern recognisers for e-mail, card, IP, IBAN, US social security number and phone.

    threshold: results with a lower score are dropped. presidio's default is 0, which keeps every weak pattern.
    """

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = threshold

    @cached_property
    def engine(self) -> Any:
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer import predefined_recognizers as known
        from tldextract import TLDExtract

        from dslab.privacy.adapters.presidio import blank_engine

        domains = TLDExtract(suffix_list_urls=(), cache_dir=None)

        class OfflineEmail(known.EmailRecognizer):  # type: ignore[misc]
            def validate_result(self, pattern_text: str) -> bool:
                return domains(pattern_text).fqdn != ""

        registry = RecognizerRegistry(supported_languages=["en"])
        for recognizer in (
            OfflineEmail(), known.CreditCardRecognizer(), known.IpRecognizer(), known.IbanRecognizer(),
            known.UsSsnRecognizer(), known.PhoneRecognizer(),
        ):  # fmt: skip
            registry.add_recognizer(recognizer)
        return AnalyzerEngine(registry=registry, nlp_engine=blank_engine("en"), supported_languages=["en"])

    def find(self, text: str) -> list[Span]:
        found = self.engine.analyze(text, language="en", score_threshold=self.threshold)
        return [Span(r.start, r.end, PRESIDIO_TYPES[r.entity_type], r.score, "presidio:pattern") for r in found]


def everybody() -> dict[str, Any]:
    """All finders of the comparison, ours last."""
    from dslab.privacy import Detector

    return {
        TWO_REGEXES: TwoRegexes(), DATATROVE: Datatrove(), PHONENUMBERS: PhoneNumbers(), PRESIDIO: Presidio(),
        OURS: Detector(),
    }  # fmt: skip
