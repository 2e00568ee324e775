"""The part of a notebook that one exercise needs: the statements that make its answer, and what these use.

The answer is what the notebook hands to `page.check(exercises.NAME, answer)`. From there back, each name leads to the
last statement before that gives it a value, as a run from top to bottom would have it, and that to the names it uses.
What a function uses when it is called is looked up where it is called. So no model is loaded because a cell that loads
one also imports torch.

Left out, because no reading of the code can tell: what a call changes in its arguments (`fill(table)`).
"""

from __future__ import annotations
import __future__

import ast
import builtins
import symtable
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

PARSE_ERRORS = (SyntaxError, ValueError, MemoryError, RecursionError)
_SCOPED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_CERTAIN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign,
            ast.AugAssign)  # fmt: skip
_PYTHON_MAGICS = {"%%time", "%%capture", "%%prun"}  # cell magics whose cell is ordinary code


@dataclass
class Step:
    """One statement of a cell, outside any function, and what it does with names."""

    cell: int
    node: ast.stmt
    binds: set[str] = field(default_factory=set)  # certainly get a new value
    changes: set[str] = field(default_factory=set)  # may get one, or have a part of theirs replaced
    touches: set[str] = field(default_factory=set)  # have a method called for what it does: table.append(1)
    uses: set[str] = field(default_factory=set)  # read while it runs
    later: set[str] = field(default_factory=set)  # read when the functions it defines are called


@dataclass
class Notebook:
    """Cells as steps in their order; `broken` holds the error of each cell that is no Python."""

    names: list[str]
    sources: list[str]
    steps: list[Step]
    broken: dict[int, str]
    flags: int = 0  # of `from __future__` imports


@dataclass(frozen=True)
class Check:
    """One `page.check(exercises.NAME, answer)`: the step it stands in, and the answer."""

    exercise: str
    step: int
    answer: ast.expr


def read(cells: Sequence[tuple[str, str]]) -> Notebook:
    """Take cells (what to call it, source) apart. Magics and shell lines become calls, as in a kernel."""
    book = Notebook([name for name, _ in cells], [], [], {})
    for number, (_, source) in enumerate(cells):
        source = _as_python(source)
        book.sources.append(source)
        try:
            tree = ast.parse(source)
            steps = [_step(number, node) for node in tree.body]
        except PARSE_ERRORS as error:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            told = error.msg if isinstance(error, SyntaxError) else str(error)
            book.broken[number] = f"{type(error).__name__}{line} of the cell {book.names[number]}: {told}"
            continue
        book.steps += steps
        for step in steps:
            if isinstance(step.node, ast.ImportFrom) and step.node.module == "__future__":
                for name in step.binds:
                    book.flags |= getattr(__future__, name).compiler_flag if hasattr(__future__, name) else 0
    return book


def checks(book: Notebook) -> dict[str, Check]:
    """The last check of each exercise, by the exercise's name."""
    aliases: dict[str, str] = {}
    found: dict[str, Check] = {}
    for index, step in enumerate(book.steps):
        if isinstance(step.node, ast.ImportFrom) and (step.node.module or "").startswith("dslab.exercises"):
            aliases |= {alias.asname or alias.name: alias.name for alias in step.node.names}
        for call in _walk(step.node):
            if not isinstance(call, ast.Call) or getattr(call.func, "attr", getattr(call.func, "id", "")) != "check":
                continue
            given = dict(zip(("exercise", "answer"), call.args, strict=False))
            given |= {word.arg: word.value for word in call.keywords if word.arg}
            exercise, answer = given.get("exercise"), given.get("answer")
            if isinstance(exercise, ast.Attribute):
                name = exercise.attr
            elif isinstance(exercise, ast.Name):
                name = aliases.get(exercise.id, exercise.id)
            else:
                continue
            if answer is not None:
                found[name] = Check(name, index, answer)
    return found


