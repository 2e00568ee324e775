"""Train a model on encoded answers: an adapter or all of it, from the start or from where a killed run stood."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments, get_scheduler

from dslab.models.loading import quiet
from dslab.training.chat import Encoded
from dslab.training.collate import Collator, order
from dslab.training.live import Live
from dslab.training.trainer import AnswerTrainer, curves, last_checkpoint, load_weights, trained

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}  # with transformers' names
RUN = "run.json"


@dataclass(frozen=True)
class History:
    """What a run was. losses, lrs: of every optimizer step, those before a kill included; mean nats an answer token.

    seconds:   all steps together. held_out: step -> loss. best: step and loss of the lowest held-out loss, or None.
    """

    losses: list[float]
    lrs: list[float] = field(repr=False)
    seconds: float
    held_out: dict[int, float] = field(default_factory=dict, repr=False)

    @property
    def best(self) -> tuple[int, float] | None:
        return min(self.held_out.items(), key=lambda pair: pair[1]) if self.held_out else None

    def __str__(self) -> str:
        said = f"{len(self.losses)} steps, loss {self.losses[0]:.3f} to {self.losses[-1]:.3f}"
        return f"{said}; held out {self.best[1]:.3f} at best, step {self.best[0]}" if self.best else said


def fit(
    model: Any, encoded: Sequence[Encoded], *, steps: int, lr: float, batch: int = 6, micro_batch: int | None = 3,
    schedule: str = "cosine", warmup: float = 0.1, weight_decay: float = 0.0, max_norm: float | None = 1.0,
    seed: int = 0, out: str | os.PathLike[str] | None = None, resume: bool = False,
    evaluate_on: Sequence[Encoded] | None = None, every: int = 10, patience: int | None = None,
    checkpointing: bool = False, show: bool = True,
) -> History:  # fmt: skip
    """Train what requires a gradient, in place, with AdamW. For an adapter, inject it first; for all, pass the model.

    steps, batch:     optimizer steps, and examples in each; in the order of `batches(encoded, steps, batch, seed)`.
    micro_batch:      examples at a time, a divisor of batch; None: all. Less memory, the same gradient: the mean is
                      over the answer tokens of the step.
    schedule, warmup: "cosine", "linear" or "constant", after a warm-up of this share of the steps.
    max_norm:         the gradient's 2-norm is cut to it; None: not at all.
    out, resume:      a folder for a checkpoint every `every` steps, of what trains only. resume=True goes on from the
                      last whole one, or starts where there is none; the same call may be repeated until it is through.
    evaluate_on:      held-out examples; their loss is measured every `every` steps.
    patience:         stop after this many measurements without a new lowest loss; the model then gets the best weights.
    checkpointing:    recompute activations in the backward pass: about a third slower, much less memory.
    show:             a live curve in a notebook, a bar on a terminal.
    The model's mode and settings are put back. Raises ValueError for settings that do not fit each other, for nothing
    to train, for a resumed run that began with other settings or data; FileExistsError where `out` holds a run and
    resume is False; FloatingPointError when the loss is no longer a number.
    """
    micro_batch = micro_batch or batch
    _check(model, encoded, steps, lr, batch, micro_batch, schedule, warmup, every, patience, evaluate_on)
    settings = {
        "steps": steps, "lr": lr, "batch": batch, "micro_batch": micro_batch, "schedule": schedule, "warmup": warmup,
        "weight_decay": weight_decay, "max_norm": max_norm, "seed": seed, "every": every, "patience": patience,
        "examples": _digest(encoded), "held out": _digest(evaluate_on or []),
        "parameters": _digest([[name, list(p.shape)] for name, p in trained(model).items()]),
    }  # fmt: skip
    with _folder(out) as folder, quiet(), _put_back(model, checkpointing):
        if out is not None:
            _begin(folder, settings, resume)
        start = last_checkpoint(folder)
        if start and (log := _finished(folder)) is not None:
            load_weights(model, folder / log["weights"])
            return _history(log["log"])
        device = next(model.parameters()).device
        saves = out is not None or patience is not None
        args = TrainingArguments(
            output_dir=str(folder), max_steps=steps, per_device_train_batch_size=micro_batch, seed=seed,
            gradient_accumulation_steps=batch // micro_batch, max_grad_norm=max_norm or 0.0,
            use_cpu=device.type == "cpu", remove_unused_columns=False, report_to="none",
            disable_tqdm=True, logging_strategy="no",
            save_strategy="steps" if saves else "no", save_steps=every, save_total_limit=2 if patience else 1,
            eval_strategy="steps" if evaluate_on else "no", eval_steps=every, metric_for_best_model="eval_loss",
            greater_is_better=False, load_best_model_at_end=patience is not None, dataloader_pin_memory=False,
        )  # fmt: skip
        args._n_gpu = min(args.n_gpu, 1)  # with more it would split the batch over all of them
        optimizer = torch.optim.AdamW(trained(model).values(), lr=lr, weight_decay=weight_decay)
        live, callbacks = Live(steps, show), list[TrainerCallback]()
        if patience is not None:
            callbacks.append(EarlyStoppingCallback(patience))
        trainer = AnswerTrainer(
            model, args, held_out=evaluate_on, live=live, callbacks=callbacks, data_collator=Collator(),
            train_dataset=[encoded[i] for i in order(len(encoded), steps * batch, seed)],  # type: ignore[arg-type]
            eval_dataset=evaluate_on or None,  # type: ignore[arg-type]
            optimizers=(optimizer, get_scheduler(SCHEDULES[schedule], optimizer, math.ceil(steps * warmup), steps)),  # type: ignore[arg-type]
        )  # fmt: skip
        words = "stopped before the end"
        try:
            trainer.train(resume_from_checkpoint=str(start) if start else None)
            history = _history(trainer.state.log_history)
            words = str(history)
        finally:
            live.close(*curves(trainer.state.log_history), words)
        if out is not None:
            weights = Path(trainer.state.best_model_checkpoint or "") if patience else last_checkpoint(folder)
            _write(folder / RUN, {**settings, "finished": {"log": trainer.state.log_history, "weights": weights.name}})  # type: ignore[union-attr]
    return history


def _check(
    model: Any, encoded: Sequence[Encoded], steps: int, lr: float, batch: int, micro_batch: int, schedule: str,
    warmup: float, every: int, patience: int | None, evaluate_on: Sequence[Encoded] | None,
) -> None:  # fmt: skip
    if not encoded:
        raise ValueError("no examples: there is nothing to learn from")
    if min(steps, batch, micro_batch, every) < 1 or batch % micro_batch:
        raise ValueError(
            f"expected steps, batch and every of 1 or more and a micro_batch that divides batch; "
            f"got {steps=}, {every=}, {batch=}, {micro_batch=}"
        )
    if not (lr > 0 and 0 <= warmup < 1):
        raise ValueError(
            f"expected lr above 0 and warmup, a share of the steps, from 0 to below 1; got {lr=}, {warmup=}"
        )
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
    if patience is not None and (patience < 1 or not evaluate_on):
        raise ValueError(f"patience must be 1 or more and needs held-out examples in evaluate_on; got {patience=}")
    if not trained(model):
        raise ValueError("no parameter of the model requires a gradient: inject an adapter, or unfreeze the model")


@contextmanager
def _folder(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out).resolve()
        return
    with TemporaryDirectory(prefix="dslab-fit-") as name:
        yield Path(name)


@contextmanager
def _put_back(model: Any, checkpointing: bool) -> Iterator[None]:
    """The model as it was: Trainer leaves it in training mode and without a cache."""
    modes = [(module, module.training) for module in model.modules()]
    config = getattr(model, "config", None)
    use_cache = getattr(config, "use_cache", None)
    if checkpointing:  # not the reentrant kind: with a frozen embedding that one finds no gradient to pass on
        turn_on = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        turn_on({"use_reentrant": False})
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        if use_cache is not None:
            config.use_cache = use_cache  # type: ignore[union-attr]
        if checkpointing:
            (getattr(model, "activation_checkpointing_disable", None) or model.gradient_checkpointing_disable)()
        for parameter in model.parameters():
            parameter.grad = None


def _begin(folder: Path, settings: dict[str, Any], resume: bool) -> None:
    """Note what the run is, or see that it is the one that is to go on."""
    if not (folder / RUN).exists():
        if folder.exists() and any(folder.glob("checkpoint-*")):
            raise FileExistsError(f"{folder} holds checkpoints of something else; give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / RUN, settings)
        return
    if not resume:
        raise FileExistsError(f"{folder} holds a run: resume=True goes on with it; for a new one give another folder")
    was = json.loads((folder / RUN).read_text(encoding="utf-8"))
    if other := [
        f"{name} was {was.get(name)}, is {value}" for name, value in settings.items() if was.get(name) != value
    ]:
        raise ValueError(
            f"the run in {folder} began otherwise: {'; '.join(other)}. Resume it as it began, or give another folder"
        )


def _finished(folder: Path) -> dict[str, Any] | None:
    if not (folder / RUN).exists():
        return None
    found: dict[str, Any] | None = json.loads((folder / RUN).read_text(encoding="utf-8")).get("finished")
    return found


def _write(path: Path, content: Any) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _digest(content: Sequence[Any]) -> str:
    plain = [[row.input_ids, row.labels] if isinstance(row, Encoded) else row for row in content]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]


def _history(log: list[dict[str, Any]]) -> History:
    steps = [entry for entry in log if "answer_loss" in entry]
    losses, held_out = curves(log)
    return History(losses, [entry["lr"] for entry in steps], sum(entry["seconds"] for entry in steps), held_out)
