"""The low-rank update of one linear layer: y = W x + (alpha / r) B A x, with W frozen (Hu et al. 2021, LoRA).

A starts random and B at zero, so that the adapted layer says at first exactly what the layer said. rsLoRA divides by
the root of r instead (Kalajdzievski 2023); DoRA learns the length of each row of W + BA beside its direction
(Liu et al. 2024).
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Adapter(nn.Module):
    """The trained numbers of one adapter on one weight: A (r, in), B (out, r), and for DoRA magnitude (out,).

    Always fp32: at a learning rate of 1e-4 the updates of a bf16 adapter would round away. `experts` > 1 stacks as
    many adapters as peft does: A (experts * r, in), expert by expert, and B (out, r * experts), experts innermost.
    """

    def __init__(
        self, in_features: int, out_features: int, r: int = 8, alpha: float = 16, dropout: float = 0.0,
        rslora: bool = False, magnitude: Tensor | None = None, experts: int = 1, device: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        check(r, alpha, dropout)
        if r > min(in_features, out_features):
            raise ValueError(
                f"r={r} is more than a matrix of {out_features} x {in_features} can have; at most "
                f"{min(in_features, out_features)}, and far less is the idea"
            )
        self.r, self.alpha, self.rslora, self.experts = r, alpha, rslora, experts
        self.A = nn.Parameter(torch.empty(experts * r, in_features, device=device, dtype=torch.float32))
        self.B = nn.Parameter(torch.zeros(out_features, r * experts, device=device, dtype=torch.float32))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.magnitude = None if magnitude is None else nn.Parameter(magnitude.detach().float().clone())
        self.dropout = nn.Dropout(dropout)

    @property
    def scale(self) -> float:
        """What B A is multiplied with."""
        return self.alpha / (math.sqrt(self.r) if self.rslora else self.r)

    def stacked(self, factor: float = 1.0) -> tuple[Tensor, Tensor]:
        """A as (experts, r, in), and B times the factor as (out, r, experts)."""
        a, b = self.A.view(self.experts, self.r, -1), self.B.view(-1, self.r, self.experts)
        return a, factor * b

    @property
    def settings(self) -> dict[str, Any]:
        """What makes another adapter of the same kind."""
        dora = self.magnitude is not None
        return {"r": self.r, "alpha": self.alpha, "dropout": self.dropout.p, "rslora": self.rslora, "dora": dora}


def check(r: int, alpha: float, dropout: float) -> None:
    """Raise ValueError for settings that no adapter can have."""
    if isinstance(r, bool) or not isinstance(r, int) or r < 1:
        raise ValueError(f"r must be a whole number of at least 1, not {r!r}")
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha must be a positive number, not {alpha!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), not {dropout!r}")


class Adapted(nn.Module):
    """A frozen weight with named adapters, at most one of which is active, and which can be merged into the weight.

    `home` and `slot` say where the weight lies: getattr(home, slot). Subclasses say what an adapter looks like.
    """

    active: str | None
    _unmerged: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.adapters = nn.ModuleDict()
        self.active = None
        self.register_buffer("_unmerged", None, persistent=False)  # a buffer, so that .to(device) takes it along

    @property
    def home(self) -> nn.Module:
        raise NotImplementedError

    slot = "weight"

    def new_adapter(self, r: int, alpha: float, dropout: float, rslora: bool, dora: bool) -> Adapter:
        raise NotImplementedError

    def update(self, adapter: Adapter) -> Tensor:
        """scale * B A in the shape of the weight, fp32."""
        raise NotImplementedError

    def add(
        self, name: str, r: int = 8, alpha: float = 16, dropout: float = 0.0, rslora: bool = False, dora: bool = False
    ) -> Adapter:
        """One more adapter; the active one stays. Raises ValueError for a name that is taken or unfit."""
        self.free(name)
        made = self.new_adapter(r, alpha, dropout, rslora, dora)
        self.adapters[name] = made.train(self.training)
        return made

    def free(self, name: str) -> None:
        """Raise ValueError for a name that is taken or unfit."""
        if name in self.adapters:
            raise ValueError(f"the model has an adapter {name!r} already; there are {', '.join(self.adapters)}")
        if not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(f"{name!r} can't be an adapter's name: no dots, not empty, and no name of torch's own")

    def use(self, name: str | None) -> None:
        """Make this adapter the active one, and the only one that trains; None for the weight alone.

        Raises ValueError for a name that is not there, RuntimeError while another adapter is merged.
        """
        self.usable(name)
        self.active = name
        for other, adapter in self.adapters.items():
            adapter.requires_grad_(other == name)

    def known(self, name: str | None) -> None:
        """Raise ValueError for an adapter that is not there."""
        if name is not None and name not in self.adapters:
            raise ValueError(f"no adapter {name!r}; there are {', '.join(self.adapters)}")

    def usable(self, name: str | None) -> None:
        """Raise as `use` does."""
        self.known(name)
        if self.merged and name != self.active:
            raise RuntimeError(f"adapter {self.active!r} is merged into the weight; unmerge before using {name!r}")

    @property
    def adapter(self) -> Adapter | None:
        """The active adapter."""
        return None if self.active is None else cast(Adapter, self.adapters[self.active])

    @property
    def merged(self) -> bool:
        """Whether the active adapter is in the weight already."""
        return self._unmerged is not None

    def base_weight(self) -> Tensor:
        """The frozen weight, dequantised where it is kept in few bits; without any adapter, merged or not."""
        if self._unmerged is not None:
            return self._unmerged
        if (dequantize := getattr(self.home, "dequantize", None)) is not None:
            return dequantize()
        return getattr(self.home, self.slot)

    def adapted_weight(self) -> Tensor:
        """The weight that acts, fp32: the base's and the active adapter's together."""
        weight, adapter = self.base_weight().float(), self.adapter
        if adapter is None:
            return weight
        weight = weight + self.update(adapter)
        if adapter.magnitude is None:
            return weight
        return (adapter.magnitude / weight.norm(dim=1).detach()).unsqueeze(1) * weight

    def delta_weight(self) -> Tensor:
        """What the active adapter adds to the weight, in its shape, fp32."""
        return self.adapted_weight() - self.base_weight().float()

    @torch.no_grad()
    def merge(self) -> None:
        """Put the active adapter into the weight, once; nothing happens where it is in already, or none is active.

        The weight as it was is kept, for subtracting BA again would leave rounding behind. A weight that another
        module shares changes there too; `dslab.lora.merge` refuses that. Raises TypeError for a quantised base.
        """
        if self.merged or self.active is None:
            return
        if hasattr(self.home, "dequantize"):
            raise TypeError(
                f"{type(self.home).__name__} keeps its weight in few bits, and rounding would swallow the adapter; "
                "load the model in bf16 or fp32, put the adapter on it (load_peft), and merge there"
            )
        weight = getattr(self.home, self.slot)
        merged = self.adapted_weight().to(weight.dtype)
        self._unmerged, weight.data = weight.data, merged

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the kept weight back: bit for bit what it was."""
        if self._unmerged is not None:
            getattr(self.home, self.slot).data = self._unmerged
            self._unmerged = None