def needed(book: Notebook, check: Check) -> list[Step]:
    """The steps to run, in order, before the check's answer can be evaluated."""
    steps, chosen = book.steps, set[int]()
    roots = [node.id for node in ast.walk(check.answer) if isinstance(node, ast.Name)]
    waiting = [(name, check.step, check.step) for name in roots]
    seen = set(waiting)
    while waiting:
        name, before, called = waiting.pop()
        for index in _makers(steps, name, before):
            chosen.add(index)
            step = steps[index]
            wants = {(use, index, when) for use in step.uses for when in (index, called)}
            wants |= {(use, called, called) for use in step.later}
            if "globals" in step.uses:  # page.start("01", globals()) reads the parameters
                chosen |= {i for i, other in enumerate(steps[:index]) if _is_parameter(other.node)}
            waiting += wants - seen
            seen |= wants
    return [steps[index] for index in sorted(chosen)]


def _makers(steps: Sequence[Step], name: str, before: int) -> Iterator[int]:
    """The steps before a place that made what a name means there: the last that binds it, and changes since."""
    touched, certain = [], None
    for index in range(before - 1, -1, -1):
        step = steps[index]
        if name in step.binds:
            certain = step
            yield index
            break
        if name in step.changes:
            yield index
        elif name in step.touches:
            touched.append(index)
    if certain is None and name not in vars(builtins):  # perhaps one of `from … import *`
        yield from (i for i, step in enumerate(steps[:before]) if "*" in step.changes)
    is_import = certain is not None and isinstance(certain.node, ast.Import | ast.ImportFrom)
    yield from (index for index in touched if not is_import or _is_setting(steps[index].node))


def _is_setting(node: ast.stmt) -> bool:
    """`torch.set_grad_enabled(False)`, `random.seed(0)`, `page.start("01", globals())`: a library told how to be."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    name = getattr(node.value.func, "attr", "")
    if name == "start":
        return True
    return (name.startswith("set_") or name.endswith("seed")) and all(
        isinstance(argument, ast.Constant) for argument in node.value.args
    )


def _is_parameter(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant)


def _step(cell: int, node: ast.stmt) -> Step:
    step = Step(cell, node)
    top = symtable.symtable(ast.unparse(node), "cell", "exec")
    bound = set()
    for symbol in top.get_symbols():
        if symbol.is_referenced():
            step.uses.add(symbol.get_name())
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            bound.add(symbol.get_name())
    for inner in top.get_children():
        _scope(inner, step.uses, step.later, bound)
    if isinstance(node, ast.AugAssign):
        step.uses |= bound
    if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
        step.changes.add("*")
    elif isinstance(node, ast.AnnAssign) and node.value is None:
        pass  # `x: int` alone gives no value
    else:
        (step.binds if isinstance(node, _CERTAIN) else step.changes).update(bound)
    for part in _walk(node):
        if isinstance(part, ast.Attribute | ast.Subscript) and not isinstance(part.ctx, ast.Load):
            step.changes.add(_root(part))
        if (
            isinstance(part, ast.Expr)
            and isinstance(part.value, ast.Call)
            and isinstance(part.value.func, ast.Attribute)
        ):
            step.touches.add(_root(part.value.func))
    step.changes -= step.binds
    return step


def _scope(table: symtable.SymbolTable, now: set[str], later: set[str], bound: set[str]) -> None:
    """Sort the notebook's names that an inner scope reads: a class's body runs at once, a function's when called."""
    runs_at_once = table.get_type() != "function" or table.get_name() in ("listcomp", "setcomp", "dictcomp", "genexpr")
    into = now if runs_at_once else later
    for symbol in table.get_symbols():
        if symbol.is_global():
            into.add(symbol.get_name())
            if symbol.is_assigned() and runs_at_once:
                bound.add(symbol.get_name())
    for inner in table.get_children():
        _scope(inner, into, later, bound)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """A statement and what runs with it: not the inside of functions."""
    yield node
    inner: Iterable[ast.AST] = () if isinstance(node, _SCOPED) else ast.iter_child_nodes(node)
    for child in inner:
        yield from _walk(child)


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _as_python(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    first, _, rest = source.lstrip().partition("\n")
    if first.startswith("%%"):
        if first.split()[0] not in _PYTHON_MAGICS:
            return ""  # another language
        source = "\n" + rest  # lines keep their numbers
    try:
        return str(TransformerManager().transform_cell(source))
    except SyntaxError:
        return source
