"""Exercise `targets`: which names an adapter for all of a model's attention needs, read off the model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise
from dslab.exercises.n04.targets_names import MODELS, Model

TASK = """\
`["q_proj", "k_proj", "v_proj", "o_proj"]` is what everyone copies. On a Llama it adapts the attention; on DeepSeek-V3
one of its five layers, silently; on GPT-NeoX nothing at all. The names that are right stand in the model.

Write `my_targets(names)`. `names` is a list of the full names of *all* linear layers of a model, such as
`"model.layers.0.self_attn.q_proj"` or `"gpt_neox.layers.3.attention.dense"`. Return a sorted list of the last parts
(`"q_proj"`, `"dense"`) of those that belong to attention, each once. With this list as its targets, an adapter sits on
all of the model's attention.

- A layer belongs to attention if the part of its name before the last, or an earlier one, contains `attn` or
  `attention`, in capitals or not (T5 writes `SelfAttention`).
- All of these, whatever they are called: what brings the heads together again at the end (`o_proj`, `dense`, …) too.
- Nothing else: no MLP, no router of experts, no head. A name is matched whole, so `dense` does not take
  `dense_h_to_4h`. (In these models no last part occurs both inside attention and outside.)
- A model without attention has no targets: `[]`.

Leave `names` as it is."""

STUB = '''\
def my_targets(names):
    """Sorted last parts of the names of all layers of attention, each once."""
    ...
'''

HINTS = (
    "What tells you that a layer belongs to attention is not what it is called but where it lies. And what is asked "
    "for is not where it lies but what it is called. Split the name at its dots.",
    "*parents, last = name.split('.') takes it apart. Keep `last` if any of the parents, in small letters, contains "
    "'attn' or 'attention'. A set keeps each once; sorted() makes a list of it.",
    "return sorted({name.split('.')[-1] for name in names if any(word in name.rpartition('.')[0].lower() for word in "
    "('attn', 'attention'))}).",
)

SOLUTION = """\
def my_targets(names):
    found = set()
    for name in names:
        *parents, last = name.split(".")
        where = ".".join(parents).lower()
        if "attn" in where or "attention" in where:
            found.add(last)
    return sorted(found)
