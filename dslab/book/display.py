"""Put a result before the reader and into the executed notebook: one display bundle, several forms of one thing.

Everything that a run reports travels this way (`application/vnd.dslab.*+json`), never by a side file.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

MIME = "application/vnd.dslab.{kind}+json"


def shell() -> Any | None:
    """The running IPython, or None in plain Python."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    return get_ipython()  # type: ignore[no-untyped-call]


def in_kernel() -> bool:
    """Whether a notebook's kernel runs us: only there can widgets live."""
    return getattr(shell(), "kernel", None) is not None


def history() -> list[str]:
    """Sources of the cells that ran in this session, oldest first; [] in plain Python and where none is kept."""
    running = shell()
    return list(running.user_ns.get("In", [])) if running else []


def show(
    plain: str,
    html: str | None = None,
    kind: str | None = None,
    payload: Mapping[str, Any] | None = None,
    png: bytes | None = None,
    alt: str = "",
    widget: Mapping[str, Any] | None = None,
    markdown: str | None = None,
) -> None:
    """Display one bundle. kind and payload: the machine-readable form; png: an image with its alternative text."""
    data: dict[str, Any] = {"text/plain": plain}
    about: dict[str, Any] = {}
    if html is not None:
        data["text/html"] = html
    if markdown is not None:
        data["text/markdown"] = markdown
    if png is not None:
        data["image/png"] = base64.b64encode(png).decode("ascii")
        about["image/png"] = {"alt": alt}
    if widget is not None:
        data["application/vnd.jupyter.widget-view+json"] = dict(widget)
    if kind is not None:
        data[MIME.format(kind=kind)] = {key: as_json(value) for key, value in (payload or {}).items()}
    if shell() is None:
        print(plain)
        return
    from IPython.display import display

    display(data, raw=True, metadata=about)  # type: ignore[no-untyped-call]


def as_json(value: Any) -> Any:
    """The value as JSON can carry it: numpy scalars as numbers, NaN and infinities as their names."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
