"""Exercise `plan`: which number format to train in on a machine, and whether it needs a loss scaler."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import torch

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
The same training script lands on three machines. What it should do there is no matter of taste; it follows from what
the formats can hold and from how fast each machine multiplies matrices in them, in TFLOP/s:

| machine | fp32 | bf16 | fp16 | |
|---|---|---|---|---|
| T4 | 8.1 | no unit | 65 | published peaks, not measured |
| A100 | 19.5 | 312 | 312 | published peaks, not measured |
| H100 (SXM) | 67 | 989 | 989 | published peaks, dense, not measured |
| an old laptop's CPU | 0.1 | 0.005 | 0.003 | made up |

Write `my_plan(rates)`. `rates` is a dict from `"fp32"`, `"bf16"`, `"fp16"` to the rate measured; `"fp32"` is always
there, the others only where the machine can do them (a T4 may lack `"bf16"`, or emulate it: `{"fp32": 8, "bf16": 8,
"fp16": 65}`). Return a tuple `(name, needs_scaler)`. Reason from three facts to the rule:

- 16 bits are worth their rounding only if they save time. A format is *fast* if its rate is at least 1.2 times fp32's;
  if none is, stay with fp32.
- bf16 has the exponents of fp32, so no gradient is lost in it and no scaler is needed. A fast bf16 is the choice,
- unless fp16 is **more than** twice as fast as it. So much speed is worth a scaler, which fp16 always needs.

Leave `rates` as it is."""

STUB = '''\
def my_plan(rates):
    """(name, needs_scaler) for a machine with these matrix-product rates, for example ("bf16", False)."""
    ...
'''

HINTS = (
    "Three outcomes are possible, and the scaler follows from the format alone. A format that the machine lacks is the "
    "same as one whose rate is 0. Decide on bf16 first.",
    "With rates.get(name, 0): bf16 if it is fast and fp16 is at most twice as fast as it. Otherwise fp16 if that is "
    "fast. Otherwise fp32. `Fast` is always against fp32, `twice` against bf16.",
    "bf16, fp16 = rates.get('bf16', 0), rates.get('fp16', 0); fast = 1.2 * rates['fp32']. If bf16 >= fast and fp16 <= "
    "2 * bf16 return ('bf16', False); if fp16 >= fast return ('fp16', True); return ('fp32', False).",
)

SOLUTION = """\
def my_plan(rates):
    fast = 1.2 * rates["fp32"]
    bf16, fp16 = rates.get("bf16", 0), rates.get("fp16", 0)  # a format that is missing is infinitely slow
    if bf16 >= fast and fp16 <= 2 * bf16:
        return "bf16", False
    return ("fp16", True) if fp16 >= fast else ("fp32", False)
"""

