"""Exercise `bill`: what one token costs in the cache, by the attention of its model."""

from __future__ import annotations

import functools
import itertools
import math
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise
from dslab.exercises.n05.bill_models import CASES, Case, Config
from dslab.exercises.n05.bill_way import FAULTS, Way

TASK = """\
Whether a model can serve many people at once is decided by what one token leaves behind. It stands in `config.json`.

Write `my_bill(config, bits)`: the bytes that one token takes in the cache, in all layers together, where each number
is kept in `bits` bits. `config` is a dict with the names of transformers:

- **MHA, GQA, MQA**: in each of `num_hidden_layers` layers a key and a value for each of `num_key_value_heads` heads.
  If that is missing or `None`, all `num_attention_heads` have their own. A head has `head_dim` numbers; if that is
  missing or `None`, `hidden_size / num_attention_heads`.
- **MLA**: where `kv_lora_rank` is there and not `None`. In each layer one latent vector of `kv_lora_rank` numbers, of
  which keys and values of all heads are made, and one key of `qk_rope_head_dim` numbers for RoPE, shared by all heads.
  Nothing else is kept, and what the config says about heads does not matter.

Not all that is in `config` is needed. Leave it as it is."""

STUB = '''\
def my_bill(config, bits):
    """Bytes that one token takes in the cache of all layers, with so many bits a number."""
    ...
'''

HINTS = (
    "How many numbers does one layer keep of one token? With MLA that is a sum of two entries. Otherwise it is a "
    "product: kinds of vectors, heads that keep some, numbers in a head. Layers and bits come last, for both.",
    "config.get(name) gives None for what is missing, so `config.get('num_key_value_heads') or heads` serves both. "
    "With MLA: kv_lora_rank + qk_rope_head_dim, no factor 2. Else: 2 * KV heads * head_dim. Eight bits are a byte.",
    "numbers = c['kv_lora_rank'] + c['qk_rope_head_dim'] if c.get('kv_lora_rank') else 2 * (c.get("
    "'num_key_value_heads') or heads) * (c.get('head_dim') or c['hidden_size'] // heads), and return "
    "c['num_hidden_layers'] * numbers * bits / 8.",
)

SOLUTION = """\
def my_bill(config, bits):
    heads = config["num_attention_heads"]
    if config.get("kv_lora_rank"):
        numbers = config["kv_lora_rank"] + config["qk_rope_head_dim"]
    else:
        dim = config.get("head_dim") or config["hidden_size"] // heads
        numbers = 2 * (config.get("num_key_value_heads") or heads) * dim
    return config["num_hidden_layers"] * numbers * bits / 8
"""

SAYS = {
    "type": "my_bill should return a number of bytes; for {model} it returned {came}.",
    "changed": "You change `config`, which the caller still needs.",
    "missing": "{model} has no entry `{key}`, and that is allowed: config.get(...) gives None for it.",
    "none": "In {model} the entries {keys} are None, as in many a config.json, and your code raises {error}. None is "
    "to be treated as missing.",
    "no_mla": "You reckon MLA like any other attention. It keeps no head at all, but one latent vector a layer. {case}",
    "mla_everywhere": "You take for MLA what is none: an entry that is None is as good as missing. {case}",
    "mla_by_q": "You know MLA by its q_lora_rank, and not every one has that. What tells is kv_lora_rank. {case}",
    "query_heads": "You count the heads of the queries. Queries are not kept; with GQA several of them share a key. "
    "{case}",
    "one_head": "You count one KV head for all. That is MQA. {case}",
    "groups": "You count how many query heads share a KV head, and not the KV heads. {case}",
    "no_heads": "You count one where num_key_value_heads is missing. Then every head has its own. {case}",
    "no_two": "The factor 2 is missing: a key and a value. {case}",
    "two_for_mla": "You count MLA twice. Keys and values are made of the same latent vector, so it is kept once. "
    "{case}",
    "no_layers": "You count one layer. {case}",
    "no_rope": "With MLA the key for RoPE is forgotten. It cannot be made of the latent vector. {case}",
    "rope_heads": "With MLA you count the key for RoPE once per head. All heads share it. {case}",
    "only_rope": "With MLA you count the key for RoPE alone. {case}",
    "latent_heads": "With MLA you count a latent vector per head. All heads share one. {case}",
    "rope_two": "With MLA you count the key for RoPE twice; RoPE rotates keys and no values. {case}",
    "q_lora": "You take q_lora_rank. That is for queries, and these are not kept. {case}",
    "expanded": "You count the keys and values of all heads. MLA keeps what they are made of. {case}",
    "head_dim_ignored": "You always divide hidden_size by the heads. Where head_dim is given, it counts. {case}",
    "dim_by_kv": "You divide hidden_size by the KV heads. It is shared out among num_attention_heads. {case}",
    "hidden": "You count hidden_size for every head. {case}",
    "bits": "You return bits. A byte has eight. {case}",
    "numbers": "You return how many numbers are kept; each takes `bits` bits. {case}",
    "two_bytes": "You take two bytes a number, whatever `bits` says. {case}",
    "four_bytes": "You take four bytes a number, whatever `bits` says. {case}",
    "whole_bytes": "You divide bits by eight and round. Six bits are three quarters of a byte. {case}",
    "unit": "You return kilobytes or the like; bytes are asked for. {case}",
    "other": "{case}",
    "less": "For {model} with {bits} bits you return {got}, and it should be {want}: too little by {factor}.",
    "more": "For {model} with {bits} bits you return {got}, and it should be {want}: too much by {factor}.",
}


