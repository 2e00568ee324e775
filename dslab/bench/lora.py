"""`dslab bench lora`: our adapters beside peft's, and full fine-tuning beside LoRA, on SmolLM2 in fp32.

A step is forward, backward and AdamW on 3 examples of the JSON task, with the same loss for all; process CPU time, in
turns. Peak memory is that of the steps, in a process of its own for each method. The last rows are not measured here
but read from the kept study (`dslab bench lora-study`). About five minutes and 4 GB.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from functools import cache
from statistics import mean
from typing import Any

from dslab.bench import lora_study as study
from dslab.bench.measure import interleaved
from dslab.bench.memory import peak_bytes
from dslab.bench.report import Row, Table, command, load, this_machine

__all__ = ["differences", "load", "main", "measure"]

EXAMPLES, REPEATS, R, ALPHA = 3, 5, 8, 32
OURS, PEFT, FULL = "LoRA, dslab", "LoRA, peft", "full fine-tuning"
NARROW, FOUR_BITS = "LoRA, bf16", "LoRA on NF4"


def main(arguments: list[str]) -> int:
    """Measure, print, and with `--save` keep the table; 1 where a bar is missed."""
    return command("lora", __doc__ or "", measure, arguments)


def measure(say: Callable[[str], None] = lambda _: None) -> Table:
    """The whole table."""
    import torch

    table = Table("lora", machine=this_machine(torch.get_num_threads()))
    for title, part in PARTS.items():
        say(f"measuring {title} ...")
        part(table)
    return table


def _loading(table: Table) -> None:
    from dslab import models

    models.load("smollm2", "fp32")  # fills the cache, imports what it needs
    seconds = interleaved({"load": lambda: models.load("smollm2", "fp32")}, REPEATS)["load"]
    table.seconds["load SmolLM2"] = seconds
    table.rows.append(Row("load SmolLM2 from the cache, CPU seconds", seconds, "<=", 2.0, 0.5))


@cache
def _base() -> tuple[Any, Any]:
    from dslab import models

    return models.load("smollm2", "fp32")


@cache
def _batch() -> dict[str, Any]:
    from dslab import training
    from dslab.training.tasks import TASKS

    rows = training.encode_rows(TASKS["json"].make(EXAMPLES, "train"), _base()[1], system="")
    return training.Collator()(rows)


def _adapted(method: str = OURS) -> Any:
    """SmolLM2 with our adapters, B not zero, so that every gradient is something."""
    import torch

    from dslab import lora
    from dslab.lora.nf4 import quantize_model

    model = copy.deepcopy(_base()[0])
    if method == NARROW:
        model = model.to(torch.bfloat16)
    if method == FOUR_BITS:
        quantize_model(model, "all-linear")
    torch.manual_seed(0)
    lora.inject(model, "all-linear", r=R, alpha=ALPHA)
    with torch.no_grad():
        for layer in lora.layers(model).values():
            adapter: Any = layer.adapters["default"]
            adapter.B.normal_(std=0.01)
    return model


def _pair() -> tuple[Any, Any]:
    """Our model, and peft's made from the file that ours wrote."""
    from peft import PeftModel

    from dslab import lora

    ours = _adapted()
    with tempfile.TemporaryDirectory() as folder:
        lora.save_peft(ours, folder)
        theirs = PeftModel.from_pretrained(copy.deepcopy(_base()[0]), folder, is_trainable=True)
    return ours.train(), theirs.train()