SAYS = {
    "type": "my_plan should return a tuple (name, needs_scaler), a str and a bool; for {rates} it returned {came}.",
    "swapped": "The name comes first: you return {came} for {rates}.",
    "name": "{name!r} is no name of a format here; they are 'fp32', 'bf16' and 'fp16'. You return it for {rates}.",
    "changed": "Your function changes its argument `rates`; the caller still needs it. Use rates.get(name, 0) instead "
    "of writing into it.",
    "missing": "A machine may lack a format. For {rates} your code raises {error}. Ask with rates.get(name, 0).",
    "scaler_bf16": "bf16 needs no scaler: it has fp32's exponents, so there is nothing to rescue. {case}",
    "scaler_always": "You always use a scaler. Only fp16 has too few exponents. {case}",
    "scaler_fp32": "fp32 needs no scaler. It is the range that scaling makes up for. {case}",
    "scaler_never": "You never use a scaler. fp16 ends near 6e-8, and gradients below vanish. {case}",
    "scaler_inverted": "Your scaler is the wrong way round: fp16 needs one, the others do not. {case}",
    "always_bf16": "You take bf16 wherever there is one, whether it is fast or emulated. {case}",
    "always_fp16": "You take fp16 wherever there is one. {case}",
    "always_fp32": "You always stay with fp32. {case}",
    "fastest": "You take the fastest. Speed is not all: bf16 spares you the scaler, and a small gain over fp32 is not "
    "worth 16 bits. {case}",
    "fastest_16": "You take the faster of bf16 and fp16 where it is fast. bf16 is the choice unless fp16 is more than "
    "twice as fast. {case}",
    "fp16_first": "You ask for fp16 first. Where both are fast, bf16 comes first: it needs no scaler. {case}",
    "no_margin": "You ask only whether a format is faster than fp32. It should be at least 1.2 times as fast. {case}",
    "twice_margin": "You ask for twice the rate of fp32. Twice is for fp16 against bf16; against fp32, 1.2 is enough. "
    "{case}",
    "no_twice": "You never ask whether fp16 is more than twice as fast as bf16. {case}",
    "strict_twice": "Exactly twice as fast is not more than twice as fast: bf16 stays the choice. {case}",
    "twice_fp32": "You compare twice the rate with fp32's. Fp16 is to be more than twice as fast as bf16. {case}",
    "fp16_slow": "If bf16 is not the choice you take fp16, fast or not. A CPU without fp16 units is far slower in it. "
    "{case}",
    "no_fp16": "You never take fp16. {case}",
    "fp32_if_no_bf16": "You give up 16 bits when there is no fast bf16. A T4 has a fast fp16 all the same. {case}",
    "gives_up": "Where fp16 is more than twice as fast as bf16 you stay with fp32. {case}",
    "slow_twice": "Where fp16 is not more than twice as fast as bf16 you take bf16, even if it is slow. {case}",
    "other": "{case}",
    "case": "For {rates} you answer {got}, but it is {want}: {why}.",
    "why_bf16": "bf16 is {bf16:.3g} times as fast as fp32, and fp16 {ratio:.3g} times as fast as bf16",
    "why_fp16": "bf16 is {bf16:.3g} times as fast as fp32, fp16 {fp16:.3g} times",
    "why_fp32": "neither is 1.2 times as fast as fp32 (bf16 {bf16:.3g} times, fp16 {fp16:.3g} times)",
}

Rates = dict[str, float]
Plan = tuple[str, bool]

# None is fast by exactly 1.2: in floats 12 / 10 - 1 falls short of 0.2, and 12 does not fall short of 1.2 * 10. Exactly
# twice is exact in floats too.
FULL: tuple[Rates, ...] = (
    {"fp32": 19.5, "bf16": 312, "fp16": 312},
    {"fp32": 8, "bf16": 8, "fp16": 65},
    {"fp32": 0.1, "bf16": 0.005, "fp16": 0.003},
    {"fp32": 67, "bf16": 989, "fp16": 989},
    {"fp32": 67, "bf16": 700, "fp16": 800},  # fp16 a little faster
    {"fp32": 0.1, "bf16": 0.3, "fp16": 0.01},  # a CPU with bf16 units
    {"fp32": 0.1, "bf16": 0.11, "fp16": 0.105},  # hardly faster
    {"fp32": 0.1, "bf16": 0.003, "fp16": 0.005},
    {"fp32": 0.1, "bf16": 0.01, "fp16": 0.05},  # fp16 five times bf16, and slow
    {"fp32": 8, "bf16": 6, "fp16": 9},
    {"fp32": 8, "bf16": 7, "fp16": 12},  # fp16 fast, and not twice bf16
    {"fp32": 8, "bf16": 10, "fp16": 65},  # both fast
    {"fp32": 8, "bf16": 12, "fp16": 21},
    {"fp32": 10, "bf16": 12.01, "fp16": 12.01},  # just fast
    {"fp32": 10, "bf16": 5, "fp16": 12.01},
    {"fp32": 10, "bf16": 16, "fp16": 32},  # exactly twice
    {"fp32": 10, "bf16": 16, "fp16": 32.2},  # and hardly more
    {"fp32": 10, "bf16": 11.9, "fp16": 11.9},
    {"fp32": 10, "bf16": 11, "fp16": 25},
)
PARTS: tuple[Rates, ...] = (
    {"fp32": 8.1, "fp16": 65},
    {"fp32": 0.5, "bf16": 1.5},
    {"fp32": 0.1},
    {"fp32": 10, "bf16": 11},
    {"fp32": 10, "fp16": 11},
    {"fp32": 0.1, "fp16": 0.003},
)


