"""What `page.check` makes of answers of every kind, and what an explorer refuses."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dslab.book import Page, checks
from dslab.book.errors import PageError


def exercise(check: Callable[[Any], str | None]) -> Any:
    return SimpleNamespace(name="double", hints=("a", "b", "c"), solution="x", check=check)


def doubles(answer: Any) -> str | None:
    return None if answer(2) == 4 and answer(5) == 10 else "not doubled"


def only_a_docstring(x: int) -> int:  # type: ignore[empty-body]
    """Double it."""


def half_done(x: int) -> Any:
    x += 1
    return ...


def deep_inside(x: int) -> int:
    def inner() -> int:
        raise NotImplementedError

    return inner()


class Doubler:
    def __call__(self, x: int) -> int:
        return 2 * x


class Broken:
    def __call__(self, x: int) -> int:
        return {}[x]


@pytest.mark.parametrize("stub", [None, ..., only_a_docstring, lambda x: ..., lambda x: None, half_done, deep_inside])
def test_stubs_are_to_do(stub: Any) -> None:
    assert checks.judge(exercise(doubles), stub)[0] == "todo"


def test_a_stub_is_seen_through_a_checker_that_catches_everything() -> None:
    def careful(answer: Any) -> str | None:
        try:
            return doubles(answer)
        except Exception:
            return "it raised"

    assert checks.judge(exercise(careful), half_done)[0] == "todo"


@pytest.mark.parametrize("answer", [lambda x: 2 * x, lambda x: x + x, Doubler()])
def test_right_answers(answer: Any) -> None:
    assert checks.judge(exercise(doubles), answer) == ("right", checks.text.RIGHT_TEXT)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x, "not doubled"),
        (lambda x: x[0], "TypeError in line"),
        (Broken(), "KeyError in line"),
        (3, "The checker could not use what your code gave it"),
        (lambda: 4, "takes 0 positional arguments"),
    ],
)
def test_wrong_answers(answer: Any, said: str) -> None:
    state, message = checks.judge(exercise(doubles), answer)
    assert state == "wrong"
    assert said in message


def test_a_forgotten_return_is_named() -> None:
    def forgets(x: int) -> None:
        str(x)

    source = "lambda answer: None if answer(2) + 0 == 4 else 'no'"
    needs_number = exercise(eval(compile(source, "<a checker of ours>", "eval")))
    assert checks.judge(needs_number, forgets) == ("wrong", checks.text.RETURNS_NONE)


def test_a_learners_function_keeps_its_signature() -> None:
    import inspect

    def answer(q: int, k: int = 3) -> int:
        return q

    def takes_k(watched: Any) -> str | None:
        return None if list(inspect.signature(watched).parameters) == ["q", "k"] else "no k"

    assert checks.judge(exercise(takes_k), answer)[0] == "right"


def test_hints_have_numbers(start: Callable[..., Page]) -> None:
    page = start()
    for n in (0, 4, "1"):
        with pytest.raises(PageError, match="has hints 1 to 3"):
            page.hint(exercise(doubles), n)  # type: ignore[arg-type]


def line(window: int) -> Any:
    from matplotlib.figure import Figure

    fig = Figure()
    fig.subplots().plot([0, window])
    return fig


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"alt": "A line."}, "needs alternative text"),
        ({"samples": []}, "needs samples"),
        ({"samples": [{"widnow": 1}]}, "must set exactly the controls window"),
        ({"samples": [{"window": 65}]}, r"window = 65 is not possible; expected a number in \[1..64\]"),
        ({"draw": lambda window: None}, "must return a matplotlib Figure; it returned NoneType"),
        ({"draw": lambda window: 1 / 0}, r"the sample {'window': 1} cannot be drawn: ZeroDivisionError"),
    ],
)
def test_explorers_that_cannot_be_right(start: Callable[..., Page], changed: dict[str, Any], said: str) -> None:
    page = start()
    given: dict[str, Any] = {
        "draw": line,
        "name": "line",
        "alt": "A line that rises to the window: the wider the window, the steeper.",
        "controls": {"window": page.slider(1, 64, value=4)},
        "samples": [{"window": 1}],
        **changed,
    }
    draw = given.pop("draw")
    with pytest.raises(PageError, match=said):
        page.explore(draw, **given)
