"""A language model over bytes, small enough to train in a second: for experiments about training, not about language.

Pre-norm Transformer with learned positions. What it reads is the reference of the Python language, which comes with
every Python (`pydoc_data.topics`, 466 kB of English and code in 3.11; each version has its own text).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.heads, self.activation = heads, activation
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(B, T, D))
        return x + self.down(self.activation(self.up(self.mlp_norm(x))))


class TinyLM(nn.Module):
    """Bytes in, logits of the next byte out.

    >>> TinyLM(width=32, layers=1, heads=2)(torch.zeros(1, 5, dtype=torch.long)).shape
    torch.Size([1, 5, 256])
    """

    def __init__(
        self, width: int = 64, layers: int = 2, heads: int = 2, context: int = 64,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed, self.place = nn.Embedding(256, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList([_Block(width, heads, activation) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) int64 below 256, T at most `context`, to (B, T, 256) logits."""
        x = self.embed(tokens) + self.place.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def loss(self, tokens: Tensor) -> Tensor:
        """Mean cross-entropy, in nats, of each byte after the first. tokens: (B, T + 1)."""
        logits = self(tokens[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def corpus() -> Tensor:
    """The text as (N,) int64 bytes."""
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name] for name in sorted(topics))
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).long()


def batches(text: Tensor, steps: int, rows: int, length: int, seed: int) -> list[Tensor]:
    """`steps` random batches (rows, length + 1), the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(0, len(text) - length, (steps, rows), generator=generator)
    return [text[row[:, None] + torch.arange(length + 1)] for row in starts]
