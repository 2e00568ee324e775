"""The file of a study: what TOML says, its keys checked, and values as TOML writes them (the library only reads it)."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from dslab.runner.selection import Refused

KEYS = ("notebook", "how", "random", "draw_seed", "seeds", "timeout", "parameters", "cluster")


def read(path: Path) -> dict[str, Any]:
    """What a study's file says, its keys checked. Raises Refused naming the file and what is wrong in it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refused(f"{path} cannot be read as a study in TOML: {error}") from None
    for key in data:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.6)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise Refused(
                f"{path.name}: unknown key {key!r}{hint}; valid keys: {', '.join(KEYS)}; "
                "parameters of the notebook belong under [parameters]"
            )
    if not isinstance(data.get("notebook"), str):
        raise Refused(f'{path.name}: `notebook = "04"` must name the notebook; got {data.get("notebook")!r}')
    for key in ("parameters", "cluster"):
        if not isinstance(data.setdefault(key, {}), dict):
            raise Refused(f"{path.name}: [{key}] must be a table; got {data[key]!r}")
    return data


def key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else literal(name)


def single(value: Any) -> str:
    """A single text with a comma stands in a list, where no syntax is looked for."""
    return literal([value] if isinstance(value, str) and "," in value else value)


def literal(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key(name)} = {literal(item)}" for name, item in value.items()) + "}"
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)
