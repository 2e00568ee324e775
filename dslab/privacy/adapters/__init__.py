"""Masking inside other people's tools: Hugging Face datasets, presidio, datatrove. Each file needs its own library.

from dslab.privacy.adapters.datasets import map_batch            Dataset.map(map_batch(masker), batched=True)
from dslab.privacy.adapters.presidio import DslabRecognizer      AnalyzerEngine().registry.add_recognizer(...)
from dslab.privacy.adapters.datatrove import MaskFormatter       LocalPipelineExecutor([reader, MaskFormatter(...)])
"""

from __future__ import annotations


def missing(library: str) -> ImportError:
    """The error for a library that is not installed."""
    return ImportError(
        f"this adapter needs {library}: pip install {library}, or all peers with: pip install 'dslab-course[bench]'",
        name=library.replace("-", "_"),
    )
