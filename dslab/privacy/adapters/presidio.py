"""dslab's detector as a recognizer of presidio, which brings its anonymisers, operators and other recognizers.

    registry.add_recognizer(DslabRecognizer("zh"))
    AnalyzerEngine(registry=registry, nlp_engine=blank_engine("en", "zh"), supported_languages=["en", "zh"])

presidio tokenises every text with a spaCy model before any recognizer runs. dslab does not need that; `blank_engine`
gives a model without weights, so that nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dslab.privacy.adapters import missing
from dslab.privacy.detector import Detector
from dslab.privacy.recognizers.base import Recognizer
from dslab.privacy.spans import TYPES

try:
    from presidio_analyzer import AnalysisExplanation, EntityRecognizer, RecognizerResult
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
except ImportError as error:
    raise missing("presidio-analyzer") from error

NAME = "DslabRecognizer"
# presidio's name where it has one; ours where not.
ENTITIES = {
    "EMAIL": "EMAIL_ADDRESS",
    "CARD": "CREDIT_CARD",
    "IP": "IP_ADDRESS",
    "IBAN": "IBAN_CODE",
    "US_SSN": "US_SSN",
    "CN_MOBILE": "PHONE_NUMBER",
    "PHONE_INTL": "PHONE_NUMBER",
}


class DslabRecognizer(EntityRecognizer):
    """All types of a detector as one presidio recognizer.

    language: the presidio language it serves; make one for each (the detector itself reads English and Chinese alike).
    types, policy: as for `Detector`.
    """

    def __init__(self, language: str = "en", types: Iterable[str | Recognizer] = TYPES, policy: str = "recall") -> None:
        chosen = tuple(types)
        self.detector = Detector(types=chosen, policy=policy)
        names = [item if isinstance(item, str) else item.type for item in chosen]
        super().__init__(
            supported_entities=sorted({ENTITIES.get(name, name) for name in names}),
            name=NAME,
            supported_language=language,
        )

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """presidio's results for the spans found, each with the rule that found it."""
        results = []
        for span in self.detector.find(text):
            entity = ENTITIES.get(span.type, span.type)
            if entities and entity not in entities:
                continue
            explanation = AnalysisExplanation(recognizer=NAME, original_score=span.score, textual_explanation=span.rule)
            results.append(
                RecognizerResult(
                    entity_type=entity,
                    start=span.start,
                    end=span.end,
                    score=span.score,
                    analysis_explanation=explanation,
                    recognition_metadata={
                        RecognizerResult.RECOGNIZER_NAME_KEY: NAME,
                        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
                    },
                )
            )
        return results


def blank_engine(*languages: str) -> SpacyNlpEngine:
    """An NLP engine of blank spaCy models: tokens only, nothing to download."""
    import spacy

    engine = SpacyNlpEngine(models=[{"lang_code": code, "model_name": f"blank:{code}"} for code in languages])
    engine.nlp = {code: spacy.blank(code) for code in languages}  # type: ignore[assignment]
    return engine
