"""Typed notebook parameters: what a notebook may be given, read from its own parameters cell.

The cell is the specification. Each line is an annotated assignment whose comment ends in a range or in choices:

    rank: int = 8  # adapter rank [1..64]
    dtype: str = "auto"  # arithmetic of the model {auto,fp32,bf16,fp16}

The runner checks `-p name=value` against it before a kernel starts; `page.start` checks the same values again inside
the kernel, so plain papermill is covered too. Standard library only: this module is imported by every notebook.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import math
import operator
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TYPES = {"int": int, "float": float, "str": str, "bool": bool}
STANDARD = ("seed", "device", "profile")  # every notebook of the collection has these
FORM = "`name: type = default  # help [low..high]` or `# help {a,b}`"
WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"^\s*({_NUMBER})?\s*\.\.\s*({_NUMBER})?\s*$")
_TAIL = re.compile(r"^(?P<help>.*?)\s*(?P<tail>\[[^\[\]]*\]|\{[^{}]*\})\s*$")


class ParameterError(ValueError):
    """A parameter, or a parameters cell, that is refused. The message says what was expected, what came, what to do."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: `type` is the name of the type; `low` and `high` are inclusive, None where open."""

    name: str
    type: str
    default: Any
    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None

    @property
    def allowed(self) -> str:
        """The range or choices as written in the cell: `[1..64]`, `{auto,fp32}`, or nothing."""
        if self.choices is not None:
            return "{" + ",".join(str(choice) for choice in self.choices) + "}"
        if self.low is None and self.high is None:
            return ""
        return "[{}..{}]".format(*("" if bound is None else str(bound) for bound in (self.low, self.high)))

    @property
    def expected(self) -> str:
        """What a value must be, in words: `an int in [1..64]`."""
        noun = {"int": "an int", "float": "a float", "str": "a str", "bool": "a bool (true or false)"}[self.type]
        return noun + (f" {'in' if self.choices is None else 'from'} {self.allowed}" if self.allowed else "")

    def check(self, value: Any) -> Any:
        """The value as this parameter's type, or ParameterError.

        >>> Parameter("rank", "int", 8, low=1, high=64).check(65)
        Traceback (most recent call last):
        dslab.runner.parameters.ParameterError: rank must be an int in [1..64]; got 65 (default 8)
        """
        typed = _as_type(self.type, value)
        if typed is None or not self._admits(typed):
            near = _near(value, self.choices) if isinstance(value, str) and self.choices else ""
            raise ParameterError(f"{self.name} must be {self.expected}; got {value!r}{near} (default {self.default!r})")
        return typed

    def _admits(self, value: Any) -> bool:
        if self.choices is not None:
            return value in self.choices
        low_ok = self.low is None or value >= self.low
        return low_ok and (self.high is None or value <= self.high)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types, as kept in a notebook's metadata and printed by `dslab params --json`."""
        return asdict(self) | {"choices": None if self.choices is None else list(self.choices)}


