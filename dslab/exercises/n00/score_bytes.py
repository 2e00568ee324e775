"""Warm-up: how many bytes one layer's attention scores take. Small enough to learn how exercises work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dslab.exercises.exercise import Exercise

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
# Unequal sizes, so that no two mistakes give the same number.
CASES = ((2, 9, 64, "fp32"), (3, 5, 100, "bf16"), (1, 7, 33, "fp16"))


def _expected(batch: int, heads: int, length: int, dtype: str) -> int:
    return batch * heads * length * length * BYTES[dtype]


# Each mistake: what it computes, and what to say about it. The first that explains every case is named.
MISTAKES: tuple[tuple[Callable[[int, int, int, str], float], str], ...] = (
    (
        lambda b, h, n, t: b * h * n * BYTES[t],
        "You count L numbers a head, but every one of L queries has a score for every one of L keys: L x L.",
    ),
    (
        lambda b, h, n, t: b * n * n * BYTES[t],
        "The heads are missing: each of the H heads has its own L x L scores.",
    ),
    (
        lambda b, h, n, t: h * n * n * BYTES[t],
        "The batch is missing: each of the B sequences has its own scores.",
    ),
    (
        lambda b, h, n, t: b * h * n * n,
        "That is how many scores there are. Each takes 4 bytes in fp32 and 2 in bf16 or fp16.",
    ),
    (
        lambda b, h, n, t: b * h * n * n * 4,
        "You count 4 bytes a number whatever the dtype. bf16 and fp16 take 2.",
    ),
    (
        lambda b, h, n, t: b * h * n * n * 2,
        "You count 2 bytes a number whatever the dtype. fp32 takes 4.",
    ),
    (
        lambda b, h, n, t: b * h * (n * (n + 1) // 2) * BYTES[t],
        "You count the causal triangle only. A dense score matrix stores the masked half too.",
    ),
    (
        lambda b, h, n, t: b * h * n * 64 * BYTES[t],
        "B x H x L x D is the size of the queries. A score matrix has no D left: the product sums over it.",
    ),
    (
        lambda b, h, n, t: _expected(b, h, n, t) * 8,
        "Those are bits. A byte has eight of them.",
    ),
    (
        lambda b, h, n, t: _expected(b, h, n, t) / 1e6,
        "Those are megabytes. The task asks for bytes.",
    ),
)


def check(score_bytes: Callable[[int, int, int, str], Any]) -> str | None:
    """None when right, else the mistake."""
    answers = [score_bytes(*case) for case in CASES]
    expected = [_expected(*case) for case in CASES]
    if answers == expected:
        return None
    for mistake, diagnosis in MISTAKES:
        if answers == [mistake(*case) for case in CASES]:
            return diagnosis
    batch, heads, length, dtype = CASES[0]
    return (
        f"score_bytes(B={batch}, H={heads}, L={length}, dtype={dtype!r}) should be {expected[0]:,}; "
        f"yours gives {answers[0]!r}."
    )


exercise = Exercise(
    name="score_bytes",
    notebook="00",
    task="How many bytes do the attention scores of one layer take? Return an int from B, H, L and a dtype's name.",
    hints=(
        "Write the shape of the scores first. Which of the letters B, H, L, D survive the product of queries and keys?",
        "The scores have shape (B, H, L, L). Multiply the four, and you have how many numbers there are.",
        "Each number takes 4 bytes in fp32 and 2 in bf16 and fp16: B * H * L * L * bytes_per_number.",
    ),
    solution="""
def score_bytes(B, H, L, dtype):
    bytes_per_number = {"fp32": 4, "bf16": 2, "fp16": 2}[dtype]
    return B * H * L * L * bytes_per_number
""",
    check=check,
)