@functools.cache
def _drawn() -> list[Rates]:
    """Machines nobody knows, so that no list of known ones gets through; far enough from both thresholds."""
    dice = random.Random(2)
    cases: list[Rates] = []
    while len(cases) < 60:
        fp32 = round(dice.uniform(0.05, 70), 2)
        rates = {"fp32": fp32, **{name: round(fp32 * 2 ** dice.uniform(-2, 4), 2) for name in ("bf16", "fp16")}}
        edges = (rates["bf16"] / fp32 - 1.2, rates["fp16"] / fp32 - 1.2, rates["fp16"] / max(rates["bf16"], 1e-9) - 2)
        if min(map(abs, edges)) > 0.01:
            cases.append(rates)
    return cases


def definition(rates: Rates) -> Plan:
    """The rule, fact by fact."""
    fast = [name for name in ("bf16", "fp16") if rates.get(name, 0.0) >= 1.2 * rates["fp32"]]
    if not fast:
        return "fp32", False
    if "bf16" in fast and not rates.get("fp16", 0.0) > 2 * rates["bf16"]:
        return "bf16", False
    return "fp16", True


def _rule(
    margin: float = 1.2, twice: float = 2.0, strict_margin: bool = False, strict_twice: bool = False, base: str = "bf16"
) -> Callable[[Rates], Plan]:
    """The rule with other numbers in it."""

    def rule(rates: Rates) -> Plan:
        fp32, bf16, fp16 = (rates[name] for name in ("fp32", "bf16", "fp16"))
        is_fast = (lambda x: x > margin * fp32) if strict_margin else (lambda x: x >= margin * fp32)
        limit = twice * rates[base]
        if is_fast(bf16) and (fp16 < limit if strict_twice else fp16 <= limit):
            return "bf16", False
        return ("fp16", True) if is_fast(fp16) else ("fp32", False)

    return rule


def _pick(choose: Callable[[float, float, float], str]) -> Callable[[Rates], Plan]:
    """A choice by the three rates; the scaler right for it."""

    def rule(rates: Rates) -> Plan:
        name = choose(rates["fp32"], rates["bf16"], rates["fp16"])
        return name, name == "fp16"

    return rule


def _scaler(needs: Callable[[str], bool]) -> Callable[[Rates], Plan]:
    return lambda rates: (definition(rates)[0], needs(definition(rates)[0]))


MISTAKES: tuple[tuple[str, Callable[[Rates], Plan]], ...] = (
    ("scaler_bf16", _scaler(lambda name: name != "fp32")),
    ("scaler_bf16", _scaler(lambda name: name == "bf16")),
    ("scaler_always", _scaler(lambda name: True)),
    ("scaler_fp32", _scaler(lambda name: name != "bf16")),
    ("scaler_never", _scaler(lambda name: False)),
    ("scaler_inverted", _scaler(lambda name: name != "fp16")),
    ("always_bf16", _pick(lambda fp32, bf16, fp16: "bf16")),
    ("always_fp16", _pick(lambda fp32, bf16, fp16: "fp16")),
    ("always_fp32", _pick(lambda fp32, bf16, fp16: "fp32")),
    (
        "fastest",
        _pick(lambda fp32, bf16, fp16: "fp16" if fp16 >= max(fp32, bf16) else "bf16" if bf16 > fp32 else "fp32"),
    ),
    (
        "fastest",
        _pick(lambda fp32, bf16, fp16: "bf16" if bf16 >= max(fp32, fp16) else "fp16" if fp16 > fp32 else "fp32"),
    ),
    (
        "fastest",
        _pick(lambda fp32, bf16, fp16: "fp32" if fp32 >= max(bf16, fp16) else "fp16" if fp16 > bf16 else "bf16"),
    ),
    ("fastest_16", _rule(twice=1.0)),
    ("fastest_16", _rule(twice=1.0, strict_twice=True)),
    ("fp16_first", _pick(lambda fp32, bf16, fp16: "fp16" if fp16 >= 1.2 * fp32 else _name(fp32, bf16, 0.0))),
    *(("no_margin", _rule(margin=1.0, strict_margin=strict)) for strict in (False, True)),
    *(("twice_margin", _rule(margin=2.0, strict_margin=strict)) for strict in (False, True)),
    ("no_twice", _rule(twice=float("inf"))),
    ("strict_twice", _rule(strict_twice=True)),
    *(("twice_fp32", _rule(base="fp32", strict_twice=strict)) for strict in (False, True)),
    ("fp16_slow", _pick(lambda fp32, bf16, fp16: "bf16" if bf16 >= 1.2 * fp32 and fp16 <= 2 * bf16 else "fp16")),
    ("fp16_slow", _pick(lambda fp32, bf16, fp16: "bf16" if bf16 >= 1.2 * fp32 else "fp16")),
    (
        "fp16_slow",
        _pick(lambda fp32, bf16, fp16: "fp16" if fp16 > 2 * bf16 else "bf16" if bf16 >= 1.2 * fp32 else "fp32"),
    ),
    ("no_fp16", _pick(lambda fp32, bf16, fp16: "bf16" if bf16 >= 1.2 * fp32 else "fp32")),
    (
        "fp32_if_no_bf16",
        _pick(lambda fp32, bf16, fp16: "fp32" if bf16 < 1.2 * fp32 else "fp16" if fp16 > 2 * bf16 else "bf16"),
    ),
    (
        "gives_up",
        _pick(lambda fp32, bf16, fp16: "fp32" if bf16 >= 1.2 * fp32 and fp16 > 2 * bf16 else _name(fp32, bf16, fp16)),
    ),
    (
        "slow_twice",
        _pick(lambda fp32, bf16, fp16: "bf16" if fp16 <= 2 * bf16 else "fp16" if fp16 >= 1.2 * fp32 else "fp32"),
    ),
)


