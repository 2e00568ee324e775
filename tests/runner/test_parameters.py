"""The parameters cell: what it declares, what is refused."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslab.runner import parameters
from dslab.runner.parameters import Parameter, ParameterError

from . import toys


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rank: int = 8  # adapter rank [1..64]", Parameter("rank", "int", 8, "adapter rank", 1, 64)),
        ("lr: float = 1  # learning rate [1e-6..]", Parameter("lr", "float", 1.0, "learning rate", 1e-6)),
        ("shift: int = -3  # shift [-8..-1]", Parameter("shift", "int", -3, "shift", -8, -1)),
        ("k: int = 2  # kept {1,2,4}", Parameter("k", "int", 2, "kept", choices=(1, 2, 4))),
        ("dtype: str = 'auto'  # {auto, fp32}", Parameter("dtype", "str", "auto", "", choices=("auto", "fp32"))),
        ("note: str = 'a # b'  # of shape [B, L]", Parameter("note", "str", "a # b", "of shape [B, L]")),
        ("causal: bool = True", Parameter("causal", "bool", True)),
        ("alpha = 0.5  # as papermill writes it", Parameter("alpha", "float", 0.5, "as papermill writes it")),
        ("big: int = 5  # bytes [0..1_000_000]", Parameter("big", "int", 5, "bytes", 0, 1_000_000)),
    ],
)
def test_declared(line: str, expected: Parameter) -> None:
    assert parameters.parse(f'"""A cell."""\n\n{line}\n') == [expected]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a: int = 1\nb: int = (", "line 2"),
        ("a: int = 1\n\nimport os", "line 3: expected"),
        ("a: int = 'x'", "default of a must be of type int; got 'x'"),
        ("a: int = True", "must be of type int; got True"),
        ("a: list = [1]", "must be one of int, float, str, bool; got list"),
        ("a: int = 2 ** 3", "must be a literal; got `2 ** 3`"),
        ("a: int = 9  # [1..8]", "must be an int in [1..8]; got 9"),
        ("a: int = 1  # [1, 8]", "must be numbers, as in [1..64]; got [1, 8]"),
        ("a: int = 1  # [8..1]", "is empty"),
        ("a: int = 1  # [0.5..8]", "whole numbers"),
        ("a: int = 1  # {1,x}", "choices of a must be int values"),
        ("a: str = 'x'  # {}", "choices of a"),
        ("a: bool = True  # {yes,no}", "choices of a"),
        ("a: str = 'x'  # [1..3]", "for type str"),
        ("a: int = 1\na: int = 2", "line 2: a is declared twice"),
        ("a: int", "expected"),
    ],
)
def test_cell_refused_naming_the_line(source: str, words: str) -> None:
    with pytest.raises(ParameterError, match="parameters cell, line") as refusal:
        parameters.parse(source)
    assert words in str(refusal.value)


SPECIFICATION = parameters.parse(toys.PARAMETERS)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"window": 0}, "window must be an int in [1..64]; got 0"),
        ({"window": 3.0}, "got 3.0"),
        ({"window": True}, "got True"),
        ({"causal": 1}, "causal must be a bool"),
        ({"note": 12}, "note must be a str; got 12"),
        ({"rate": float("inf")}, "got inf"),
        ({"Window": 3}, "did you mean 'window'?"),
        ({"zzz": 3}, "unknown parameter 'zzz'; valid parameters: seed, device"),
    ],
)
def test_typed_values_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError) as refusal:
        parameters.validate(SPECIFICATION, values)
    assert words in str(refusal.value)


def test_typed_values_keep_their_type() -> None:
    kept = parameters.validate(SPECIFICATION, {"rate": 1, "window": 64})
    assert kept == {"rate": 1.0, "window": 64}
    assert isinstance(kept["rate"], float)


names = st.text(string.ascii_lowercase, min_size=1, max_size=8).map(lambda name: f"p_{name}")


@given(names, st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(-(10**7), 10**7))
def test_exactly_the_values_in_range_pass(name: str, low: int, span: int, value: int) -> None:
    specification = parameters.parse(f"{name}: int = {low}  # anything [{low}..{low + span}]")
    if low <= value <= low + span:
        assert parameters.coerce(specification, {name: str(value)}) == {name: value}
    else:
        with pytest.raises(ParameterError):
            parameters.coerce(specification, {name: str(value)})


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(), st.booleans())
def test_metadata_round_trip_keeps_the_specification(number: float, text: str, flag: bool) -> None:
    source = f"a: float = {number!r}  # help\nb: str = {text!r}\nc: bool = {flag}  # flag\nd: str = 'x'  # {{x,y}}"
    found = parameters.parse(source)
    assert parameters.from_dicts(json.loads(json.dumps([row.as_dict() for row in found]))) == found
    assert parameters.defaults(found) == {"a": number, "b": text, "c": flag, "d": "x"}


def test_a_notebook_without_the_cell_falls_back_to_its_metadata(tmp_path: Path) -> None:
    book = toys.write(tmp_path / "a.ipynb", parameters=None)
    assert parameters.from_notebook(book) == []
    notebook = json.loads(book.read_text())
    notebook["metadata"]["dslab"] = {"parameters": [row.as_dict() for row in SPECIFICATION]}
    book.write_text(json.dumps(notebook))
    assert parameters.from_notebook(book) == SPECIFICATION


def test_injected_cell_is_read_back() -> None:
    source = "# Parameters\nwindow = 3\nnote = \"x\"\nrate = float('nan')\n"
    assert parameters.assigned(source) == {"window": 3, "note": "x", "rate": "float('nan')"}