def _is_power_of_two(scale: float) -> bool:
    return math.frexp(scale)[0] == 0.5


class LoRALinear(Adapted):
    """A linear layer with LoRA beside it. x (..., in) to (..., out), in the dtype that the base gives.

    base: nn.Linear, or what has in_features, out_features, bias and forward, and `dequantize()` for a weight in few
    bits. Its parameters are frozen.

    >>> layer = LoRALinear(nn.Linear(4, 3), r=2)
    >>> x = torch.randn(5, 4)
    >>> torch.equal(layer(x), layer.base(x))  # B is zero
    True
    """

    def __init__(
        self, base: nn.Module, r: int = 8, alpha: float = 16, dropout: float = 0.0, rslora: bool = False,
        dora: bool = False, name: str = "default",
    ) -> None:  # fmt: skip
        super().__init__()
        self.base = base.requires_grad_(False)
        self.train(base.training)
        self.add(name, r, alpha, dropout, rslora, dora)
        self.use(name)

    @property
    def home(self) -> nn.Module:
        return self.base

    @property
    def in_features(self) -> int:
        return cast(int, self.base.in_features)

    @property
    def out_features(self) -> int:
        return cast(int, self.base.out_features)

    @property
    def bias(self) -> Tensor | None:
        return cast("Tensor | None", self.base.bias)

    @property
    def weight(self) -> Tensor:
        """(out, in): what acts, adapter included. For models that read a layer's weight instead of calling it."""
        return self.adapted_weight().to(self.base_weight().dtype)

    def new_adapter(self, r: int, alpha: float, dropout: float, rslora: bool, dora: bool) -> Adapter:
        weight = self.base_weight()
        magnitude = weight.detach().float().norm(dim=1) if dora else None
        shape = self.in_features, self.out_features
        return Adapter(*shape, r, alpha, dropout, rslora, magnitude, device=weight.device)

    def update(self, adapter: Adapter) -> Tensor:
        return adapter.scale * (adapter.B @ adapter.A)

    def forward(self, x: Tensor) -> Tensor:
        y, adapter = self.base(x), self.adapter
        if adapter is None or self.merged:
            return y
        dropped = adapter.dropout(x.to(adapter.A.dtype))
        thin, scale = F.linear(dropped, adapter.A), adapter.scale
        # Times a power of two is exact wherever it is done, so it is done where there are r numbers a token, not `out`.
        low = F.linear(thin * scale, adapter.B) if _is_power_of_two(scale) else F.linear(thin, adapter.B) * scale
        if adapter.magnitude is not None:
            low = self._dora(y, dropped, low, adapter)
        return (y + low).to(y.dtype)

    def _dora(self, y: Tensor, dropped: Tensor, low: Tensor, adapter: Adapter) -> Tensor:
        """What DoRA adds to y, in peft's order: with fresh adapters it is zero exactly."""
        assert adapter.magnitude is not None
        weight = self.base_weight().float()
        # The norm is a constant to the gradient (section 4.3 of the paper): it saves memory and costs no quality.
        norm = (weight + self.update(adapter).detach()).norm(dim=1)
        gain = adapter.magnitude / norm
        if self.training and adapter.dropout.p > 0:
            straight = F.linear(dropped, weight)
        else:
            straight = y if self.bias is None else y - self.bias
        return (gain - 1) * straight + gain * low
