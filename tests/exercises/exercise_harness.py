"""Hold an exercise to plausible wrong answers: each must be refused with a diagnosis of its own.

    hold(exercise, wrong={"one key too many": (answer, "one key too many"), …}, right={"loop": …, "broadcast": …})

Answers go through `dslab.book.checks.judge`, the way a learner's do, so stubs and exceptions are covered as well.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dslab.book.checks import judge

FEWEST_WRONG, FEWEST_RIGHT = 5, 2


def hold(
    exercise: Any,
    wrong: Mapping[str, tuple[Any, str]],
    right: Mapping[str, Any],
    names: Mapping[str, Any] | None = None,
) -> None:
    """Fail with every fault found.

    wrong: what the mistake is -> (answer, part of the diagnosis it must get).
    right: how it is done -> answer; the exercise's own solution is checked besides.
    names: what the solution may use without importing it, as the notebook would have it.
    """
    faults = [f"only {len(wrong)} wrong answers; at least {FEWEST_WRONG}"] if len(wrong) < FEWEST_WRONG else []
    if len(right) < FEWEST_RIGHT:
        faults.append(f"only {len(right)} right answers; at least {FEWEST_RIGHT}, done differently")
    said: dict[str, str] = {}
    for mistake, (answer, part) in wrong.items():
        state, message = judge(exercise, answer)
        if state != "wrong":
            faults.append(f"wrong answer {mistake!r} is taken as {state}")
        elif part not in message:
            faults.append(f"wrong answer {mistake!r} should hear {part!r}; it hears {message!r}")
        elif message in said:
            faults.append(f"wrong answers {mistake!r} and {said[message]!r} hear the same: {message!r}")
        said[message] = mistake
    for way, answer in {**right, "its own solution": solved(exercise, names or {})}.items():
        state, message = judge(exercise, answer)
        if state != "right":
            faults.append(f"right answer {way!r} is taken as {state}: {message}")
    for stub in stubs():
        state, _ = judge(exercise, stub)
        if state != "todo":
            faults.append(f"the stub {getattr(stub, '__name__', stub)!r} is taken as {state}")
    for rubbish in rubbishes():
        state, _ = judge(exercise, rubbish)  # must not raise
        if state != "wrong":
            faults.append(f"the rubbish {getattr(rubbish, '__name__', rubbish)!r} is taken as {state}")
    assert not faults, f"exercise {exercise.name!r}:\n" + "\n".join(faults)


def hold_diagnosis(exercise: Any, answer: Any, says: str) -> None:
    """Fail unless a wrong answer hears `says`, the same twice, in a whole sentence about what it does."""
    state, diagnosis = judge(exercise, answer)
    assert state == "wrong"
    assert says in diagnosis
    assert "{" not in diagnosis
    assert "  " not in diagnosis
    assert "The checker could not" not in diagnosis
    assert "of your code" not in diagnosis  # an exception, whose line may quote what it should say
    assert judge(exercise, answer) == (state, diagnosis)


def hold_parts(exercise: Any, name: str, notebook: str, stub: Any, solution: Any) -> None:
    """Fail unless an exercise's parts fit together: stub to do, solution right and short, hints that differ."""
    assert (exercise.name, exercise.notebook) == (name, notebook)
    assert judge(exercise, stub)[0] == "todo"
    assert judge(exercise, solution)[0] == "right"
    assert f"my_{name}(" in exercise.task
    assert len(exercise.solution.strip().splitlines()) <= 14
    assert all(first != second for first, second in zip(exercise.hints, exercise.hints[1:], strict=False))


def hold_sentences(says: Mapping[str, str], heard: Sequence[str]) -> None:
    """Fail for a template that none of the diagnoses heard came from: perhaps no answer can draw it out."""
    for key, template in says.items():
        longest = max((part.split("{")[0] for part in template.split("}")), key=len).strip()
        assert not longest or any(longest in diagnosis for diagnosis in heard), key


def solved(exercise: Any, names: Mapping[str, Any]) -> Any:
    """What the exercise's solution defines under the exercise's name, else its last function or class."""
    space: dict[str, Any] = dict(names)
    exec(compile(exercise.solution, f"<solution of {exercise.name}>", "exec"), space)
    if exercise.name in space:
        return space[exercise.name]
    made = [value for key, value in space.items() if callable(value) and key not in names and not key.startswith("__")]
    return made[-1]


def hold_quick_and_traceless(exercise: Any, answer: Any) -> None:
    """Fail where judging a right answer takes 0.1 CPU seconds or more, or moves the random state of torch."""
    exercise.check(answer)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    taken = []
    for _ in range(3):  # the least: what is above it is other work on this machine
        began = time.process_time()
        exercise.check(answer)
        taken.append(time.process_time() - began)
    assert min(taken) < 0.1
    assert torch.equal(torch.get_rng_state(), state)


def stubs() -> list[Any]:
    """What an unsolved exercise may look like."""

    def dots(*args: Any, **kwargs: Any) -> Any:
        """A docstring."""
        ...

    def todo(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("todo")

    def returns_dots(*args: Any, **kwargs: Any) -> Any:
        first = args[:1]
        return ... if first is not None else None

    return [None, ..., dots, todo, returns_dots]


def rubbishes() -> list[Any]:
    """What no exercise accepts and no checker may fall over."""

    def raises(*args: Any, **kwargs: Any) -> Any:
        return [][1]

    def returns_text(*args: Any, **kwargs: Any) -> Any:
        return f"{len(args)} arguments"

    def forgets_return(*args: Any, **kwargs: Any) -> Any:
        str(args)

    return [raises, returns_text, forgets_return, "text", 42]
