"""A run to look at while it runs: in a notebook a loss curve that grows, on a terminal a bar, in a log nothing.

The curve is drawn as SVG here: a picture from matplotlib would take a tenth of a second of the cores that train.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 200, 46, 24  # pixels
EVERY = 0.5  # seconds between two pictures
LINE, POINTS = "#0072B2", "#D55E00"  # told apart with every common form of colour blindness


class Live:
    """Call `update` after every step and `close` at the end; in a notebook one output remains, the finished curve."""

    def __init__(self, steps: int, show: bool = True) -> None:
        self.steps, self._last, self._began, self._first = steps, 0.0, time.monotonic(), 0
        self._handle: Any = None
        self._bar: Any = None
        if show and _in_kernel():
            from IPython.display import display

            self._handle = display(_bundle("starting", self._progress(0, "starting")), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        elif show and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("training", total=steps)
            self._bar.start()

    def update(self, losses: Sequence[float], held_out: Mapping[int, float]) -> None:
        """losses: of all steps so far; held_out: step -> loss."""
        done, now = len(losses), time.monotonic()
        self._first = self._first or done - 1  # a resumed run does not start with the first step
        if self._bar:
            self._bar.update(self._task, completed=done, description=f"loss {losses[-1]:.3f}")
        if not self._handle or now - self._last < EVERY:
            return
        self._last = now
        pace = (now - self._began) / (done - self._first)
        said = f"step {done} of {self.steps}, loss {losses[-1]:.3f}, {pace * (self.steps - done):.0f} s to go"
        self._handle.update(_bundle(said, self._progress(done, said) + curve(losses, held_out, self.steps)), raw=True)

    def close(self, losses: Sequence[float], held_out: Mapping[int, float], words: str) -> None:
        """The last state. words: what the run came to."""
        if self._bar:
            self._bar.stop()
        if self._handle:
            html = f"<div>{escape(words)}</div>{curve(losses, held_out, self.steps)}" if losses else escape(words)
            self._handle.update(_bundle(words, html), raw=True)

    def _progress(self, done: int, words: str) -> str:
        return f'<div><progress max="{self.steps}" value="{done}"></progress> {escape(words)}</div>'


def curve(losses: Sequence[float], held_out: Mapping[int, float], steps: int) -> str:
    """An SVG of the losses over steps, from zero up; the held-out ones as points.

    >>> curve([2.0, 1.0], {2: 1.5}, 2).count("<circle")
    1
    """
    top = max([*losses, *held_out.values()]) or 1.0

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - 8) * (step - 1) / max(steps - 1, 1)

    def y(loss: float) -> float:
        return 8 + (HEIGHT - BOTTOM - 8) * (1 - loss / top)

    words = f"Loss over {len(losses)} of {steps} steps, from {losses[0]:.3f} to {losses[-1]:.3f}."
    line = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in enumerate(losses, 1))
    points = "".join(
        f'<circle cx="{x(step):.1f}" cy="{y(loss):.1f}" r="4" fill="{POINTS}"/>' for step, loss in held_out.items()
    )
    marks = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#8884"/>'
        f'<text x="{LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2g}</text>'
        for v in (0.0, top / 2, top)
    )
    name = "training (line), held out (points)" if held_out else "training loss"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" style="max-width:100%;height:auto" role="img" '
        f'aria-label="{words}" font-size="12" font-family="sans-serif" fill="currentColor">{marks}'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 6}" text-anchor="end">step {steps}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{name}, nats a token</text>'
        f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>{points}</svg>'
    )


def _bundle(plain: str, html: str) -> dict[str, str]:
    return {"text/plain": plain, "text/html": html}


def _in_kernel() -> bool:
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None  # type: ignore[no-untyped-call]