def _name(fp32: float, bf16: float, fp16: float) -> str:
    return definition({"fp32": fp32, "bf16": bf16, "fp16": fp16})[0]


def check(my_plan: Any) -> str | None:
    """None when right, else what is wrong."""
    return _check_full(my_plan) or _check_parts(my_plan)


def _check_full(my_plan: Any) -> str | None:
    """Machines with all three formats."""
    cases = [*FULL, *_drawn()]
    answers = []
    for rates in cases:
        got, diagnosis = _ask(my_plan, rates)
        if got is None:
            return diagnosis
        answers.append(got)
    for rates, got in zip(cases, answers, strict=True):
        if got != definition(rates):
            known = probe.recognise([(rates,) for rates in cases], answers, MISTAKES, lambda a, b: a == b)
            return SAYS[known[0] if known else "other"].format(case=_case(rates, got))
    return None


def _check_parts(my_plan: Any) -> str | None:
    """Machines that lack a format."""
    for rates in PARTS:
        try:
            got, diagnosis = _ask(my_plan, rates)
        except (KeyError, TypeError, ZeroDivisionError) as error:
            return SAYS["missing"].format(rates=rates, error=type(error).__name__)
        if got is None:
            return diagnosis
        if got != definition(rates):
            return SAYS["other"].format(case=_case(rates, got))
    return None


def _ask(my_plan: Any, rates: Rates) -> tuple[Plan | None, str | None]:
    """The answer for one machine, or None and why it is none."""
    given = dict(rates)
    with probe.settings_kept():
        came = my_plan(given)
    if given != rates:
        return None, SAYS["changed"]
    if not isinstance(came, tuple | list) or len(came) != 2:
        return None, SAYS["type"].format(rates=rates, came=_describe(came))
    name, flag = came
    if isinstance(flag, str) and probe.as_bool(name) is not None:
        return None, SAYS["swapped"].format(rates=rates, came=_describe(came))
    needs_scaler = probe.as_bool(flag)
    if needs_scaler is None or not isinstance(name, str | torch.dtype):
        return None, SAYS["type"].format(rates=rates, came=_describe(came))
    if name not in ("fp32", "bf16", "fp16"):
        return None, SAYS["name"].format(rates=rates, name=str(name))
    return (str(name), needs_scaler), None


def _describe(came: Any) -> str:
    """Short things as they are."""
    plain = (str, bool, int, float, tuple, list, torch.dtype)
    return repr(came) if isinstance(came, plain) and len(repr(came)) < 50 else probe.describe(came)


def _case(rates: Rates, got: Plan) -> str:
    want = definition(rates)
    bf16, fp16 = (rates.get(name, 0.0) / rates["fp32"] for name in ("bf16", "fp16"))
    why = SAYS[f"why_{want[0]}"].format(bf16=bf16, fp16=fp16, ratio=fp16 / bf16 if bf16 else 0.0)
    return SAYS["case"].format(rates=rates, got=got, want=want, why=why)


exercise = Exercise(name="plan", notebook="02", task=TASK, hints=HINTS, solution=SOLUTION, check=check)
