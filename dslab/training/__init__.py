"""Tuning a causal language model on questions and answers, and measuring what it has learned.

    rows = encode_rows(items, tokenizer)                        # the model's own chat template; labels on answers only
    history = fit(model, rows, steps=40, lr=1e-3, out="runs/dates")  # transformers.Trainer; goes on after a kill
    print(evaluate(model, tokenizer, held_out))                 # 0.93 [0.86, 0.97], n = 100

The loop inside `fit`, by hand and with the same losses:

    for rows in batches(encoded, steps, 6, seed):
        loss = answer_loss(model, collate(rows))

Names are imported on first use, so that one of them costs only its own file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# No module has the name of a function here: an imported module would take the function's place.
_HOME = {
    "Encoded": "chat",
    "encode": "chat",
    "encode_rows": "chat",
    "prompt_ids": "chat",
    "turn_end": "chat",
    "Collator": "collate",
    "batches": "collate",
    "answer_loss": "loss",
    "mean_loss": "loss",
    "History": "fitting",
    "fit": "fitting",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "exact_match": "evaluation",
    "wilson": "evaluation",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from dslab.training.chat import Encoded as Encoded
    from dslab.training.chat import encode as encode
    from dslab.training.chat import encode_rows as encode_rows
    from dslab.training.chat import prompt_ids as prompt_ids
    from dslab.training.chat import turn_end as turn_end
    from dslab.training.collate import Collator as Collator
    from dslab.training.collate import batches as batches
    from dslab.training.evaluation import Evaluation as Evaluation
    from dslab.training.evaluation import evaluate as evaluate
    from dslab.training.evaluation import exact_match as exact_match
    from dslab.training.evaluation import wilson as wilson
    from dslab.training.fitting import History as History
    from dslab.training.fitting import fit as fit
    from dslab.training.loss import answer_loss as answer_loss
    from dslab.training.loss import mean_loss as mean_loss


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
