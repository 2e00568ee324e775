"""A self-test that ends in advice: radio buttons where a kernel lives, folded answers everywhere else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from typing import Protocol

from dslab.book import text
from dslab.book.display import in_kernel, show


class Question(Protocol):
    """One question. `right` is the index of the right option; `advice` is what to read where the answer was wrong."""

    @property
    def ask(self) -> str: ...
    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def right(self) -> int: ...
    @property
    def because(self) -> str: ...
    @property
    def advice(self) -> str: ...


def advise(questions: Sequence[Question], answers: Sequence[int | None], all_right: str) -> str:
    """What to tell someone who gave these answers (an option's index each, None where open).

    Several wrong answers: the earliest question's advice, since the questions build on each other.
    """
    left = sum(answer is None for answer in answers)
    if left:
        return text.QUIZ_LEFT.format(left=left, total=len(questions))
    wrong = [question for question, answer in zip(questions, answers, strict=True) if answer != question.right]
    words = {"total": len(questions), "right": len(questions) - len(wrong)}
    if not wrong:
        return text.QUIZ_ALL_RIGHT.format(advice=all_right, **words)
    return text.QUIZ_SOME_RIGHT.format(advice=wrong[0].advice, **words)


def ask(questions: Sequence[Question], all_right: str) -> None:
    """Show the self-test. all_right: the advice for someone who knows everything."""
    widget = _live(questions, all_right)
    plain = "\n".join(f"{n}. {q.ask}\n   {' / '.join(q.options)}" for n, q in enumerate(questions, start=1))
    show(plain, _folded(questions), widget=widget)


def _folded(questions: Sequence[Question]) -> str:
    parts = []
    for number, question in enumerate(questions, start=1):
        options = "".join(f"<li>{escape(option)}</li>" for option in question.options)
        answer = f"{question.options[question.right]}. {question.because} {question.advice}"
        parts.append(
            f"<p><strong>{number}. {escape(question.ask)}</strong></p><ul>{options}</ul>"
            f'<details style="margin-bottom:1em"><summary>{text.ANSWER}</summary><p>{escape(answer)}</p></details>'
        )
    return "\n".join(parts)


def _live(questions: Sequence[Question], all_right: str) -> dict[str, object] | None:
    if os.environ.get("DSLAB_HEADLESS") == "1" or not in_kernel():
        return None
    try:
        import ipywidgets
    except ImportError:
        return None
    groups, verdicts, rows = [], [], []
    for number, question in enumerate(questions, start=1):
        options = [(option, index) for index, option in enumerate(question.options)]
        groups.append(ipywidgets.RadioButtons(options=options, value=None, layout={"width": "max-content"}))
        verdicts.append(ipywidgets.HTML())
        rows += [ipywidgets.HTML(f"<strong>{number}. {escape(question.ask)}</strong>"), groups[-1], verdicts[-1]]
    advice = ipywidgets.HTML(advise(questions, [None] * len(questions), all_right))

    def answered(_: object) -> None:
        for question, group, verdict in zip(questions, groups, verdicts, strict=True):
            if group.value is not None:
                word = text.RIGHT if group.value == question.right else text.WRONG_ANSWER
                verdict.value = f"<em>{word}</em>: {escape(question.because)}"
        advice.value = f"<strong>{escape(advise(questions, [g.value for g in groups], all_right))}</strong>"

    for group in groups:
        group.observe(answered, names="value")
    box = ipywidgets.VBox([*rows, advice])
    return {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
