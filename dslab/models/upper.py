"""The upper blocks of a causal language model, tuned or watched while all below stays frozen.

What frozen blocks put out never changes, so it is computed once for a text and kept: a training step then costs the
upper blocks and the head only, a fifth of SmolLM2 for six of its thirty blocks.
"""

from __future__ import annotations

from typing import Any

import torch

Entering = tuple[torch.Tensor, Any]  # hidden states (B, T, width) before the first upper block; rotary angles


class UpperBlocks:
    """The last `blocks` blocks of a Llama-shaped model, with its norm and head.

    model:  has `.model.embed_tokens, .rotary_emb, .layers, .norm` and `.lm_head` (transformers' Llama, Qwen, Mistral).
    blocks: 1 to the number of layers. dtype: of the matrix products (autocast); None leaves them as they are.
    Raises ValueError naming the number of layers where `blocks` does not fit.
    """

    def __init__(self, model: Any, blocks: int, dtype: torch.dtype | None = None) -> None:
        layers = len(model.model.layers)
        if not 1 <= blocks <= layers:
            raise ValueError(f"blocks must be in 1..{layers}, the model's layers; got {blocks}")
        self.model, self.blocks = model, blocks
        self.numbers = list(range(layers - blocks, layers))
        device = next(model.parameters()).device.type
        self._autocast = torch.autocast(
            device, dtype=dtype or torch.bfloat16, enabled=dtype not in (None, torch.float32)
        )

    @torch.no_grad()
    def enter(self, ids: torch.Tensor) -> Entering:
        """What enters the first upper block for tokens (B, T). Padding belongs on the right: nothing looks there."""
        body = self.model.model
        with self._autocast:
            hidden = body.embed_tokens(ids)
            angles = body.rotary_emb(hidden, torch.arange(ids.shape[1], device=ids.device)[None])
            for layer in body.layers[: self.numbers[0]]:
                hidden = layer(hidden, position_embeddings=angles)
        return hidden, angles

    def logits(self, entering: Entering, first: int = 0) -> torch.Tensor:
        """(B, T - first, vocabulary) in fp32, of the positions from `first` on."""
        hidden, angles = entering
        body = self.model.model
        with self._autocast:
            for layer in body.layers[self.numbers[0] :]:
                hidden = layer(hidden, position_embeddings=angles)
            return self.model.lm_head(body.norm(hidden[:, first:])).float()
