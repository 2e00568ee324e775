"""Controls over a function that draws: live in Lab, Colab and Binder, a picture of several settings everywhere else.

Both forms are one display bundle. A front end with a kernel takes the widget; a saved or headless notebook shows the
picture. Works with ipywidgets 7.7 (Colab) and 8, and without ipywidgets.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from dslab.book import cards, figures, text
from dslab.book.display import in_kernel, show
from dslab.book.errors import PageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SAMPLES = 6
SAMPLE_SCALE = 0.7  # of the drawn size, so that two stand side by side with readable text


@dataclass(frozen=True)
class Slider:
    """A number from `low` to `high` in steps; floats where any of the four is one."""

    low: float
    high: float
    value: float
    step: float = 1

    @property
    def is_float(self) -> bool:
        """Whether the control gives floats."""
        return any(isinstance(x, float) for x in (self.low, self.high, self.value, self.step))

    def admits(self, value: Any) -> bool:
        """Whether `value` can be set."""
        return not isinstance(value, bool | str) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number in [{self.low:g}..{self.high:g}]"

    def widget(self, ipywidgets: Any, name: str) -> Any:
        """The live control. Redraws on release: while dragging, a slow drawing would queue up."""
        kind = ipywidgets.FloatSlider if self.is_float else ipywidgets.IntSlider
        return kind(
            value=self.value, min=self.low, max=self.high, step=self.step, description=name, continuous_update=False,
            style={"description_width": "initial"},
        )  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """One of several names."""

    options: tuple[Any, ...]
    value: Any

    def admits(self, value: Any) -> bool:
        """Whether `value` can be set."""
        return value in self.options

    def __str__(self) -> str:
        return "one of " + ", ".join(map(str, self.options))

    def widget(self, ipywidgets: Any, name: str) -> Any:
        """The live control."""
        style = {"description_width": "initial"}
        return ipywidgets.Dropdown(options=list(self.options), value=self.value, description=name, style=style)


@dataclass(frozen=True)
class Toggle:
    """Yes or no."""

    value: bool = False

    def admits(self, value: Any) -> bool:
        """Whether `value` can be set."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "True or False"

    def widget(self, ipywidgets: Any, name: str) -> Any:
        """The live control."""
        return ipywidgets.Checkbox(value=self.value, description=name, indent=False)


@dataclass(frozen=True)
class Text:
    """A piece of text to type or paste; drawn anew when the reader leaves the field."""

    value: str
    rows: int = 5

    def admits(self, value: Any) -> bool:
        """Whether `value` can be set."""
        return isinstance(value, str)

    def __str__(self) -> str:
        return "a text"

    def widget(self, ipywidgets: Any, name: str) -> Any:
        """The live control, as wide as the page."""
        layout = {"width": "98%"}
        return ipywidgets.Textarea(
            value=self.value, description=name, rows=self.rows, layout=layout, continuous_update=False
        )


Control = Slider | Choice | Toggle | Text
Draw = Callable[..., "Figure"]


def choice(*options: Any, value: Any = None) -> Choice:
    """`page.choice("local", "strided")`; starts at the first unless `value` says otherwise."""
    if not options:
        raise PageError("page.choice needs at least one option")
    return Choice(options, options[0] if value is None else value)


def run(draw: Draw, name: str, alt: str, controls: dict[str, Control], samples: Sequence[dict[str, Any]]) -> None:
    """Show the explorer. Raises PageError for missing words or samples, and where a sample cannot be drawn."""
    figures.check_alt(name, alt)
    check(name, controls, samples)
    picture = _small_multiples(draw, name, samples)
    widget = live(lambda values: _image(draw, name, alt, values), controls)
    payload = {"name": name, "alt": alt, "takeaway": ""}
    show(alt, kind="figure", payload=payload, png=picture, alt=alt, widget=widget)


def check(name: str, controls: Mapping[str, Control], samples: Sequence[Mapping[str, Any]]) -> None:
    """Refuse an explorer without samples, and settings that its controls do not admit."""
    if not samples or not controls:
        raise PageError(text.NO_SAMPLES.format(name=name))
    start = {control: kind.value for control, kind in controls.items()}
    for sample in (start, *samples):
        if set(sample) != set(controls):
            raise PageError(text.BAD_SAMPLE.format(name=name, sample=dict(sample), controls=", ".join(controls)))
        for control, value in sample.items():
            if not controls[control].admits(value):
                words = {"control": control, "value": value, "expected": controls[control]}
                raise PageError(text.BAD_VALUE.format(name=name, **words))


