"""Notebook 00's warm-up against the mistakes people make, and its self-test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from exercise_harness import hold

from dslab.book.quiz import advise
from dslab.exercises import n00

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


def test_score_bytes() -> None:
    wrong = {
        "one L": (lambda B, H, L, dtype: B * H * L * BYTES[dtype], "L x L"),
        "no heads": (lambda B, H, L, dtype: B * L * L * BYTES[dtype], "heads are missing"),
        "no batch": (lambda B, H, L, dtype: H * L * L * BYTES[dtype], "batch is missing"),
        "numbers, not bytes": (lambda B, H, L, dtype: B * H * L**2, "how many scores"),
        "always four bytes": (lambda B, H, L, dtype: B * H * L**2 * 4, "4 bytes a number whatever"),
        "always two bytes": (lambda B, H, L, dtype: B * H * L**2 * 2, "2 bytes a number whatever"),
        "the triangle": (lambda B, H, L, dtype: B * H * L * (L + 1) // 2 * BYTES[dtype], "triangle"),
        "the size of q": (lambda B, H, L, dtype: B * H * L * 64 * BYTES[dtype], "no D left"),
        "bits": (lambda B, H, L, dtype: B * H * L * L * BYTES[dtype] * 8, "bits"),
        "megabytes": (lambda B, H, L, dtype: B * H * L * L * BYTES[dtype] / 1e6, "megabytes"),
        "a slip": (lambda B, H, L, dtype: B * H * L * L * BYTES[dtype] + 1, "should be 294,912"),
        "no such key": (lambda B, H, L, dtype: B * H * L * L * {"float32": 4}[dtype], "KeyError in line"),
        "too few arguments": (lambda B, H, L: B * H * L * L, "takes 3 positional arguments but 4 were given"),
    }
    right = {
        "product": lambda B, H, L, dtype: math.prod((B, H, L, L, BYTES[dtype])),
        "numpy": lambda B, H, L, dtype: (
            np.broadcast_to(np.zeros((), np.float32 if dtype == "fp32" else np.float16), (B, H, L, L)).nbytes
        ),
    }
    hold(n00.score_bytes, wrong, right)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([1, 1, 0, 2, 1], "All 5 right. Start with 01"),
        ([1, 0, 0, 2, 1], "4 of 5 right. Start with 01, sparse attention: it opens"),
        ([1, 1, 1, 2, 0], "3 of 5 right. Start with 02"),  # the earlier of two gaps
        ([0, 1, 0, 2, 0], "notation table"),
        ([1, None, 0, None, 1], "2 of 5 questions left"),
    ],
)
def test_self_test_says_what_to_read_first(answers: list[int | None], said: str) -> None:
    assert said in advise(n00.questions, answers, n00.all_right)
