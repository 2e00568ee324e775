"""Errors that a reader meets in a notebook: one message, no page of traceback."""

from __future__ import annotations

from dslab.runner.parameters import ParameterError


class Short:
    """Mix-in: IPython shows the type and the message only; everywhere else it is an ordinary exception.

    The cell still fails, so a headless run still ends with its exit code.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class RefusedParameter(Short, ParameterError):
    """A parameter that is unknown, of a wrong type, out of range or not among its choices."""


class PageError(Short, ValueError):
    """A call of `page` that cannot be right: what was expected, what came, what to do."""


class ClaimFailed(Short, AssertionError):
    """An exact claim that was judged and does not hold."""
