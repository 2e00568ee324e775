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

from typing import TYPE_CHECKING

from dslab.lazy import lazy

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
    from dslab.training.packing import pack as pack

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
