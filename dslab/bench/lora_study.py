"""`dslab bench lora-study`: what tuning SmolLM2 gives, over seeds, methods, learning rates, ranks and bases.

Slow: over an hour of one core. So each run is kept as a line of data/bench/lora_study.jsonl when it ends, and what is
there already is not run again: stop it and start it as you like, also part by part.

    curve   both tasks: prompting with 0, 4 and (JSON) 10 examples; then LoRA, 40 steps, looked at on the way
    rates   LoRA and full fine-tuning at two learning rates, dates, 20 steps
    ranks   LoRA of rank 1, 8 and 32, dates, 20 steps; of rank 1, JSON calls, 40 steps
    bases   LoRA on the weights as they are, in fp32, and on NF4, dates, 20 and 40 steps

Every seed has training items, their order, the adapter's start and 100 held-out items of its own. Forgetting is the
mean loss in nats of a token of unrelated English: the topics of Python's own help.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dslab.bench.report import this_machine
from dslab.paths import data_dir

__all__ = ["PARTS", "Run", "english", "execute", "interval", "load", "looks", "made", "main", "matching", "planned"]

N, BATCH, ALPHA, SYSTEM = 100, 6, 32.0, ""  # an empty system turn: 17 tokens fewer than SmolLM2's own
WINDOWS, WINDOW = 8, 128
SEEDS = 3


@dataclass(frozen=True)
class Run:
    """One run of the study. method: "lora", "full", or "prompt", which trains nothing and shows `shots` examples."""

    task: str
    method: str
    seed: int
    lr: float = 1e-3
    steps: int = 20
    r: int = 8
    base: str = "fp32"
    shots: int = 0
    looks: tuple[int, ...] = ()  # steps after which to evaluate, besides the last

    @property
    def name(self) -> str:
        """The run in words."""
        if self.method == "prompt":
            return f"{self.task}, {self.shots} examples in the prompt, seed {self.seed}"
        rank = f" r={self.r}" if self.method == "lora" else ""
        return f"{self.task}, {self.method}{rank} on {self.base}, lr {self.lr:g}, {self.steps} steps, seed {self.seed}"


def _curve(seed: int) -> list[Run]:
    kinds = (("dates", 4), ("json", 10), *((("json", 4), ("dates", 0), ("json", 0)) if seed == 0 else ()))
    prompted = [Run(task, "prompt", seed, lr=0.0, steps=0, r=0, shots=shots) for task, shots in kinds]
    trained = [Run("dates", "lora", seed, steps=40, looks=(10, 20)), Run("json", "lora", seed, steps=40, looks=(20,))]
    return [*prompted, *trained]


def _rates(seed: int) -> list[Run]:
    lora = [Run("dates", "lora", seed, lr=lr) for lr in (1e-3, 1e-4)]
    return lora + [Run("dates", "full", seed, lr=lr, r=0) for lr in (1e-4, 1e-3)]


def _ranks(seed: int) -> list[Run]:
    dates = [Run("dates", "lora", seed, r=r) for r in (8, 1, 32)]
    return [*dates, Run("json", "lora", seed, steps=40, r=1, looks=(20,))]


def _bases(seed: int) -> list[Run]:
    twins = [Run("dates", "lora", seed, base=base) for base in ("fp32", "nf4")]
    return [*twins, Run("dates", "lora", seed, steps=40, looks=(10, 20), base="nf4")]  # its twin is of the curve


PARTS: dict[str, Callable[[int], list[Run]]] = {
    "curve": _curve,
    "rates": _rates,
    "ranks": _ranks,
    "bases": _bases,
}


def path(folder: Path | None = None) -> Path:
    """Where the study is kept."""
    return (folder or data_dir() / "bench") / "lora_study.jsonl"


def load(folder: Path | None = None) -> list[dict[str, Any]]:
    """The kept runs: {"run", "looks", "losses", "seconds", "machine"} each; a line cut short by a kill is left out.

    looks: {"steps", "accuracy", "low", "high", "n", "contained", "english", "examples"} for each.
    """
    if not (kept := path(folder)).is_file():
        return []
    rows = []
    for line in kept.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def matching(rows: Iterable[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    """The runs with these settings, for a notebook: matching(load(), task="dates", method="lora", lr=1e-3)."""
    return [row for row in rows if all(row["run"][name] == value for name, value in settings.items())]


def looks(rows: Iterable[dict[str, Any]], quantity: str = "accuracy", **settings: Any) -> dict[int, list[float]]:
    """What the runs with these settings showed: steps -> one value a seed. Raises LookupError where there is none."""
    seen: dict[int, list[float]] = {}
    for row in matching(rows, **settings):
        for look in row["looks"]:
            seen.setdefault(look["steps"], []).append(look[quantity])
    if not seen:
        raise LookupError(f"the study has no run with {settings}; `dslab bench lora-study --save` makes them")
    return seen


def interval(shares: Sequence[float], n: int = N) -> tuple[float, float]:
    """The 95 % interval of a mean over seeds, each with n items of its own."""
    from dslab.training import wilson

    return wilson(sum(round(share * n) for share in shares), n * len(shares))


def made(rows: Sequence[dict[str, Any]]) -> str:
    """Where the runs come from, in a line."""
    machines = sorted({row["machine"]["processor"] for row in rows})
    hours = sum(row["seconds"] for row in rows) / 3600
    return f"{len(rows)} runs, {hours:.1f} CPU hours, {', '.join(machines)}: `dslab bench lora-study --save`"


def main(arguments: list[str]) -> int:
    """Do what is not kept yet, one line a run."""
    parser = argparse.ArgumentParser(prog="dslab bench lora-study", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds 0 to this, less one")
    parser.add_argument("--save", action="store_true", help=f"keep each run in {path().name} as it ends")
    parser.add_argument("--threads", type=int, default=1, help="one by default, so that others can work beside it")
    options = parser.parse_args(arguments)
    import torch

    from dslab import lora, models, training  # noqa: F401  # before the first run, not an hour into the study

    torch.set_num_threads(options.threads)
    wanted = planned(options.part, options.seeds)
    known = {key(row["run"]) for row in load()} if options.save else set()
    todo = [run for run in wanted if key(asdict(run)) not in known]
    print(f"{len(todo)} runs to do, {len(wanted) - len(todo)} kept already", flush=True)
    for run in todo:
        row = execute(run)
        print(summary(row), flush=True)
        if options.save:
            _keep(row)
    return 0


def planned(parts: list[str], seeds: int) -> list[Run]:
    """The runs of these parts, each once; seed by seed, so that a study stopped half-way is whole for fewer seeds."""
    return list(dict.fromkeys(run for seed in range(seeds) for part in parts for run in PARTS[part](seed)))


def key(run: dict[str, Any]) -> str:
    """A run as text, the same before and after JSON."""
    return json.dumps(run, sort_keys=True)


def summary(row: dict[str, Any]) -> str:
    """One line."""
    looks = "  ".join(
        f"{look['steps']}: {look['accuracy']:.2f} [{look['low']:.2f}, {look['high']:.2f}] en {look['english']:.3f}"
        for look in row["looks"]
    )
    return f"{Run(**row['run']).name}: {looks}  ({row['seconds']:.0f} s of CPU)"


def execute(run: Run) -> dict[str, Any]:
    """One run, from the base model to its figures."""
    import torch

    from dslab import lora, training
    from dslab.training.tasks import TASKS

    began = time.process_time()
    model, tokenizer, task = _model(run.base), _base()[1], TASKS[run.task]
    held_out = task.make(N, "test", run.seed)
    shots = _shots(run)
    torch.manual_seed(run.seed)
    if run.method == "lora":
        lora.inject(model, "all-linear", r=run.r, alpha=ALPHA)
    trained = 0 if run.method == "prompt" else sum(p.numel() for p in model.parameters() if p.requires_grad)

    def look(steps: int) -> dict[str, Any]:
        seen = training.evaluate(
            model, tokenizer, held_out, shots=shots, system=SYSTEM, max_new_tokens=task.longest, score=task.score
        )
        contained = sum(i.answer in output for i, output in zip(held_out, seen.outputs, strict=True)) / N
        wrong = [
            {"prompt": item.prompt.split("\n")[-1], "answer": item.answer, "output": output}
            for item, output, right in zip(held_out, seen.outputs, seen.rights, strict=True)
            if not right
        ]
        return {
            "steps": steps, "accuracy": seen.accuracy, "low": seen.low, "high": seen.high, "n": seen.n,
            "contained": contained, "english": training.mean_loss(model, english()), "examples": wrong[:3],
        }  # fmt: skip

    looks, losses, training_seconds = [], list[float](), 0.0
    if run.method == "prompt":
        looks = [look(0)]
    else:
        rows = training.encode_rows(task.make(BATCH * run.steps, "train", run.seed), tokenizer, system=SYSTEM)
        for step, loss, seconds in _steps(model, rows, run):
            losses.append(round(loss, 4))
            training_seconds += seconds
            if step in {*run.looks, run.steps}:
                looks.append(look(step))
    machine = this_machine(torch.get_num_threads())
    return {
        "run": json.loads(json.dumps(asdict(run))), "looks": looks, "losses": losses, "trained": trained,
        "seconds": round(time.process_time() - began, 1), "training_seconds": round(training_seconds, 1),
        "machine": machine,
    }  # fmt: skip


def _shots(run: Run) -> list[Any]:
    """Examples for the prompt: of JSON calls as many functions as there is room for, each as often as the others."""
    from dslab.training.tasks import TASKS

    if not run.shots:
        return []
    if run.task != "json":
        return TASKS[run.task].make(run.shots, "train", run.seed)
    by_function: dict[str, list[Any]] = {}
    for item in TASKS["json"].make(20 * run.shots, "train", run.seed):
        by_function.setdefault(json.loads(item.answer)["name"], []).append(item)
    rounds = zip(*by_function.values(), strict=False)
    return [item for one_of_each in rounds for item in one_of_each][: run.shots]


def _steps(model: Any, rows: list[Any], run: Run) -> Iterable[tuple[int, float, float]]:
    """AdamW, warmed up over a tenth of the steps and then down a cosine, as `training.fit` does; (step, loss, s)."""
    import torch
    from transformers import get_cosine_schedule_with_warmup

    from dslab import training

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=run.lr, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, -(-run.steps // 10), run.steps)
    model.train()
    collate = training.Collator()
    for step, batch in enumerate(training.batches(rows, run.steps, BATCH, run.seed), 1):
        began = time.process_time()
        loss = training.answer_loss(model, collate(batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        yield step, loss.item(), time.process_time() - began


@cache
def _base() -> tuple[Any, Any]:
    from dslab import models

    return models.load("smollm2", "fp32")


def _model(base: str) -> Any:
    """A fresh copy of SmolLM2 with its weights as named."""
    import torch

    model = copy.deepcopy(_base()[0])
    if base == "bf16":
        return model.to(torch.bfloat16)
    if base == "nf4":
        from dslab.lora.nf4 import quantize_model

        quantize_model(model, "all-linear")
    return model


@cache
def english() -> list[Any]:
    """Text that has nothing to do with the tasks, which every Python brings along: windows of tokens."""
    from pydoc_data.topics import topics

    from dslab.training import Encoded

    ids: list[int] = []
    for name in sorted(topics):
        ids += _base()[1](topics[name], add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) > 20 * WINDOWS * WINDOW:
            break
    return [Encoded(part, part) for at in range(WINDOWS) for part in [ids[at * 20 * WINDOW :][:WINDOW]]]


def _keep(row: dict[str, Any]) -> None:
    cut = path().is_file() and not path().read_bytes().endswith(b"\n")  # by a kill in the middle of a line
    with path().open("a", encoding="utf-8") as file:
        file.write("\n" * cut + json.dumps(row, ensure_ascii=False) + "\n")
