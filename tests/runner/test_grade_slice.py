"""The part of a notebook that an answer needs: what a run from top to bottom would have, and nothing heavy."""

from __future__ import annotations

import pytest

from dslab.runner import grade_judge, grade_slice

CHECK = "page.check(exercises.score_bytes, f)"
HEAVY = "raise RuntimeError('a model would be loaded here')"


def answer(*cells: str) -> object:
    """What the last check's answer is, after the slice has run. An error in the slice comes back as its sentence."""
    book = grade_slice.read([(f"c{i}", cell) for i, cell in enumerate(cells)])
    check = grade_slice.checks(book)["score_bytes"]
    space: dict[str, object] = {}
    error = grade_judge._run(book, check, space)
    return error if error else space[grade_judge._ANSWER]


def value(*cells: str) -> object:
    """What the answer returns when it is called."""
    function = answer(*cells)
    return function() if callable(function) else function


@pytest.mark.parametrize(("cells", "expected"), [
    pytest.param(["def f(): return 1", CHECK], 1, id="plain"),
    pytest.param([f"{HEAVY}\nimport math\n{HEAVY}", "def f(): return math.floor(2.5)", CHECK], 2, id="import-only"),
    pytest.param(["from math import *", "def f(): return floor(2.5)", CHECK], 2, id="star-import"),
    pytest.param(["try:\n    import nowhere as m\nexcept ImportError:\n    import math as m",
                  "def f(): return m.floor(2.5)", CHECK], 2, id="import-in-try"),
    pytest.param(["def f(): return g()", "def g(): return 1", "def g(): return 2", CHECK, "def g(): return 3"], 2,
                 id="last-helper-before-the-check"),
    pytest.param(["def f(): return 1", CHECK, "def f(): return 2"], 1, id="later-definition-does-not-count"),
    pytest.param(["def f(): return 1", CHECK, "def f(): return 2", CHECK], 2, id="last-check-counts"),
    pytest.param(["n = 1", "a = n", "n = 2", "def f(): return a, n", CHECK], (1, 2), id="values-as-they-were"),
    pytest.param(["def g(): return 1", "a = g()", "def g(): return 2", "def f(): return a + g()", CHECK], 3,
                 id="called-before-it-was-redefined"),
    pytest.param(["n = 1", "n += 4", "def f(): return n", CHECK], 5, id="augmented"),
    pytest.param(["t = []", "t.append(7)", "for i in range(3):\n    t.append(i)", "def f(): return t", CHECK],
                 [7, 0, 1, 2], id="list-filled"),
    pytest.param(["t = {}", "t['a'] = 1", "def f(): return t", CHECK], {"a": 1}, id="dict-filled"),
    pytest.param(["if True:\n    def g(): return 4", "def f(): return g()", CHECK], 4, id="conditional-definition"),
    pytest.param(["def g(n=3): return n", "class A:\n    size = g()\n    def get(self): return self.size + k",
                  "k = 1", "def f(): return A().get()", CHECK], 4, id="class-body-now-methods-later"),
    pytest.param(["import functools", "@functools.cache\ndef f(): return 1", CHECK], 1, id="decorator"),
    pytest.param(["def deco(g):\n    return lambda: g() + k", "@deco\ndef f(): return 1", "k = 10", CHECK], 11,
                 id="decorator-that-looks-up-later"),
    pytest.param(["n = 3", "def f(): return [n for _ in range(2)]", CHECK], [3, 3], id="comprehension"),
    pytest.param(["q = undefined_elsewhere", "def f(q=1): return q", CHECK], 1, id="own-parameter-is-no-need"),
    pytest.param(["f = lambda: 6", CHECK], 6, id="lambda"),
    pytest.param(["if (n := 5): pass", "def f(): return n", CHECK], 5, id="walrus"),
    pytest.param(["c = 0", "def f():\n    global c\n    c += 1\n    return c", CHECK], 1, id="global"),
    pytest.param(["%matplotlib inline\n!pip list\nimport math", "%%time\ndef f(): return math.floor(1.5)", CHECK], 1,
                 id="magics"),
    pytest.param(["%%bash\ndef f(): return 1", "def f(): return 2", CHECK], 2, id="other-languages"),
    pytest.param(["from __future__ import annotations", "def f(x: nothing = 1): return x", CHECK], 1, id="future"),
    pytest.param(["def f(): return 1", "if True:\n    page.check(exercises.score_bytes, f)"], 1, id="check-in-if"),
    pytest.param(["def f(): return 1", "page.check(answer=f, exercise=exercises.score_bytes)"], 1, id="keywords"),
    pytest.param(["from dslab.exercises.n00 import score_bytes as it", "def f(): return 1", "page.check(it, f)"], 1,
                 id="imported-by-name"),
    pytest.param(["import dataclasses", "@dataclasses.dataclass\nclass P:\n    n: int = 2", "def f(): return P().n",
                  CHECK], 2, id="dataclass"),
])  # fmt: skip
def test_as_a_run_would_have_it(cells: list[str], expected: object) -> None:
    assert value(*cells) == expected


@pytest.mark.parametrize(("cells", "told"), [
    pytest.param([CHECK], "NameError in line 1 of the cell c0, `page.check(exercises.score_bytes, f)`", id="no-answer"),
    pytest.param(["k = 0\nk = 1 / 0", "def f(): return k", CHECK],
                 "ZeroDivisionError in line 2 of the cell c0, `k = 1 / 0`", id="needed-cell-fails"),
    pytest.param(["def g():\n    return 1 / 0", "k = g()", "def f(): return k", CHECK],
                 "ZeroDivisionError in line 2 of the cell c0, `return 1 / 0`", id="line-inside-the-helper"),
    pytest.param(["def g(:\n    pass", "k = g()", "def f(): return k", CHECK], "SyntaxError in line 1 of the cell c0",
                 id="helper-is-no-python"),
])  # fmt: skip
def test_what_fails_is_told(cells: list[str], told: str) -> None:
    assert told in str(answer(*cells))


def test_settings_of_libraries_hold() -> None:
    import torch

    cells = ["import torch", "torch.set_default_dtype(torch.float32)", "torch.set_grad_enabled(False)",
             "torch.load('nowhere')", "def f(): return torch.is_grad_enabled()", CHECK]  # fmt: skip
    try:
        assert value(*cells) is False
    finally:
        torch.set_grad_enabled(True)