def definition(config: Config, bits: int) -> float:
    """By adding up every vector that is kept."""
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    assert layers is not None
    assert heads is not None
    latent, rope = config.get("kv_lora_rank"), config.get("qk_rope_head_dim")
    if latent is not None and rope is not None:
        vectors = [latent, rope]
    else:
        dim = config.get("head_dim")
        kv_heads = config.get("num_key_value_heads")
        size = (config["hidden_size"] or 0) // heads if dim is None else dim
        vectors = [size for _ in range(heads if kv_heads is None else kv_heads) for _ in ("key", "value")]
    return sum(sum(vectors) for _ in range(layers)) * bits / 8


@functools.cache
def _known() -> dict[tuple[float, ...], str]:
    """What an answer to all cases betrays: one fault before two."""
    known: dict[tuple[float, ...], str] = {}
    for count in (1, 2):
        for faults in itertools.combinations(FAULTS, count):
            parts = {part: how for _, part, how in faults}
            if len(parts) == count:
                known.setdefault(tuple(Way(**parts)(config, bits) for _, config, bits in CASES), faults[0][0])
    known.pop(tuple(definition(config, bits) for _, config, bits in CASES), None)
    return known


def check(my_bill: Any) -> str | None:
    """None when right, else what is wrong."""
    answers: list[float] = []
    for model, config, bits in CASES:
        given = dict(config)
        try:
            came = my_bill(given, bits)
        except KeyError as error:
            if not error.args or error.args[0] not in ("num_key_value_heads", "head_dim", "kv_lora_rank"):
                raise
            return _say(answers, partial=True) or SAYS["missing"].format(model=model, key=error.args[0])
        except TypeError as error:
            empty = [key for key, value in config.items() if value is None]
            if not answers or not empty:
                raise
            return _say(answers, partial=True) or SAYS["none"].format(
                model=model, keys=" and ".join(empty), error=type(error).__name__
            )
        if given != config:
            return SAYS["changed"]
        got = _as_number(came)
        if got is None:
            return SAYS["type"].format(model=model, came=shown(came))
        answers.append(got)
    return _say(answers)


def _as_number(value: Any) -> float | None:
    """A finite number, which may come in a tensor without dimensions."""
    if isinstance(value, Tensor | np.ndarray):
        tensor = probe.as_tensor(value)
        value = tensor.item() if tensor is not None and tensor.ndim == 0 else None
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _say(answers: list[float], partial: bool = False) -> str | None:
    """What is wrong with the answers; those so far, where the next case raised."""
    for case, got in zip(CASES, answers, strict=not partial):
        want = definition(*case[1:])
        if not math.isclose(got, want, rel_tol=1e-6):
            known = (name for row, name in _known().items() if all(map(_is_near, row, answers)))
            return SAYS[next(known, "other")].format(case=_case(case, got, want))
    return None


def _is_near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6)


def _case(case: Case, got: float, want: float) -> str:
    small, large = sorted((got, want))
    factor = f"a factor of {large / small:.4g}" if small > 0 else f"{want - got:,.10g}"
    facts = {"model": case[0], "bits": case[2], "got": f"{got:,.10g}", "want": f"{want:,.10g}", "factor": factor}
    return SAYS["less" if got < want else "more"].format(**facts)


exercise = Exercise(name="bill", notebook="05", task=TASK, hints=HINTS, solution=SOLUTION, check=check)