"""

SAYS = {
    "type": "my_targets should return a sorted list of str; for {model} it returned {came}.",
    "set": "You return a set, which has no order. Make it a list with sorted(...).",
    "changed": "You change `names`, which the caller still needs. Use sorted(names), which makes a new list, instead "
    "of names.sort().",
    "crash": "{model} has names of another form, and your code raises {error} there. They run from {first} to {final}.",
    "fixed": "You return the same list for every model, whether it has such layers or not. {case}",
    "known": "You look for the four names of Llama. Other models have others: on DeepSeek-V3 only o_proj would be "
    "adapted. {case}",
    "q_and_v": "You take the queries and the values alone, as the first paper did. The task asks for all of attention. "
    "{case}",
    "whitelist": "You look for names that you know, and there are always others. Go by where a layer lies. {case}",
    "everything": "You take every linear layer. {case}",
    "but_head": "You leave out the head alone; the MLP and a router are not attention either. {case}",
    "all_linear": "You take the MLP as well: that is what `all-linear` means. {case}",
    "proj": "You look for `proj`. An MLP has such layers too, and GPT-NeoX's attention has none. {case}",
    "only_attn": "You look for `attn` alone. Others write `attention`. {case}",
    "only_attention": "You look for `attention` alone. Others write `attn`. {case}",
    "only_self_attn": "You look for `self_attn` alone. That is what Llama and its relatives write. {case}",
    "capitals": "You look for small letters only, and T5 writes SelfAttention. {case}",
    "parent": "You look only at the part directly before the last. Attention may have parts of its own. {case}",
    "index": "You count parts from the front of a name, and not every model's names begin alike. {case}",
    "first_layer": "You look at one layer only. In some models every fourth layer is of another kind. {case}",
    "full": "You return full names. What is asked for are their last parts, each once for all layers. {case}",
    "two_parts": "You return more than the last part. {case}",
    "unsorted": "The names are right, but not sorted. {case}",
    "repeated": "You return a name as often as it occurs; once is enough. {case}",
    "no_output": "You leave out what brings the heads together again. It belongs to attention. {case}",
    "dense_too": "You match by the beginning of a name: dense also begins dense_h_to_4h, which is MLP. {case}",
    "head": "You take the head, {extra}. {case}",
    "router": "You take the router of the experts, {extra}: whoever trains it changes which expert sees what. {case}",
    "mlp": "You take layers of the MLP: {extra}. {case}",
    "missing": "You miss {missing}. {case}",
    "no_attention": "{model} has no attention, so it has no targets: []. You return {got}.",
    "other": "{case}",
    "case": "For {model} you return {got}, and it should be {want}.",
}

Targets = Callable[[list[str]], list[str]]
WORDS = ("attn", "attention")


def definition(names: list[str]) -> list[str]:
    """By where a layer lies."""
    return sorted({_last(name) for name in names if any(word in _where(name).lower() for word in WORDS)})


def _last(name: str) -> str:
    return name.split(".")[-1]


def _where(name: str) -> str:
    return name.rpartition(".")[0]


# ---------------------------------------------------------------- mistakes


def _by(keep: Callable[[str], bool]) -> Targets:
    """The last parts of the names that a function keeps."""
    return lambda names: sorted({_last(name) for name in names if keep(name)})


def _all_of(keep: Callable[[str], bool], form: Callable[[str], str]) -> Targets:
    """Names in another form."""
    return lambda names: sorted({form(name) for name in names if keep(name)})


def _in_attention(name: str) -> bool:
    return any(word in _where(name).lower() for word in WORDS)


def _first_layer(names: list[str]) -> list[str]:
    return definition([name for name in names if ".0." in name])


def _once_by_order(names: list[str]) -> list[str]:
    return list(dict.fromkeys(_last(name) for name in names if _in_attention(name)))


LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj")
OUTPUTS = {"o_proj", "out_proj", "dense", "o", "Wo", "c_proj"}
HEADS, ROUTERS = {"lm_head", "embed_out"}, {"gate", "router", "shared_expert_gate"}
MISTAKES: tuple[tuple[str, Targets], ...] = (
    ("fixed", lambda names: sorted(LLAMA)),
    ("fixed", lambda names: list(LLAMA)),
    ("fixed", lambda names: ["query_key_value"]),
    ("q_and_v", lambda names: ["q_proj", "v_proj"]),
    ("known", _by(lambda name: _last(name) in LLAMA)),
    ("q_and_v", _by(lambda name: _last(name) in {"q_proj", "v_proj"})),
    ("everything", _by(lambda name: True)),
    ("but_head", _by(lambda name: _last(name) not in HEADS)),
    ("all_linear", _by(lambda name: _last(name) not in HEADS | ROUTERS)),
    ("proj", _by(lambda name: "proj" in _last(name))),
    ("proj", _by(lambda name: name.endswith("proj"))),
    ("only_self_attn", _by(lambda name: "self_attn" in name)),
    ("only_attn", _by(lambda name: "attn" in name)),
    ("only_attn", _by(lambda name: "attn" in name.lower())),
    ("only_attention", _by(lambda name: "attention" in name)),
    ("only_attention", _by(lambda name: "attention" in name.lower())),
    ("capitals", _by(lambda name: any(word in name for word in WORDS))),
    ("parent", _by(lambda name: any(word in _last(_where(name)).lower() for word in WORDS))),
    ("parent", _by(lambda name: any(word in _last(_where(name)) for word in WORDS))),
    ("index", _by(lambda name: name.count(".") > 3 and any(word in name.split(".")[3].lower() for word in WORDS))),
    ("first_layer", _first_layer),
    ("full", _all_of(_in_attention, lambda name: name)),
    ("full", lambda names: [name for name in names if _in_attention(name)]),
    ("two_parts", _all_of(_in_attention, lambda name: ".".join(name.split(".")[-2:]))),
    ("repeated", lambda names: sorted(_last(name) for name in names if _in_attention(name))),
    ("repeated", lambda names: [_last(name) for name in names if _in_attention(name)]),
    ("unsorted", _once_by_order),
    ("unsorted", lambda names: definition(names)[::-1]),
    ("no_output", _by(lambda name: _in_attention(name) and _last(name) not in OUTPUTS)),
    ("no_output", _by(lambda name: _in_attention(name) and not _last(name).startswith(("o", "dense")))),
    ("dense_too", _by(lambda name: _in_attention(name) or _last(name).startswith("dense"))),
)


def check(my_targets: Any) -> str | None:
    """None when right, else what is wrong."""
    answers: list[list[str]] = []
    for model in MODELS:
        got, diagnosis = _ask(my_targets, model)
        if got is None:
            return diagnosis
        answers.append(got)
    for model, got in zip(MODELS, answers, strict=True):
        if got != definition(model.names):
            cases = [(model.names,) for model in MODELS]
            known = probe.recognise(cases, answers, MISTAKES, lambda a, b: a == b)
            return _say(known[0] if known else _fault(model, got), model, got)
    return None


def _ask(my_targets: Any, model: Model) -> tuple[list[str] | None, str | None]:
    """The answer for one model, or None and why it is none."""
    given = list(model.names)
    try:
        came = my_targets(given)
    except (IndexError, KeyError, ValueError) as error:
        if model is MODELS[0]:
            raise
        return None, _say("crash", model, [], error=type(error).__name__)
    if given != model.names:
        return None, SAYS["changed"]
    if isinstance(came, set | frozenset):
        return None, SAYS["set"]
    if not isinstance(came, list | tuple) or not all(isinstance(item, str) for item in came):
        return None, SAYS["type"].format(model=model.title, came=shown(came))
    return [str(item) for item in came], None


def _fault(model: Model, got: list[str]) -> str:
    """What is wrong with an answer that no known mistake explains: what is there too much, then what is missing."""
    want = definition(model.names)
    if not want:
        return "no_attention"
    extra, missing = set(got) - set(want), set(want) - set(got)
    if extra & HEADS:
        return "head"
    if extra & ROUTERS:
        return "router"
    if extra:
        return "mlp" if extra <= _parts(tuple(model.names)) else "other"
    if missing:
        return "no_output" if missing <= OUTPUTS else "whitelist" if model is not MODELS[0] else "missing"
    return "repeated" if len(set(got)) < len(got) else "unsorted"


@functools.cache
def _parts(names: tuple[str, ...]) -> set[str]:
    return {_last(name) for name in names}


def _say(name: str, model: Model, got: list[str], error: str = "") -> str:
    want = definition(model.names)
    shown_got = str(got) if len(str(got)) < 200 else f"{str(got)[:200]} …"
    extra, missing = sorted(set(got) - set(want)), sorted(set(want) - set(got))
    case = SAYS["case"].format(model=model.title, got=shown_got, want=want)
    if name == "head":
        extra = [part for part in extra if part in HEADS]
    elif name == "router":
        extra = [part for part in extra if part in ROUTERS]
    facts = {"extra": ", ".join(extra), "missing": ", ".join(missing), "error": error}
    facts |= {"first": model.names[0], "final": model.names[-1]}
    return SAYS[name].format(case=case, model=model.title, got=shown_got, **facts)


exercise = Exercise(name="targets", notebook="04", task=TASK, hints=HINTS, solution=SOLUTION, check=check)
