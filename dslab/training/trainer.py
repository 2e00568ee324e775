"""transformers.Trainer, with the loss of the answers, the order of `batches`, and checkpoints of what is trained only.

What `Trainer` does well stays its own: accumulation, clipping, schedules, checkpoints, resuming, early stopping.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

# Where `datasets` is installed, Trainer imports it, and pandas and pyarrow with it: 90 MB. Rows are lists here.
with patch("transformers.utils.is_datasets_available", new=lambda: False):
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from dslab.training.chat import Encoded
from dslab.training.live import Live
from dslab.training.loss import answer_loss, mean_loss

WEIGHTS = "trained.safetensors"


class AnswerTrainer(Trainer):
    """A Trainer of answers. held_out: what `evaluate` measures; live: what shows the run."""

    def __init__(
        self, model: Any, args: TrainingArguments, *, held_out: Sequence[Encoded] | None, live: Live, **options: Any
    ) -> None:
        super().__init__(model, args, **options)
        self.remove_callback(PrinterCallback)
        self.add_callback(_Record(self, live))
        self.held_out = held_out
        self.step_loss: Tensor | float = 0.0
        self.model_accepts_loss_kwargs = True  # so that the answer tokens of the whole step are counted, and handed on

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:  # fmt: skip
        """This micro-batch's share of the mean over all answer tokens of the step."""
        loss = answer_loss(model, inputs, num_items_in_batch)
        self.step_loss = self.step_loss + loss.detach()
        return loss

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        """The mean over held-out answer tokens; the mean of batches' means, as in Trainer, weighs short ones more."""
        assert self.held_out is not None
        metrics = {"eval_loss": mean_loss(self.model, self.held_out)}
        self.state.log_history.append({"step": self.state.global_step, **metrics})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Nothing: the history is kept by `_Record`, in full precision."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]  # the order is that of the data

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        from safetensors.torch import save_file

        folder = Path(str(output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: p.detach().cpu().contiguous() for name, p in trained(self.model).items()}, folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        load_weights(self.model, Path(str(self.state.best_model_checkpoint)))


class _Record(TrainerCallback):
    """Writes each step into the state, which goes into checkpoints, and shows it."""

    def __init__(self, trainer: AnswerTrainer, live: Live) -> None:
        self.trainer, self.live = trainer, live
        self.began, self.entry = 0.0, dict[str, float]()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began, self.trainer.step_loss = time.perf_counter(), 0.0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        loss, lr = float(self.trainer.step_loss), options["optimizer"].param_groups[0]["lr"]
        self.entry = {"step": state.global_step + 1, "answer_loss": loss, "lr": lr}
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"step {state.global_step + 1}: the loss is {loss}. The weights are those after step "
                f"{state.global_step}; start again with a smaller learning rate than the {lr:.1e} of this step"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        state.log_history.append({**self.entry, "seconds": time.perf_counter() - self.began})
        self.live.update(*curves(state.log_history))


def curves(log: list[dict[str, Any]]) -> tuple[list[float], dict[int, float]]:
    """From a trainer's log: the loss of every step, and the held-out losses by step."""
    losses = [entry["answer_loss"] for entry in log if "answer_loss" in entry]
    return losses, {entry["step"]: entry["eval_loss"] for entry in log if "eval_loss" in entry}


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that train, by name; of tied ones, the first name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def load_weights(model: Any, checkpoint: Path) -> None:
    """Put a checkpoint's parameters into the model. Raises ValueError where they are not those that train."""
    from safetensors.torch import load_file

    saved, own = load_file(checkpoint / WEIGHTS), trained(model)
    if odd := sorted(saved.keys() ^ own.keys()):
        raise ValueError(f"{checkpoint} is of another model: {len(odd)} parameters are in one only, such as {odd[0]}")
    for name, parameter in own.items():
        if saved[name].shape != parameter.shape:
            was, now = tuple(saved[name].shape), tuple(parameter.shape)
            raise ValueError(f"{checkpoint} is of another model: {name} is {was} there and {now} here")
        parameter.copy_(saved[name])


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint. The state is written last, so one that can be read belongs to a whole one."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.split("-")[1].isdigit()]
    for path in sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return path
    return None
