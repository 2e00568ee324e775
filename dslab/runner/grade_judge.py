"""One exercise of one notebook: run what its answer needs, then judge the answer the way `page.check` does."""

from __future__ import annotations

import ast
import importlib
import linecache
import re
import sys
import types
from itertools import groupby
from typing import Any

from dslab.book import checks, machine, text
from dslab.runner import grade_slice
from dslab.runner.grade_slice import Check, Notebook

# What a teacher reads; no logic here.
NO_CHECK = "The notebook has no page.check(exercises.{exercise}, …)."
BEFORE = "{kind} in line {line} of the cell {cell}, `{source}`: {message}"
NO_MEMORY = ("MemoryError", "can't allocate memory", "Cannot allocate memory")


def judge(book: Notebook, notebook: str, exercise: str) -> tuple[str, str]:
    """(state, what to tell the learner): right, wrong, todo, memory or missing. SystemExit and the like pass."""
    check = grade_slice.checks(book).get(exercise)
    if check is None:
        return _without_check(book, exercise)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    machine.set_seed(0, "torch" in sys.modules)
    module = types.ModuleType("__main__")  # where a kernel's names live; pickle and dataclasses look it up
    sys.modules["__main__"] = module
    told = _run(book, check, vars(module))
    if told is not None:
        return _memory_or_wrong(told)
    room = importlib.import_module(f"dslab.exercises.n{notebook}")
    state, told = checks.judge(getattr(room, exercise), vars(module)[_ANSWER])
    return _memory_or_wrong(told) if state == "wrong" else (state, told)


_ANSWER = " answer"  # no name a notebook can use


def _run(book: Notebook, check: Check, space: dict[str, Any]) -> str | None:
    """Run what the answer needs and keep the answer in `space`. Returns the error's sentence if something fails."""
    for number, group in groupby(grade_slice.needed(book, check), lambda step: step.cell):
        error = _execute(book, number, ast.Module([step.node for step in group], []), space)
        if error:
            return error
    final = book.steps[check.step].cell
    keep = ast.Assign([ast.Name(_ANSWER, ast.Store())], check.answer)
    return _execute(
        book, final, ast.Module([ast.fix_missing_locations(ast.copy_location(keep, check.answer))], []), space
    )


def _execute(book: Notebook, number: int, tree: ast.Module, space: dict[str, Any]) -> str | None:
    """Run statements of one cell as that cell: lines keep their numbers, sources can be shown."""
    name, lines = f"<cell {number} {book.names[number]}>", book.sources[number].splitlines(keepends=True)
    linecache.cache[name] = (len(book.sources[number]), None, lines, name)
    try:
        exec(compile(tree, name, "exec", flags=book.flags, dont_inherit=True), space)
    except Exception as error:
        return _explain(error, book, number, name)
    return None


def _explain(error: Exception, book: Notebook, number: int, name: str) -> str:
    """A failed cell as a sentence. A name that is missing because its cell is no Python is that cell's fault."""
    if isinstance(error, NameError) and error.name:
        gives = re.compile(rf"^\s*(?:(?:async\s+)?def|class)\s+{error.name}\b|^\s*{error.name}\s*=", re.M)
        for broken, told in book.broken.items():
            if gives.search(book.sources[broken]):
                return told
    trace, line = error.__traceback__, getattr(error, "lineno", None) or 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith("<cell "):
            name, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    source, message = linecache.getline(name, line).strip(), str(error) or text.NO_MESSAGE
    cell = name.removeprefix("<cell ").removesuffix(">").partition(" ")[2]
    return BEFORE.format(kind=type(error).__name__, line=line, cell=cell, source=source, message=message)


def _without_check(book: Notebook, exercise: str) -> tuple[str, str]:
    """No check was found: perhaps it stands in a cell that is no Python."""
    wanted = re.compile(rf"\bcheck\(\s*(?:exercise\s*=\s*)?(?:\w+\.)?{exercise}\s*,")
    for number, told in book.broken.items():
        if wanted.search(book.sources[number]):
            return "wrong", told
    return "missing", NO_CHECK.format(exercise=exercise)


def _memory_or_wrong(told: str) -> tuple[str, str]:
    is_memory = told.startswith(NO_MEMORY[0]) or any(words in told for words in NO_MEMORY[1:])
    return ("memory" if is_memory else "wrong"), told
