"""How a command meets a request to end (Ctrl-C, SIGTERM), from its first import to its last breath.

    quiet   until it listens there is nothing to save: it dies of the signal, without a word or a traceback
    listen  while it works: a KeyboardInterrupt, so that children end and what was done stays; exit code 130
    deaf    once its last word is said nothing is left to interrupt: the exit code stays that of the work

These are for the process of a command alone, never for whoever imports dslab; `held` is for everybody. A signal that
was ignored when the process began (`nohup`, a shell's background job) stays ignored. Standard library only, so that the
set-up can use it too.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)


def quiet() -> None:
    _answer(signal.SIG_DFL)


def listen() -> None:
    _answer(signal.default_int_handler)


def deaf() -> None:
    _answer(signal.SIG_IGN)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold a Ctrl-C or SIGTERM back until the block has ended: for steps that must not be left halfway."""
    if threading.current_thread() is not threading.main_thread():
        yield  # an interruption is the main thread's
        return
    came: list[tuple[int, Any]] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    heard = {number: answer for number, answer in before.items() if callable(answer)}
    for number in heard:
        signal.signal(number, lambda *event: came.append(event))
    try:
        yield
    finally:
        for number, answer in heard.items():
            signal.signal(number, answer)
        for event, frame in came[:1]:  # also where the block failed: that may be what the signal did to a child
            heard[signal.Signals(event)](event, frame)


def _answer(how: Any) -> None:
    with contextlib.suppress(ValueError):  # not the main thread
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, how)
