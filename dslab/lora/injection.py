"""Put adapters on a model, find them again, and merge them into the weights and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from dslab.lora.experts import LoRAExperts, LoRAParameter
from dslab.lora.linear import LoRALinear, check
from dslab.lora.targets import Targets, resolve

Prepared = dict[str, LoRALinear | LoRAExperts]


def inject(
    model: nn.Module, targets: Targets = "all-linear", r: int = 8, alpha: float = 16, dropout: float = 0.0,
    rslora: bool = False, dora: bool = False, *, name: str = "default",
) -> list[str]:  # fmt: skip
    """Adapt the targets (see `dslab.lora.targets`) in place and freeze everything else. Returns what was adapted.

    Raises ValueError, with the model unchanged, for targets that match nothing, a model that has adapters already
    (`add` gives it another), or settings that a target can't have; the message names the target.
    """
    if present := layers(model):
        some = ", ".join(list(present)[:3])
        raise ValueError(f"the model has adapters already, on {len(present)} weights ({some} ...); add() makes another")
    check(r, alpha, dropout)
    settings = {"r": r, "alpha": alpha, "dropout": dropout, "rslora": rslora, "dora": dora}
    names = resolve(model, targets)
    with unharmed(model):
        attach(model, prepare(model, dict.fromkeys(names, settings), name))
    return names


@contextmanager
def unharmed(model: nn.Module) -> Iterator[None]:
    """Where the block raises, what needed a gradient needs it again."""
    before = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        yield
    except BaseException:
        for parameter in before:
            parameter.requires_grad_(True)
        raise


def prepare(model: nn.Module, plan: Mapping[str, dict[str, Any]], name: str) -> Prepared:
    """What will replace modules of the model, by full name; the model itself has none of it yet.

    plan: settings for each weight. Raises ValueError that names the weight whose settings do not fit.
    """
    made: Prepared = {}
    for full, settings in plan.items():
        owner, _, leaf = full.rpartition(".")
        module = getattr(model.get_submodule(owner), leaf)
        try:
            if isinstance(module, nn.Module):
                made[full] = LoRALinear(module, **settings, name=name)
                continue
            wrapper = made.setdefault(owner, LoRAExperts(model.get_submodule(owner)))
            assert isinstance(wrapper, LoRAExperts)
            wrapper.adapt(leaf).add(name, **settings)
        except ValueError as error:
            raise ValueError(f"{full}: {error}") from error
    return made


def attach(model: nn.Module, made: Prepared) -> None:
    """Put them in place; the adapters train, and nothing else."""
    model.requires_grad_(False)
    for full, module in made.items():
        parent, _, leaf = full.rpartition(".")
        setattr(model.get_submodule(parent), leaf, module)
    for layer in layers(model).values():
        layer.use(next(iter(layer.adapters)))


def layers(model: nn.Module) -> dict[str, LoRALinear | LoRAParameter]:
    """The adapted weights by the names their layers or parameters had before."""
    found: dict[str, LoRALinear | LoRAParameter] = {}
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            found[name] = module
        elif isinstance(module, LoRAExperts):
            found |= {f"{name}.{slot}": adapted for slot, adapted in module.adapted().items()}
    return found


def merge(model: nn.Module) -> None:
    """Put the active adapter into the weights: the same outputs up to rounding, at the base model's speed.

    Raises ValueError for a weight that another module shares (a head tied to the embedding): it would change too.
    """
    adapted = adapted_layers(model)
    uses: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        uses.setdefault(id(parameter), []).append(name)
    for name, layer in adapted.items():
        weight = getattr(layer.home, layer.slot, None)
        if len(shared := uses.get(id(weight), [])) > 1:
            raise ValueError(f"{name} shares its weight ({' = '.join(shared)}); merging would change both: untie first")
    for layer in adapted.values():
        layer.merge()


def unmerge(model: nn.Module) -> None:
    """Take the adapter out again: the weights are bit for bit what they were."""
    for layer in adapted_layers(model).values():
        layer.unmerge()


def adapted_layers(model: nn.Module) -> dict[str, LoRALinear | LoRAParameter]:
    """`layers`, of which there must be one. Raises ValueError where there is none."""
    if not (found := layers(model)):
        raise ValueError("the model has no adapters; inject() or load_peft() puts them on it")
    return found