def parse(source: str) -> list[Parameter]:
    """The parameters that a parameters cell declares, in order.

    A bare `name = literal` (as plain papermill notebooks write it) takes the type of its default.
    Raises ParameterError naming the line for syntax errors, other statements, unknown types and unreadable ranges.

    >>> parse("rank: int = 8  # adapter rank [1..64]")[0].allowed
    '[1..64]'
    """
    try:
        body = ast.parse(source).body
        comments = _comments(source)
    except (SyntaxError, tokenize.TokenError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ParameterError(f"parameters cell, line {line}: not Python ({error}); expected {FORM}") from None
    found: list[Parameter] = []
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            continue  # a docstring
        where = f"parameters cell, line {node.lineno}"
        try:
            parameter = _declare(node, comments.get(node.end_lineno or node.lineno, ""))
        except ParameterError as error:
            raise ParameterError(f"{where}: {error}") from None
        if any(parameter.name == other.name for other in found):
            raise ParameterError(f"{where}: {parameter.name} is declared twice; keep one")
        found.append(parameter)
    return found


def from_notebook(path: str | Path) -> list[Parameter]:
    """The parameters of a notebook file: its cell tagged `parameters`, else what `dslab build` kept in its metadata.

    Returns [] where a notebook has neither. Raises ParameterError where the file is no notebook.
    """
    path = Path(path)
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = notebook["cells"]
    except FileNotFoundError:
        raise ParameterError(f"no notebook at {path}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path} is not a notebook in format 4 ({type(error).__name__}: {error})") from None
    for cell in cells:
        if cell.get("cell_type") == "code" and "parameters" in cell.get("metadata", {}).get("tags", []):
            source = cell.get("source", "")
            try:
                return parse(source if isinstance(source, str) else "".join(source))
            except ParameterError as error:
                raise ParameterError(f"{path.name}: {error}") from None
    return from_dicts(notebook.get("metadata", {}).get("dslab", {}).get("parameters", []))


def from_dicts(rows: Iterable[Mapping[str, Any]]) -> list[Parameter]:
    """The inverse of `Parameter.as_dict`, a list at a time."""
    return [Parameter(**{**row, "choices": None if row["choices"] is None else tuple(row["choices"])}) for row in rows]


def coerce(parameters: Sequence[Parameter], texts: Mapping[str, str]) -> dict[str, Any]:
    """Text values of the command line as typed values, each within its range and choices.

    >>> coerce(parse("rank: int = 8  # adapter rank [1..64]"), {"rank": "16"})
    {'rank': 16}
    """
    by_name = known(parameters, texts)
    return {name: by_name[name].check(_from_text(by_name[name].type, text)) for name, text in texts.items()}


def validate(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Typed values (of papermill, or of a notebook's globals), each checked; only the given names are returned.

    Raises ParameterError: unknown name (with the nearest valid one and the list), type, range, choice.
    """
    by_name = known(parameters, values)
    return {name: by_name[name].check(value) for name, value in values.items()}


def defaults(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Name to default, in order."""
    return {parameter.name: parameter.default for parameter in parameters}


def assigned(source: str) -> dict[str, Any]:
    """Names and literal values that a cell assigns at top level; for the cell that papermill injects.

    >>> assigned("# Parameters\\nrank = 3\\n")
    {'rank': 3}
    """
    found: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:  # float('nan'), float('inf'): papermill writes them as calls
                found[node.targets[0].id] = ast.unparse(node.value)
    return found


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT}


def _declare(node: ast.stmt, comment: str) -> Parameter:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        name, value, kind = node.target.id, node.value, ast.unparse(node.annotation).strip("'\"")
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        name, value, kind = node.targets[0].id, node.value, None
    else:
        raise ParameterError(f"expected {FORM}; got `{ast.unparse(node)}`; move other statements to another cell")
    try:
        default = ast.literal_eval(value)
    except ValueError:
        raise ParameterError(f"the default of {name} must be a literal; got `{ast.unparse(value)}`") from None
    kind = kind or type(default).__name__
    if kind not in TYPES:
        raise ParameterError(f"the type of {name} must be one of int, float, str, bool; got {kind}")
    typed = _as_type(kind, default)
    if typed is None:
        raise ParameterError(f"the default of {name} must be of type {kind}; got {default!r}")
    text, low, high, choices = _limits(name, kind, comment)
    parameter = Parameter(name, kind, typed, text, low, high, choices)
    parameter.check(typed)
    return parameter


def _limits(name: str, kind: str, comment: str) -> tuple[str, float | None, float | None, tuple[Any, ...] | None]:
    """Split a comment into help, low, high, choices. A bracket that cannot be read is an error, never ignored."""
    match = _TAIL.match(comment)
    if not match or (kind == "str" and match["tail"][0] == "[" and ".." not in match["tail"]):
        return comment, None, None, None
    inner, text = match["tail"][1:-1], match["help"]
    if match["tail"][0] == "{":
        choices = tuple(_as_type(kind, _from_text(kind, item.strip())) for item in inner.split(","))
        if kind == "bool" or not inner.strip() or None in choices:
            raise ParameterError(f"the choices of {name} must be {kind} values, as in {{a,b}}; got {match['tail']}")
        return text, None, None, choices
    bounds = _RANGE.match(inner)
    if kind not in ("int", "float") or not bounds or not any(bounds.groups()):
        raise ParameterError(f"the range of {name} must be numbers, as in [1..64]; got {match['tail']} for type {kind}")
    low, high = (None if bound is None else _bound(name, kind, bound) for bound in bounds.groups())
    if low is not None and high is not None and low > high:
        raise ParameterError(f"the range of {name} is empty: {match['tail']}")
    return text, low, high, None


def _bound(name: str, kind: str, text: str) -> float:
    value = float(text)
    if kind == "float":
        return value
    if not value.is_integer():
        raise ParameterError(f"the range of {name} must be whole numbers for an int; got {text}")
    return int(text) if text.lstrip("+-").replace("_", "").isdigit() else int(value)


def _as_type(kind: str, value: Any) -> Any:
    """The value as this type without losing anything, else None. An int is a float; a bool is neither."""
    if kind in ("str", "bool"):
        return value if isinstance(value, TYPES[kind]) else None
    if isinstance(value, bool | str):
        return None
    if kind == "int":
        try:
            return operator.index(value)
        except TypeError:
            return None
    try:
        return float(value) if math.isfinite(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _from_text(kind: str, text: str) -> Any:
    """The value that a text stands for; the text itself where it stands for none, so that `check` can name it."""
    if kind == "bool":
        return WORDS.get(text.strip().lower(), text)
    try:
        return TYPES[kind](text)
    except ValueError:
        return text


def known(parameters: Sequence[Parameter], names: Iterable[str]) -> dict[str, Parameter]:
    """Every parameter by its name. Raises ParameterError for a name that is none, with the nearest valid one."""
    by_name = {parameter.name: parameter for parameter in parameters}
    for name in names:
        if name not in by_name:
            valid = ", ".join(by_name) or "none (the notebook has no cell tagged `parameters`)"
            raise ParameterError(f"unknown parameter {name!r}{_near(name, by_name)}; valid parameters: {valid}")
    return by_name


def _near(word: str, valid: Iterable[str]) -> str:
    lowered = {str(item).lower(): str(item) for item in valid}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.5)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""
