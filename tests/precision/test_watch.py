"""Gradients counted while they pass are the gradients there are without hooks."""

import pytest
import torch
from torch import nn

from dslab.models.tiny import TinyLM
from dslab.precision import Binades, watch_gradients

TOKENS = torch.arange(33).repeat(2, 1)


def model():
    torch.manual_seed(0)
    return TinyLM(width=16, layers=2, heads=2, context=32)


def same(seen, gradient):
    other = Binades.of(gradient)
    return torch.equal(seen.counts, other.counts) and seen.zeros == other.zeros


def hooks_left(module):
    """Every hook that a watch could leave behind."""
    return [
        hook
        for part in module.modules()
        for hook in [
            *part._forward_hooks.values(),
            *(h for p in part.parameters(False) for h in (p._post_accumulate_grad_hooks or {}).values()),
        ]
    ]


@pytest.mark.parametrize("free", [True, False])
def test_every_parameter_and_output_counts_as_without_hooks(free):
    plain, watched = model(), model()
    kept = {}
    for i, block in enumerate(plain.blocks):
        block.register_forward_hook(lambda m, args, out, i=i: kept.setdefault(i, out).retain_grad())
    plain.loss(TOKENS).backward()

    with watch_gradients(watched, {str(i): block for i, block in enumerate(watched.blocks)}, free=free) as seen:
        watched.loss(TOKENS).backward()

    assert list(seen.parameters) == [name for name, _ in plain.named_parameters()]
    for (name, parameter), other in zip(plain.named_parameters(), watched.parameters(), strict=True):
        assert same(seen.parameters[name], parameter.grad), name
        assert other.grad is None if free else torch.equal(other.grad, parameter.grad)
    assert list(seen.outputs) == ["0", "1"]
    for i, output in kept.items():
        assert output.grad.count_nonzero()
        assert same(seen.outputs[str(i)], output.grad)
    assert not hooks_left(watched)


def test_a_gradient_is_freed_before_the_next_one_comes():
    layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(5)))
    alive = []
    first = layers(torch.ones(1, 4))
    with watch_gradients(layers, {}):
        for layer in layers:
            layer.bias.register_post_accumulate_grad_hook(
                lambda _: alive.append(sum(p.grad is not None for p in layers.parameters()))
            )
        layers(torch.ones(1, 4)).sum().backward()
    assert max(alive) <= 1
    first.sum().backward()
    assert all(p.grad is not None for p in layers.parameters()), "afterwards, gradients stay again"


def test_a_parameter_used_twice_counts_once_and_complete():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            return self.head(self.embed(tokens)).square().sum()

    torch.manual_seed(0)
    tied = Tied()
    with watch_gradients(tied, {}, free=False) as seen:
        tied(torch.tensor([1, 2, 2])).backward()
    assert list(seen.parameters) == ["embed.weight"]
    assert seen.parameters["embed.weight"].total == 20
    assert same(seen.parameters["embed.weight"], tied.embed.weight.grad)


def test_what_is_frozen_is_skipped_and_what_is_unused_is_empty():
    layers = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    layers[0].requires_grad_(False)
    with watch_gradients(layers, {"frozen": layers[0], "used": layers[1], "unused": layers[2]}) as seen:
        layers[1](layers[0](torch.ones(1, 3))).sum().backward()
    assert list(seen.parameters) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert seen.parameters["2.weight"].total == seen.outputs["unused"].total == 0
    assert seen.outputs["frozen"].total == 0, "its output needs no gradient"
    assert seen.outputs["used"].shares() == {0: 1.0}


def test_nothing_needs_a_gradient_without_grad_mode():
    layer = nn.Linear(2, 2)
    with watch_gradients(layer, {"out": layer}) as seen, torch.no_grad():
        layer(torch.ones(1, 2))
    assert seen.outputs["out"].total == seen.parameters["weight"].total == 0