def _drawn(draw: Draw, name: str, values: Mapping[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    figure = draw(**values)
    if not isinstance(figure, Figure):
        raise PageError(text.NO_FIGURE.format(name=name, got=type(figure).__name__))
    return figure


def _small_multiples(draw: Draw, name: str, samples: Sequence[Mapping[str, Any]]) -> bytes:
    """Every sample drawn, each under its settings, two in a row, pixel for pixel (no resampling blurs the text)."""
    import numpy as np
    from matplotlib.figure import Figure

    panels = []
    for sample in samples[:MOST_SAMPLES]:
        try:
            figure = _drawn(draw, name, sample)
        except PageError:
            raise
        except Exception as error:
            raise PageError(text.SAMPLE_FAILED.format(name=name, sample=dict(sample), error=_said(error))) from error
        figure.set_size_inches(*(figure.get_size_inches() * SAMPLE_SCALE))
        panels.append(_pixels(figure))
        figures.close(figure)
    columns = min(2, len(panels))
    width, height = max(p.shape[1] for p in panels), max(p.shape[0] for p in panels)
    label, rows = 26, -(-len(panels) // columns)
    sheet = Figure(figsize=(columns * width / figures.DPI, rows * (height + label) / figures.DPI), dpi=figures.DPI)
    sheet.set_layout_engine("none")
    for position, (panel, sample) in enumerate(zip(panels, samples, strict=False)):
        row, column = divmod(position, columns)
        top = (rows - row) * (height + label)  # figure pixels count from the bottom
        sheet.figimage(panel.astype(np.uint8), xo=column * width, yo=top - label - panel.shape[0])
        words = ", ".join(f"{key} = {cards.number(value)}" for key, value in sample.items())
        place = {"x": (column * width + 12) / (columns * width), "y": (top - label / 2) / (rows * (height + label))}
        sheet.text(**place, s=words, va="center", fontsize=9, fontweight="bold")
    return figures.to_png(sheet)


def _pixels(figure: Figure) -> Any:
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(figures.DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def live(render: Callable[[dict[str, Any]], str], controls: Mapping[str, Control]) -> dict[str, Any] | None:
    """The view of controls over `render(values) -> HTML`, or None: no kernel, no ipywidgets, or a headless run."""
    if os.environ.get("DSLAB_HEADLESS") == "1" or not in_kernel():
        return None
    try:
        import ipywidgets
    except ImportError:
        return None
    widgets = {control: kind.widget(ipywidgets, control) for control, kind in controls.items()}
    # An HTML widget, since ipywidgets' Image has no alternative text.
    stage = ipywidgets.HTML(value=render({c: w.value for c, w in widgets.items()}))

    def redraw(_: Any) -> None:
        stage.value = render({control: widget.value for control, widget in widgets.items()})

    for widget in widgets.values():
        widget.observe(redraw, names="value")
    row = ipywidgets.HBox(list(widgets.values()), layout={"flex_flow": "row wrap"})
    box = ipywidgets.VBox([row, stage])
    return {"version_major": 2, "version_minor": 0, "model_id": box.model_id}


def _image(draw: Draw, name: str, alt: str, values: Mapping[str, Any]) -> str:
    """The drawing as an HTML image, or one sentence where it cannot be drawn: a reader may move into any corner."""
    try:
        figure = _drawn(draw, name, values)
        encoded = base64.b64encode(figures.to_png(figure)).decode("ascii")
        figures.close(figure)
    except Exception as error:
        return f'<p role="alert"><strong>{escape(text.CANNOT_DRAW.format(error=_said(error)))}</strong></p>'
    settings = ", ".join(f"{key} = {cards.number(value)}" for key, value in values.items())
    words = escape(f"{alt} Now: {settings}.", quote=True)
    return f'<img alt="{words}" style="max-width:100%" src="data:image/png;base64,{encoded}">'


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
