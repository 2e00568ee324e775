"""Exercises of notebook 00: one warm-up, and the questions of the self-test."""

from dslab.exercises.n00.questions import all_right, questions
from dslab.exercises.n00.score_bytes import exercise as score_bytes

__all__ = ["all_right", "questions", "score_bytes"]