class Tuple(nn.Module):
    """Gives its input scaled, after something that is no tensor."""

    def __init__(self, *before):
        super().__init__()
        self.before = before

    def forward(self, x):
        return (*self.before, 2 * x, 3 * x)


@pytest.mark.parametrize("module", [Tuple(), Tuple(None), Tuple("a", 1)], ids=["tensor", "None", "others"])
def test_of_a_tuple_the_first_tensor(module):
    x = torch.ones(2, requires_grad=True)
    with watch_gradients(module, {"pair": module}) as seen:
        *_, first, second = module(x)
        (first * torch.tensor([4.0, 0.0]) + 64.0 * second).sum().backward()
    assert seen.outputs["pair"].shares() == {2: 1.0}
    assert seen.outputs["pair"].zeros == 1


def test_without_any_tensor_it_says_so():
    class Mapping(nn.Module):
        def forward(self, x):
            return {"logits": x}

    module = Mapping()
    with (
        pytest.raises(TypeError, match="pairs puts out no tensor and no tuple with one, but dict"),
        watch_gradients(module, {"pairs": module}),
    ):
        module(torch.ones(1))
    assert not hooks_left(module)


def test_each_call_of_a_module_counts():
    layer = nn.Linear(2, 2)
    with watch_gradients(layer, {"out": layer}) as seen:
        layer(layer(torch.ones(1, 2))).sum().backward()
    assert seen.outputs["out"].total == 4
    assert seen.parameters["weight"].total == 4, "one gradient, of both uses"


def test_what_changes_an_output_in_place_changes_nothing():
    layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    nn.init.constant_(layers[0].weight, 1.0)
    with watch_gradients(layers, {"before relu": layers[0]}) as seen:
        layers(torch.ones(1, 2)).backward(torch.full((1, 2), 8.0))
    assert seen.outputs["before relu"].shares() == {3: 1.0}


def test_two_passes_add_up_when_freed_and_the_sum_is_counted_when_kept():
    for free, exponents in ((True, {0: 1.0}), (False, {0: 0.5, 1: 0.5})):
        weight = nn.Linear(1, 1, bias=False)
        with watch_gradients(weight, {}, free=free) as seen:
            for _ in range(2):
                weight(torch.ones(1, 1)).sum().backward()
        assert seen.parameters["weight"].shares() == exponents


def test_sparse_gradients_are_counted_too():
    embedding = nn.Embedding(100, 2, sparse=True)
    with watch_gradients(embedding, {}) as seen:
        embedding(torch.tensor([1, 1])).sum().backward()
    assert (seen.parameters["weight"].total, seen.parameters["weight"].shares()) == (2, {1: 1.0})


def test_hooks_go_after_an_error_and_after_the_end():
    watched = model()
    reached = []

    def fail():
        with watch_gradients(watched, {"block": watched.blocks[0]}) as seen:
            reached.extend([seen, watched.loss(TOKENS)])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    seen, loss = reached
    assert not hooks_left(watched)
    loss.backward()  # the graph was built inside
    assert seen.outputs["block"].total == sum(b.total for b in seen.parameters.values()) == 0
    assert all(p.grad is not None for p in watched.parameters())


def test_hooks_go_even_where_the_watch_could_not_start():
    watched = model()
    with pytest.raises(AttributeError), watch_gradients(watched, {"block": None}):
        pass
    assert not hooks_left(watched)


def test_values_and_other_people_s_hooks_are_left_alone():
    plain, watched = model(), model()
    calls = []
    watched.blocks[0].register_forward_hook(lambda *_: calls.append("forward"))
    watched.head.weight.register_post_accumulate_grad_hook(lambda _: calls.append("gradient"))
    with watch_gradients(watched, {"block": watched.blocks[0]}, free=False):
        loss = watched.loss(TOKENS)
        loss.backward()
    assert torch.equal(loss, plain.loss(TOKENS))
    assert calls == ["forward", "gradient"]
    assert len(hooks_left(watched)) == 2