def _step(model: Any) -> Callable[[], Any]:
    """A training step as a call."""
    import torch

    from dslab import training

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)

    def step() -> None:
        training.answer_loss(model, _batch()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def differences(ours: Any, theirs: Any, batch: dict[str, Any]) -> tuple[float, float]:
    """Largest difference of a logit, and of a gradient, between our adapted model and peft's with the same adapter.

    batch: input_ids, attention_mask, labels. Gradients are those of the loss of its labels, compared name by name.
    """
    import torch

    from dslab import lora, training

    inputs = {name: value for name, value in batch.items() if name != "labels"}
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        logits = _far(ours(**inputs).logits[real], theirs(**inputs).logits[real])
    for model in (ours, theirs):
        model.zero_grad()
        training.answer_loss(model, batch).backward()
    grads = {name: p.grad for name, p in theirs.named_parameters() if p.requires_grad}
    far, seen = 0.0, 0
    for name, layer in lora.layers(ours).items():
        adapter: Any = layer.adapters["default"]
        for part, key in (("A", "lora_A"), ("B", "lora_B"), ("magnitude", "lora_magnitude_vector")):
            if (mine := getattr(adapter, part)) is not None:
                far, seen = max(far, _far(mine.grad, grads[f"base_model.model.{name}.{key}.default.weight"])), seen + 1
    if seen != len(grads):
        raise ValueError(f"peft trains {len(grads)} tensors, ours {seen}: not the same adapter")
    return logits, far


def _equality(table: Table) -> None:
    """Outputs and gradients of the two, and of ours merged, on one batch."""
    import torch

    from dslab import lora

    ours, theirs = _pair()
    logits, gradients = differences(ours, theirs, _batch())
    table.rows.append(Row("largest difference of logits, ours and peft's", logits, "<=", 1e-6))
    table.rows.append(Row("largest difference of gradients, ours and peft's", gradients, "<=", 1e-6))
    inputs = {name: value for name, value in _batch().items() if name != "labels"}
    real = inputs["attention_mask"].bool()

    def said() -> torch.Tensor:
        with torch.no_grad():
            return ours(**inputs).logits[real]

    beside = said()
    before = {name: p.detach().clone() for name, p in ours.named_parameters()}
    lora.merge(ours)
    merged = _far(beside, said()) / beside.abs().max().item()
    table.rows.append(Row("merged: difference of logits over the largest", merged, "<=", 1e-5))
    lora.unmerge(ours)
    changed = sum(not torch.equal(p, before[name]) for name, p in ours.named_parameters())
    table.rows.append(Row("unmerged: tensors that are not what they were, bit for bit", changed, "<=", 0))


def _far(a: Any, b: Any) -> float:
    return float((a - b).abs().max())


def _time(table: Table) -> None:
    ours, theirs = _pair()
    full = copy.deepcopy(_base()[0]).train()
    others = {method: _step(_adapted(method).train()) for method in (NARROW, FOUR_BITS)}
    seconds = interleaved({OURS: _step(ours), PEFT: _step(theirs), FULL: _step(full), **others}, REPEATS)
    table.seconds |= {f"step, {name}": value for name, value in seconds.items()}
    table.rows.append(Row("step, ours over peft", seconds[OURS] / seconds[PEFT], "<=", 1.05, 0.95))
    table.rows.append(Row("step, full over LoRA", seconds[FULL] / seconds[OURS], ">=", 1.5))


def training_peak(method: str) -> int | None:
    """Peak resident bytes of three training steps, without what loading took; call it in a fresh process."""
    import gc

    step = _step(copy.deepcopy(_base()[0]).train() if method == FULL else _adapted(method).train())
    _batch()  # needs the tokenizer, which goes with the first copy of the model
    _base.cache_clear()
    step()  # the optimizer's states
    gc.collect()
    return peak_bytes(lambda: [step() for _ in range(3)])


def _memory(table: Table) -> None:
    import multiprocessing

    peaks: dict[str, int] = {}
    for method in (OURS, FULL, NARROW, FOUR_BITS):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            if (peak := pool.apply(training_peak, (method,))) is None:
                why = "can be measured on Linux only"
                table.rows.append(Row("peak memory, full over LoRA", None, ">=", 1.6, why=why))
                return
            peaks[method] = peak
    table.seconds |= {f"peak GB, {method}": peak / 1e9 for method, peak in peaks.items()}
    table.rows.append(Row("peak memory, full over LoRA", peaks[FULL] / peaks[OURS], ">=", 1.6))


def _four_bits(table: Table) -> None:
    """Bytes in NF4 over those in bf16: of the matrices, and of the whole model, whose embedding stays in bf16."""
    from dslab.lora.nf4 import NF4Linear, quantize_model

    model = copy.deepcopy(_base()[0])
    whole = 2 * sum(p.numel() for p in model.parameters())
    names = quantize_model(model, "all-linear")
    layers = [m for m in model.modules() if isinstance(m, NF4Linear)]
    assert len(layers) == len(names)
    packed = sum(layer.nbytes for layer in layers)
    matrices = 2 * sum(layer.in_features * layer.out_features for layer in layers)
    table.rows.append(Row("NF4: bytes of the quantised matrices over bf16", packed / matrices, "<=", 0.27))
    table.rows.append(Row("NF4: bytes of the whole model over bf16", (whole - matrices + packed) / whole, "<=", 0.45))


def _studied(table: Table) -> None:
    """The study's bars: means over its seeds, each seed with 100 held-out items of its own."""
    rows = study.load()

    def accuracy(**settings: Any) -> float | None:
        found = study.matching(rows, **settings)
        return mean(row["looks"][-1]["accuracy"] for row in found) if found else None

    def add(words: str, value: float | None, bound: str, must: float, aim: float | None = None) -> None:
        why = "" if value is not None else "`dslab bench lora-study --save` first"
        table.rows.append(Row(f"study: {words}", value, bound, must, aim, why))

    trained = {"method": "lora", "steps": 40, "base": "fp32", "r": 8}
    add("dates, held out, 40 steps", accuracy(task="dates", **trained), ">=", 0.85, 0.95)
    add("JSON calls, held out, 40 steps", accuracy(task="json", **trained), ">=", 0.60, 0.85)
    same = {"task": "dates", "steps": 20, "base": "fp32"}
    for method, better, worse, r in (("lora", 1e-3, 1e-4, 8), ("full", 1e-4, 1e-3, 0)):
        good = accuracy(method=method, lr=better, r=r, **same)
        bad = accuracy(method=method, lr=worse, r=r, **same)
        value = None if good is None or bad is None else good - bad
        add(f"{method} at {better:g} less {method} at {worse:g}", value, ">=", 0.05)
    add("NF4: distance from fp32, in half-widths of its interval", nf4_distance(rows), "<=", 1.0)


def nf4_distance(rows: list[dict[str, Any]]) -> float | None:
    """Accuracy of LoRA on NF4 less that on the same weights in fp32, over half the width of the latter's interval.

    All seeds together: their held-out items are different ones. None where the study does not have both.
    """
    from dslab.training import wilson

    twins = []
    for base in ("nf4", "fp32"):
        found = study.matching(rows, task="dates", method="lora", steps=20, lr=1e-3, r=8, base=base)
        looks = [row["looks"][-1] for row in found]
        n = sum(look["n"] for look in looks)
        twins.append((sum(round(look["accuracy"] * look["n"]) for look in looks), n))
    (right, n), (right_twin, n_twin) = twins
    if not n or not n_twin:
        return None
    low, high = wilson(right_twin, n_twin)
    return abs(right / n - right_twin / n_twin) / ((high - low) / 2)


PARTS: dict[str, Callable[[Table], None]] = {
    "memory": _memory, "loading": _loading, "equality": _equality, "steps": _time, "NF4": _four_bits,
    "what the study says": _studied,
}  # fmt: skip
