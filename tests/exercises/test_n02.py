"""Notebook 02's checkers against plausible wrong answers: each rejected with its own diagnosis, right ones accepted."""

from __future__ import annotations

import importlib
import itertools
import math

import numpy as np
import pytest
import torch
from exercise_harness import hold, hold_quick_and_traceless, hold_sentences

from dslab.book import checks
from dslab.exercises import n02
from dslab.exercises.n02 import recorder

INF = float("inf")
NAMES = tuple(n02.__all__)
SPACE = {"torch": torch, "np": np, "math": math, "F": torch.nn.functional}

RIGHT: dict[str, dict] = {}
WRONG: dict[str, dict] = {}  # each with a diagnosis of its own
ALSO: dict[str, dict] = {}  # the same mistakes made another way


def source(name, constant):
    return getattr(importlib.import_module(f"dslab.exercises.n02.{name}"), constant)


def defined(code):
    space = dict(SPACE)
    exec(code, space)
    return next(value for key, value in space.items() if key.startswith("my_"))


# ---------------------------------------------------------------- lost


def zero(x):
    return x.half() == 0


def lost_by(is_lost, scaled=torch.mul):
    """The share with another idea of what is lost."""

    def answer(g, s):
        alive = g != 0
        return ((is_lost(scaled(g, s)) & alive).sum() / alive.sum()).item() if alive.any() else 0.0

    return answer


right_lost = lost_by(zero)


def lost_by_threshold(g, s):
    alive = g[g != 0].double().abs() * s
    return float((alive <= 2**-25).double().mean()) if len(alive) else 0.0


def lost_by_loop(g, s):
    gone = alive = 0
    for value in g.flatten():
        if value != 0:
            alive += 1
            gone += (value * s).to(torch.float16).item() == 0
    return gone / max(alive, 1)


def lost_in_numpy(g, s):
    g = g.numpy()
    with np.errstate(over="ignore"):
        stored = (g * np.float32(s)).astype(np.float16)
    return np.mean(stored[g != 0] == 0) if g.any() else 0


def lost_as_tensor(g, s):
    alive = g != 0
    return (zero(g * s) & alive).sum() / alive.sum().clamp(min=1)


def lost_by_difference(g, s):
    before, after = torch.count_nonzero(g).item(), torch.count_nonzero((g * s).half()).item()
    return (before - after) / before if before else 0.0


def lost_in_place(g, s):
    g *= s
    return right_lost(g, 1)


RIGHT["lost"] = {
    "cast": right_lost,
    "threshold": lost_by_threshold,
    "loop": lost_by_loop,
    "numpy": lost_in_numpy,
    "0-dim tensor": lost_as_tensor,
    "difference of counts": lost_by_difference,
}
WRONG["lost"] = {
    "all entries": (lambda g, s: (zero(g * s) & (g != 0)).float().mean().item(), "divide by the number of all"),
    "zeros before": (lambda g, s: zero(g * s).float().mean().item(), "zero before. They had nothing"),
    "smallest normal": (lost_by(lambda x: x.abs() < torch.finfo(torch.float16).tiny), "smallest normal number"),
    "smallest": (lost_by(lambda x: x.abs() < 2**-24), "storing rounds to the nearest"),
    "up to smallest": (lost_by(lambda x: x.abs() <= 2**-24), "You call 2**-24 lost"),
    "tie": (lost_by(lambda x: x.abs() < 2**-25), "You keep 2**-25"),
    "epsilon": (lost_by(lambda x: x.abs() < torch.finfo(torch.float16).eps), "torch.finfo(torch.float16).eps"),
    "1e-7": (lost_by(lambda x: x.abs() < 1e-7), "near the edge and not on it"),
    "sign": (lost_by(lambda x: x < 2**-24), "forget the sign"),
    "divided": (lost_by(zero, torch.div), "You divide by the scale"),
    "unscaled": (lost_by(zero, lambda g, s: g), "no effect"),
    "cast first": (lost_by(zero, lambda g, s: g.half() * s), "store in fp16 first"),
    "scale in fp16": (lost_by(zero, lambda g, s: g.half() * torch.tensor([s]).half()), "infinite there"),
    "bf16": (lost_by(lambda x: x.bfloat16() == 0), "store in bf16"),
    "no cast": (lost_by(lambda x: x == 0), "You never store in fp16"),
    "always 0.0": (lambda g, s: 0.0, "You answer 0 whatever the gradients are"),
    "overflow too": (lost_by(lambda x: zero(x) | ~x.half().isfinite()), "Overflow is another trouble"),
    "overflow": (lost_by(lambda x: x.half().isinf()), "You count what becomes infinite. Lost"),
    "rounded": (lost_by(lambda x: x.half().float() != x), "that fp16 changes"),
    "mass": (lambda g, s: (g.abs() * zero(g * s)).sum().item() / max(g.abs().sum().item(), 1e-30), "add up sizes"),
    "kept": (lambda g, s: 1 - right_lost(g, s), "share that survives"),
    "percent": (lambda g, s: 100 * right_lost(g, s), "in percent"),
    "count": (lambda g, s: (zero(g * s) & (g != 0)).sum().item(), "how many are lost"),
    "rounded share": (lambda g, s: round(right_lost(g, s), 2), "you answer 0.33, but it is 0.33333"),
    "one size": (lambda g, s: right_lost(g, s) if g.numel() < 50 else 0.5, "torch.randn(40, 50) * 1e-07"),
    "NaN": (lambda g, s: ((zero(g * s) & (g != 0)).sum() / (g != 0).sum()).item(), "you answer nan. No entry"),
    "0 / 0": (lambda g, s: (zero(g * s) & (g != 0)).sum().item() / (g != 0).sum().item(), "raises ZeroDivisionError"),
    "all of nothing": (lambda g, s: right_lost(g, s) if g.any() else 1.0, "you answer 1.0. No entry"),
    "in place": (lost_in_place, "changes its argument `gradients`"),
    "mask": (lambda g, s: zero(g * s), "it returned a bool tensor of shape (8,)"),
    "None": (lambda g, s: print(end=""), "it returned None"),
}
ALSO["lost"] = {
    "whole scale": (lambda g, s: right_lost(g, max(1, int(s))) if s >= 1 else right_lost(g, s), "and scale 3.9 you"),
    "scale at most 2**15": (lambda g, s: right_lost(g, min(s, 2**15)), "and scale 2**16 you"),
    "zeros before, over alive": (lambda g, s: (zero(g * s).sum() / (g != 0).sum()).item(), "had nothing to lose"),
    "no cast, all entries": (lambda g, s: (g * s == 0).float().mean().item(), "You never store in fp16"),
    "always 1": (lambda g, s: 1, "You answer 1 whatever the gradients are"),
    "normal, with tie": (lost_by(lambda x: x.abs() <= 2**-14), "smallest normal number"),
    "sign at 2**-25": (lost_by(lambda x: x <= 2**-25), "forget the sign"),
    "sign after the cast": (lost_by(lambda x: x.half() <= 0), "forget the sign"),
    "sign, normal": (lost_by(lambda x: x < 6.103515625e-05), "forget the sign"),
    "half on both sides": (lost_by(zero, lambda g, s: g.half().float() * s), "entries that are not zero become zero"),
}


# ---------------------------------------------------------------- unscale


def is_bad(g):
    return not torch.isfinite(g).all().item()


def unscale_by(look=is_bad, divide=lambda g, s: g / s, fold=any):
    """Divide and look in another way; None stays None."""

    def answer(parameters, scale):
        found = [look(p.grad) for p in parameters if p.grad is not None]
        for p in parameters:
            if p.grad is not None:
                p.grad = divide(p.grad, scale)
        return bool(fold(found))

    return answer


right_unscale = unscale_by()


def unscale_by_torch(parameters, scale):
    grads = [p.grad for p in parameters if p.grad is not None]
    found = torch.zeros(())
    if grads:
        torch._amp_foreach_non_finite_check_and_unscale_(grads, found, torch.tensor(1 / scale))
    return found.bool()


def unscale_by_entries(parameters, scale):
    found = False
    for p in parameters:
        if p.grad is None:
            continue
        for i, value in enumerate(p.grad.flatten().tolist()):
            found |= math.isinf(value) or math.isnan(value)
            p.grad.view(-1)[i] = value / scale
    return found


def unscale_in_numpy(parameters, scale):
    bad = [not np.isfinite(p.grad.numpy()).all() for p in parameters if p.grad is not None]
    for p in parameters:
        if p.grad is not None:
            p.grad.copy_(torch.from_numpy(np.asarray(p.grad.numpy() / np.float32(scale))))
    return np.any(bad)


def unscale_looking_late(parameters, scale):
    found = torch.tensor(False)
    for p in parameters:
        if p.grad is not None:
            p.grad = p.grad * (1.0 / scale)
            found = found | (p.grad.abs() == INF).any() | (p.grad != p.grad).any()
    return found


def unscale_by_zero(parameters, scale):
    """inf - inf and NaN - NaN are NaN, everything finite gives 0."""
    found = False
    for p in parameters:
        if p.grad is not None:
            found = bool(((p.grad - p.grad) != 0).any()) or found
            p.grad.mul_(1 / scale)
    return found


def looping(before=None, none="continue", after=None, behind=lambda p, s: p.grad.div_(s)):
    """A loop that leaves early: where, and with what."""

    def answer(parameters, scale):
        found = False
        for p in parameters:
            if p.grad is None:
                if none == "break":
                    break
                if none is not None and none != "continue":
                    return none
                continue
            bad = is_bad(p.grad)
            if bad and before == "continue":
                found = True
                continue
            if bad and before is not None:
                return before
            behind(p, scale)
            if bad and after is not None:
                return after
            found = found or bad
        return found

    return answer


def unscale_of_values(parameters, scale):
    found = right_unscale(parameters, scale)
    for p in parameters:
        p.data.div_(scale)
    return found


def unscale_local(parameters, scale):
    found = False
    for p in parameters:
        if p.grad is not None:
            g = p.grad / scale
            found = found or is_bad(g)
    return found


def unscale_first(parameters, scale):
    for p in parameters:
        if p.grad is not None:
            p.grad.div_(scale)
            return is_bad(p.grad)
    return False


def unscale_last(parameters, scale):
    found = any(is_bad(p.grad) for p in parameters if p.grad is not None)
    if parameters and parameters[-1].grad is not None:
        parameters[-1].grad.div_(scale)
    return found


def unscale_crashing(parameters, scale):
    found = False
    for p in parameters:
        found = found or is_bad(p.grad)
        p.grad.div_(scale)
    return found


def unscale_filling(parameters, scale):
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    return right_unscale(parameters, scale)


def unscale_dropping(parameters, scale):
    found = right_unscale(parameters, scale)
    for p in parameters:
        p.grad = None if found else p.grad
    return found


def unscale_repairing(parameters, scale):
    found = right_unscale(parameters, scale)
    for p in parameters:
        if p.grad is not None:
            p.grad = p.grad.nan_to_num(0.0, 0.0, 0.0)
    return found


def unscale_freezing(parameters, scale):
    found = right_unscale(parameters, scale)
    for p in parameters:
        p.requires_grad_(False)
    return found


def unscale_popping(parameters, scale):
    found = False
    while parameters:
        found = right_unscale([parameters.pop()], scale) or found
    return found


def unscale_clearing(parameters, scale):
    """Takes everything from a caller who has to skip the step."""
    if found := right_unscale(parameters, scale):
        parameters.clear()
    return found


def unscale_freezing_unused(parameters, scale):
    for p in parameters:
        p.requires_grad_(p.grad is not None)
    return right_unscale(parameters, scale)


def half(x):
    return torch.tensor(x).half().float()


RIGHT["unscale"] = {
    "rebinding": right_unscale,
    "torch's kernel": unscale_by_torch,
    "entry by entry": unscale_by_entries,
    "numpy": unscale_in_numpy,
    "looking late": unscale_looking_late,
    "x - x": unscale_by_zero,
    "all at once": lambda ps, s: looping()(ps, s),
}
WRONG["unscale"] = {
    "multiplied": (unscale_by(divide=lambda g, s: g * s), "You multiply by the scale"),
    "local": (unscale_local, "The gradients are still scaled"),
    "twice": (unscale_by(divide=lambda g, s: g / s / s), "You divide twice"),
    "first only": (unscale_first, "Only the first gradient"),
    "last only": (unscale_last, "Only the last gradient"),
    "1 / scale in fp16": (unscale_by(divide=lambda g, s: g * half(1 / s)), "with the scale in 16 bits"),
    "gradients in fp16": (unscale_by(divide=lambda g, s: (g.half() / s).float()), "store the gradients in fp16"),
    "int scale": (unscale_by(divide=lambda g, s: g / int(s)), ".grad 0 should hold [1, -0.000499883]"),
    "parameters": (unscale_of_values, "change the parameters themselves"),
    "frozen": (unscale_freezing, "You set requires_grad to False"),
    "popped": (unscale_popping, "You change the list itself"),
    "dropped": (unscale_dropping, "it is None now"),
    "repaired": (unscale_repairing, "You repair what is bad"),
    "stops": (looping(before=True), "stop at the first bad gradient"),
    "stops after": (looping(after=True), "behind a bad one stay scaled"),
    "bad skipped": (looping(before="continue"), "do not divide a gradient that holds"),
    "inverted": (lambda ps, s: not right_unscale(ps, s), "is the opposite"),
    "never": (unscale_by(lambda g: False), "never find anything"),
    "always": (unscale_by(lambda g: True), "always find something"),
    "only inf": (unscale_by(lambda g: g.isinf().any()), "miss NaN"),
    "only NaN": (unscale_by(lambda g: g.isnan().any()), "miss inf"),
    "max": (unscale_by(lambda g: not g.max().isfinite()), "You miss -inf"),
    "== inf": (unscale_by(lambda g: (g == INF).any()), "+inf alone"),
    "first looked at": (unscale_by(fold=lambda found: found[:1] == [True]), "look at the first gradient only"),
    "last decides": (unscale_by(fold=lambda found: found[-1:] == [True]), "The last gradient decides"),
    "all": (unscale_by(fold=lambda found: all(found)), "only if every gradient"),
    "no entry finite": (unscale_by(lambda g: not g.isfinite().any()), "only if no entry"),
    "first two": (unscale_by(lambda g: is_bad(g.flatten()[:2])), "you answer False, but nan is among"),
    "summed": (unscale_by(lambda g: not g.sum().isfinite()), "A sum of finite numbers can overflow"),
    "squares": (unscale_by(lambda g: is_bad(g.square().sum())), "Squares of large"),
    "sum is inf": (unscale_by(lambda g: g.sum().isinf()), "inf - inf is NaN"),
    "above 65504": (unscale_by(lambda g: is_bad(g) or g.abs().max() > 65504), "the largest of fp16"),
    "above 3e38": (unscale_by(lambda g: is_bad(g) or g.abs().max() > 3e38), "you answer True, but every entry"),
    "crash": (unscale_crashing, "your code raises TypeError"),
    "filled": (unscale_filling, "To many optimizers zeros"),
    "None has no div_": (lambda ps, s: [p.grad.div_(s) for p in ps] and right_unscale(ps, 1), "raises AttributeError"),
    "None breaks": (looping(none="break"), "None ends your loop"),
    "None is bad": (lambda ps, s: right_unscale(ps, s) or any(p.grad is None for p in ps), "is not bad, nor"),
    "empty": (lambda ps, s: right_unscale(ps, s) if ps else True, "For parameters = []"),
    "a count": (lambda ps, s: int(right_unscale(ps, s)), "it returned a int"),
    "a list": (lambda ps, s: [right_unscale(ps, s)], "it returned a list"),
}
ALSO["unscale"] = {
    "scale at most 2**16": (unscale_by(divide=lambda g, s: g / min(s, 2**16)), "and scale 3.35544e+07 .grad 0"),
    "1 / scale in bf16": (unscale_by(divide=lambda g, s: g * torch.tensor(1 / s).bfloat16().float()), "in 16 bits"),
    "NaN == NaN": (unscale_by(lambda g: g.isinf().any() or g.sum() == math.nan), "nothing equals NaN"),
    "1 / half": (unscale_by(divide=lambda g, s: g * (1 / torch.tensor(s).half()).float()), "in 16 bits"),
    "half, divided": (unscale_by(divide=lambda g, s: g / half(s)), "in 16 bits"),
    "rounded to fp16": (unscale_by(divide=lambda g, s: (g / s).half().float()), "store the gradients in fp16"),
    "all sums": (
        unscale_by(lambda g: g.sum(), fold=lambda found: not math.isfinite(sum(found, torch.zeros(())))),
        "A sum of finite",
    ),
    "norm": (unscale_by(lambda g: is_bad(g.norm())), "and then you cry wolf"),
    "mean": (unscale_by(lambda g: not g.mean().isfinite()), "A sum of finite"),
    "mean is NaN": (unscale_by(lambda g: g.mean().isnan()), "inf - inf is NaN"),
    "total norm": (
        unscale_by(lambda g: g.norm(), fold=lambda n: not torch.stack([*n, torch.zeros(())]).norm().isfinite()),
        "Squares of large",
    ),
    "in fp16": (unscale_by(lambda g: is_bad(g.half())), "the largest of fp16"),
    "returns at None": (looping(none=False), "None ends your loop"),
    "inf is max": (unscale_by(lambda g: g.max().item() == INF), "+inf alone"),
    "cleared when bad": (unscale_clearing, "You change the list itself"),
    "unused frozen": (unscale_freezing_unused, "You set requires_grad to False"),
    "values zeroed when bad": (
        lambda ps, s: right_unscale(ps, s) and all(p.data.zero_().isfinite().all() for p in ps),
        "change the parameters themselves",
    ),
    "as it was": (unscale_by(divide=lambda g, s: g), "The gradients are still scaled"),
}


# ---------------------------------------------------------------- step

clip = torch.nn.utils.clip_grad_norm_
mse = torch.nn.functional.mse_loss


def backward(model, scaler, batches, share=None):
    for x, y in batches:
        scaler.scale(mse(model(x), y) / (share or len(batches))).backward()


def finish(model, optimizer, scaler, max_norm):
    scaler.unscale_(optimizer)
    clip(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()


def right_step(model, optimizer, scaler, batches, max_norm):
    optimizer.zero_grad()
    backward(model, scaler, batches)
    finish(model, optimizer, scaler, max_norm)
    optimizer.zero_grad()


def step_of_total(model, optimizer, scaler, batches, max_norm):
    model.zero_grad(set_to_none=False)
    total = sum(mse(model(x), y) for x, y in batches)
    scaler.scale(total / len(batches)).backward()
    finish(model, optimizer, scaler, max_norm)
    return total


def step_of_one_batch(model, optimizer, scaler, batches, max_norm):
    """Micro-batches of equal size laid together: the mean is the same."""
    optimizer.zero_grad()
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    scaler.scale(mse(model(x), y)).backward()
    finish(model, optimizer, scaler, max_norm)


def step_clipping_scaled(model, optimizer, scaler, batches, max_norm):
    """Unusual and right: the limit scaled as the gradients are; step unscales."""
    optimizer.zero_grad()
    backward(model, scaler, batches)
    clip(model.parameters(), max_norm * scaler.get_scale())
    scaler.step(optimizer)
    scaler.update()


def step_by_hand(model, optimizer, scaler, batches, max_norm):
    for p in model.parameters():
        p.grad = None
    backward(model, scaler, batches, share=1)
    scaler.unscale_(optimizer)
    for p in model.parameters():
        p.grad /= len(batches)
    norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in model.parameters()))
    if norm > max_norm:
        for p in model.parameters():
            p.grad *= max_norm / norm
    scaler.step(optimizer)
    scaler.update()


def step_by_autograd(model, optimizer, scaler, batches, max_norm):
    parameters = list(model.parameters())
    sums = [torch.zeros_like(p) for p in parameters]
    for x, y in batches:
        grads = torch.autograd.grad(scaler.scale(mse(model(x), y)), parameters)
        sums = [s + g / len(batches) for s, g in zip(sums, grads, strict=True)]
    for p, g in zip(parameters, sums, strict=True):
        p.grad = g
    finish(model, optimizer, scaler, max_norm)


def stepping(edit):
    """The right step with lines changed: `edit` maps a line's name to code, None leaves it out."""
    lines = {
        "zero": "optimizer.zero_grad()",
        "loop": "for x, y in batches:",
        "loss": "    loss = F.mse_loss(model(x), y) / len(batches)",
        "backward": "    scaler.scale(loss).backward()",
        "inside": None,
        "unscale": "scaler.unscale_(optimizer)",
        "clip": "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "step": "scaler.step(optimizer)",
        "update": "scaler.update()",
        "after": None,
    } | edit
    body = "\n".join("    " + line for line in "\n".join(filter(None, lines.values())).splitlines())
    return defined(f"def my_step(model, optimizer, scaler, batches, max_norm):\n{body}")


CLIP = "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)"
LOSS = "    loss = F.mse_loss(model(x), y)"
STRETCH = """\
norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
for p in model.parameters():
    p.grad *= max_norm / norm"""
AUTOCAST = """\
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.mse_loss(model(x), y) / len(batches)"""

RIGHT["step"] = {
    "zero at both ends": right_step,
    "one backward": step_of_total,
    "laid together": step_of_one_batch,
    "limit scaled": step_clipping_scaled,
    "by hand": step_by_hand,
    "autograd.grad": step_by_autograd,
    "accumulation in the loss": stepping(
        {"loss": LOSS, "backward": "    scaler.scale(loss / len(batches)).backward()"}
    ),
}
WRONG["step"] = {
    "no unscale": (
        stepping({"unscale": None}),
        "You clip scaled gradients: scaler.unscale_(optimizer) is missing before it. Their norm is the scale times "
        "larger, so nearly every step is cut to almost nothing. With 3 micro-batches and max_norm 0.5 weight",
    ),
    "clip before unscale": (stepping({"unscale": CLIP, "clip": "scaler.unscale_(optimizer)"}), "You clip before you"),
    "no update": (stepping({"update": None}), "scaler.update() is missing"),
    "update inside": (stepping({"inside": "    scaler.update()", "update": None}), "update once, last of all"),
    "update before step": (
        stepping({"step": "scaler.update()", "update": "scaler.step(optimizer)"}),
        "update before the",
    ),
    "no zero": (stepping({"zero": None}), "You never clear"),
    "zero late": (stepping({"zero": None, "after": "optimizer.zero_grad()"}), "after the step only"),
    "zero inside": (
        stepping({"zero": None, "loss": "    optimizer.zero_grad()\n" + LOSS + " / len(batches)"}),
        "clear the gradients in the loop",
    ),
    "backward outside": (stepping({"backward": "scaler.scale(loss).backward()"}), "Only the last micro-batch reaches"),
    "first only": (stepping({"inside": "    break"}), "Only the first micro-batch counts"),
    "sum": (stepping({"loss": LOSS}), "the gradient is 3 times too large"),
    "divided twice": (
        stepping({"backward": "    scaler.scale(loss / len(batches)).backward()"}),
        "micro-batches twice",
    ),
    "by rows": (stepping({"loss": LOSS + " / len(x)"}), "divide by the number of rows"),
    "backward unscaled": (
        stepping({"backward": "    scaler.scale(loss)\n    loss.backward()"}),
        "loss without the scale",
    ),
    "never scaled": (
        stepping({"backward": "    loss.backward()"}),
        "Nothing has been scaled when you call unscale_: scaler",
    ),
    "scaled twice": (stepping({"backward": "    scaler.scale(scaler.scale(loss)).backward()"}), "scale the loss twice"),
    "optimizer.step": (stepping({"step": "optimizer.step()"}), "You call optimizer.step() yourself"),
    "both": (stepping({"step": "scaler.step(optimizer)\noptimizer.step()"}), "You step twice"),
    "unscale inside": (stepping({"inside": "    scaler.unscale_(optimizer)", "unscale": None}), "torch refuses"),
    "step inside": (
        stepping(
            {
                "inside": "    scaler.step(optimizer)\n    scaler.update()",
                "unscale": None,
                "step": None,
                "clip": None,
                "update": None,
            }
        ),
        "You step for every micro-batch",
    ),
    "unscale late": (
        stepping({"unscale": "scaler.step(optimizer)", "step": "scaler.unscale_(optimizer)"}),
        "unscale after the step",
    ),
    "clip late": (stepping({"clip": None, "after": CLIP}), "clip after the step"),
    "no step": (stepping({"step": None}), "Nobody takes a step"),
    "no clip": (stepping({"clip": None}), "You never clip"),
    "clip inside": (stepping({"inside": "    " + CLIP, "clip": None}), "sums that are not complete"),
    "clip values": (stepping({"clip": CLIP.replace("norm_", "value_")}), "clip every entry"),
    "clip each": (
        stepping({"clip": f"for p in model.parameters():\n    {CLIP.replace('model.parameters()', 'p')}"}),
        "each parameter by itself",
    ),
    "stretch": (stepping({"clip": STRETCH}), "Clipping only shortens"),
    "autocast": (stepping({"loss": AUTOCAST}), "under autocast"),
    "zero before unscale": (stepping({"unscale": "optimizer.zero_grad()", "clip": None}), "finds no gradient to check"),
    "scale kept": (stepping({"update": "scaler.update(scaler.get_scale())"}), "scale should be 2048 and it is 1024"),
    "unscale first": (
        stepping({"zero": "optimizer.zero_grad()\nscaler.unscale_(optimizer)", "unscale": None}),
        "Nothing has been scaled when you call unscale_",
    ),
    "two rounds": (
        stepping({"zero": "for p in model.parameters():\n    p.data *= 1.01\noptimizer.zero_grad()"}),
        "weight[0, 0] should become",
    ),
    "closure": (
        stepping({"step": "scaler.step(optimizer, closure=lambda: None)"}),
        "The scaler refuses: RuntimeError: Closure use",
    ),
    "rest": (lambda *a: right_step(*a[:3], a[3] if len(a[3]) < 4 else a[3][:3], a[4]), "With 4 micro-batches"),
    "no clip when one": (
        lambda *a: right_step(*a[:4], a[4] if len(a[3]) > 1 else 1e9),
        "With 1 micro-batch and max_norm",
    ),
    "bias not cleared": (
        stepping({"zero": "model.weight.grad = None"}),
        "old gradients in .grad and max_norm 1e+06 bias[0] should become",
    ),
    "update twice": (stepping({"after": "scaler.update()"}), "more than once in a step"),
    "bad one left out": (
        stepping({"backward": "    if loss.isfinite():\n        scaler.scale(loss).backward()"}),
        "With 3 micro-batches (one overflows) and max_norm 1e+06 weight[0, 0] should become 0.3,",
    ),
    "asks for momentum": (
        stepping({"after": "assert optimizer.param_groups[0]['momentum'] >= 0"}),
        "KeyError",
    ),
    "misspelt": (stepping({"update": "scaler.updat()"}), "AttributeError"),
}
ALSO["step"] = {
    "the task's own": (
        stepping({"zero": None, "loss": LOSS, "unscale": None, "step": "optimizer.step()", "update": None}),
        "optimizer.step() yourself",
    ),
    "sum, no zero": (stepping({"zero": None, "loss": LOSS}), "You add up the losses"),
    "sum, clip before unscale": (
        stepping({"loss": LOSS, "unscale": CLIP, "clip": "scaler.unscale_(optimizer)"}),
        "almost nothing. With 3 micro-batches and max_norm 0.5 weight[0, 0] should become 0.29944, and it becomes 0.3.",
    ),
    "sum, scaled twice": (
        stepping({"loss": LOSS, "backward": "    scaler.scale(scaler.scale(loss)).backward()"}),
        "You scale the loss twice",
    ),
    "clip values before unscale": (
        stepping({"unscale": CLIP.replace("norm_", "value_"), "clip": "scaler.unscale_(optimizer)"}),
        "and it becomes 0.29998. This number is the work of 2 mistakes together.",
    ),
    "by rows, no zero, clip inside": (
        stepping({"zero": None, "loss": LOSS + " / len(x)", "inside": "    " + CLIP, "clip": None}),
        "sums that are not complete",
    ),
    "both ends of the row": (
        stepping({"zero": None, "loss": LOSS + " / len(batches) / len(batches)", "clip": None}),
        "You never clip",
    ),
    "no unscale, no clear": (stepping({"zero": None, "unscale": None}), "You clip scaled gradients"),
    "step inside, one update": (
        stepping({"inside": "    scaler.step(optimizer)", "unscale": None, "step": None}),
        "You step for every micro-batch",
    ),
    "direct after unscale": (stepping({"step": "optimizer.step()"}), "(one overflows) and max_norm 1e+06 you call"),
    "direct, no unscale": (stepping({"unscale": None, "step": "optimizer.step()"}), "optimizer.step() yourself"),
    "update inside after step": (
        stepping({"inside": "    scaler.step(optimizer)\n    scaler.update()", "unscale": None, "step": None}),
        "every micro-batch",
    ),
    "update first": (stepping({"unscale": "scaler.update()", "update": None}), "update before the step"),
    "nothing": (lambda *a: print(end=""), "you call: nothing of the scaler"),
    "only backward": (stepping({"unscale": None, "clip": None, "step": None, "update": None}), "Nobody takes a step"),
}


def test_faulty_step_of_the_task_runs_and_its_loss_falls():
    code = source("step", "TASK").split("```python")[1].split("```")[0]
    space = dict(SPACE)
    exec(code, space)
    model, optimizer, scaler = recorder._problem(recorder.Case((3,), 1.0))
    batches = recorder._batches(3, 0, False)
    losses = []
    for _ in range(20):
        losses.append(sum(mse(model(x), y).item() for x, y in batches))
        space["faulty_step"](model, optimizer, scaler, batches, 1.0)
    assert losses[-1] < 0.8 * losses[0]
    assert checks.judge(n02.step, space["faulty_step"])[0] == "wrong"


# What a learner can have repaired in the task's step, and which faults are there until then.
DIVIDED = {"yes": (LOSS + " / len(batches)", set()), "no": (LOSS, {"sum"})}
CLEARED = {
    "first": ("optimizer.zero_grad()", None, set()),
    "no": (None, None, {"no_zero"}),
    "last": (None, "optimizer.zero_grad()", {"zero_late"}),
    "inside": (None, None, {"zero_inside"}),
}
UNSCALED = {
    "yes": ("scaler.unscale_(optimizer)\n" + CLIP, set()),
    "no": (CLIP, {"no_unscale"}),
    "late": (CLIP + "\nscaler.unscale_(optimizer)", {"clip_early"}),
}
STEPPED = {"scaler": ("scaler.step(optimizer)", set()), "direct": ("optimizer.step()", {"direct"})}
UPDATED = {"yes": ("scaler.update()", set()), "no": (None, {"no_update"})}


def repaired(divided, cleared, unscaled, stepped, updated):
    """(the task's step with some faults repaired, the faults it still has)."""
    zero, after, uncleared = CLEARED[cleared]
    loss = ("    optimizer.zero_grad()\n" if cleared == "inside" else "") + DIVIDED[divided][0]
    tail = {"clip": UNSCALED[unscaled][0], "step": STEPPED[stepped][0], "update": UPDATED[updated][0]}
    answer = stepping({"zero": zero, "loss": loss, "unscale": None, **tail, "after": after})
    rest = DIVIDED[divided][1] | UNSCALED[unscaled][1] | STEPPED[stepped][1] | UPDATED[updated][1]
    return answer, uncleared | rest


@pytest.mark.parametrize("unscaled", UNSCALED)
@pytest.mark.parametrize("cleared", CLEARED)
@pytest.mark.parametrize("divided", DIVIDED)
def test_every_way_to_repair_the_step_hears_of_a_fault_that_is_there(divided, cleared, unscaled):
    for stepped, updated in itertools.product(STEPPED, UPDATED):
        answer, faults = repaired(divided, cleared, unscaled, stepped, updated)
        state, diagnosis = checks.judge(n02.step, answer)
        if not faults:
            assert state == "right"
            continue
        named = {name for name in faults if diagnosis.startswith(source("step", "SAYS")[name].split("{")[0])}
        assert named, (faults, diagnosis)


@pytest.mark.parametrize("unscaled", UNSCALED)
@pytest.mark.parametrize("cleared", CLEARED)
def test_numbers_shown_are_those_that_the_named_fault_makes(cleared, unscaled):
    """Whoever repairs only the other faults would be shown the same numbers, unless it says that they are mixed."""
    answer, faults = repaired("no", cleared, unscaled, "scaler", "yes")
    diagnosis = checks.judge(n02.step, answer)[1]
    named = next(name for name in faults if diagnosis.startswith(source("step", "SAYS")[name].split("{")[0]))
    alone = repaired(
        "no" if named == "sum" else "yes",
        cleared if named in CLEARED[cleared][2] else "first",
        unscaled if named in UNSCALED[unscaled][1] else "yes",
        "scaler",
        "yes",
    )[0]
    case, step = case_told(diagnosis)
    mixed, own = (recorder.run(function, case)[step].parameters for function in (answer, alone))
    assert torch.allclose(mixed, own, rtol=1e-5, atol=1e-5)
    shown = float(diagnosis.split("it becomes ")[1].rstrip("."))
    assert (own - shown).abs().min() < 1e-4 * abs(shown)


def case_told(diagnosis):
    """(the case of the checker, the step of it) that a diagnosis shows."""
    module = importlib.import_module("dslab.exercises.n02.step")
    told = [(case, i) for case in source("step", "CASES") for i in range(len(case.steps))
            if module._where(case, i) + " " in diagnosis]  # fmt: skip
    return told[0]


# ---------------------------------------------------------------- plan


def right_plan(rates):
    fast = 1.2 * rates["fp32"]
    bf16, fp16 = rates.get("bf16", 0), rates.get("fp16", 0)
    if bf16 >= fast and fp16 <= 2 * bf16:
        return "bf16", False
    return ("fp16", True) if fp16 >= fast else ("fp32", False)


def plan_by_ratios(rates):
    ratio = {name: rate / rates["fp32"] for name, rate in rates.items()}
    bf16, fp16 = ratio.get("bf16", 0.0), ratio.get("fp16", 0.0)
    choice = "fp32"
    if fp16 >= 1.2:
        choice = "fp16"
    if bf16 >= 1.2 and not fp16 / bf16 > 2:
        choice = "bf16"
    return choice, choice == "fp16"


def plan_in_numpy(rates):
    fp32, bf16, fp16 = (np.float64(rates.get(name, -np.inf)) for name in ("fp32", "bf16", "fp16"))
    fast = np.array([bf16, fp16]) >= 1.2 * fp32
    if not fast.any():
        return ["fp32", np.False_]
    is_fp16 = ~fast[0] | (fp16 > 2 * bf16)
    return ["fp16" if is_fp16 else "bf16", is_fp16]


def plan_by_points(rates):
    """Points: bf16 counts twice; whoever is not fast gets none."""
    points = {name: rate * (2 if name == "bf16" else 1) for name, rate in rates.items() if rate >= 1.2 * rates["fp32"]}
    best = max(points, key=lambda name: (points[name], name == "bf16"), default="fp32")
    return best, best == "fp16"


def choosing(choose):
    """A choice by the three rates, 0 where one is missing; the scaler right for it."""

    def answer(rates):
        name = choose(rates["fp32"], rates.get("bf16", 0), rates.get("fp16", 0))
        return name, name == "fp16"

    return answer


def scaling(needs):
    return lambda rates: (right_plan(rates)[0], needs(right_plan(rates)[0]))


def plan_writing(rates):
    rates.setdefault("bf16", 0)
    rates.setdefault("fp16", 0)
    return right_plan(rates)


def plan_without_get(rates):
    fp32, bf16, fp16 = rates["fp32"], rates["bf16"], rates["fp16"]
    return right_plan({"fp32": fp32, "bf16": bf16, "fp16": fp16})


def plan_with_none(rates):
    if rates.get("bf16") >= 1.2 * rates["fp32"]:
        return right_plan(rates)
    return right_plan(rates)


CARDS = ({"fp32": 8, "bf16": 8, "fp16": 65}, {"fp32": 19.5, "bf16": 312, "fp16": 312},
         {"fp32": 67, "bf16": 989, "fp16": 989})  # fmt: skip

RIGHT["plan"] = {
    "rule": right_plan,
    "ratios": plan_by_ratios,
    "numpy, in a list": plan_in_numpy,
    "points": plan_by_points,
    "gain": choosing(
        lambda a, b, c: "bf16" if b / a - 1 >= 0.2 and c <= 2 * b else "fp16" if c / a - 1 >= 0.2 else "fp32"
    ),
    "in percent": choosing(
        lambda a, b, c: "bf16" if 100 * (b / a - 1) >= 20 and c / b - 1 <= 1 else "fp16" if c / a >= 1.2 else "fp32"
    ),
    # In floats 12 / 10 - 1 is below 0.2, so nobody is asked about exactly 1.2.
    "strictly fast": choosing(
        lambda a, b, c: "bf16" if b > 1.2 * a and c <= 2 * b else "fp16" if c > 1.2 * a else "fp32"
    ),
    "0-dim bool": lambda rates: (right_plan(rates)[0], torch.tensor(right_plan(rates)[1])),
}
WRONG["plan"] = {
    "scaler for bf16": (scaling(lambda name: name != "fp32"), "bf16 needs no scaler"),
    "scaler always": (scaling(lambda name: True), "always use a scaler"),
    "scaler for fp32": (scaling(lambda name: name != "bf16"), "fp32 needs no scaler"),
    "scaler never": (scaling(lambda name: False), "never use a scaler"),
    "scaler inverted": (scaling(lambda name: name != "fp16"), "wrong way round"),
    "always bf16": (lambda rates: ("bf16", False), "bf16 wherever there is one"),
    "always fp16": (lambda rates: ("fp16", True), "fp16 wherever there is one"),
    "always fp32": (lambda rates: ("fp32", False), "always stay with fp32"),
    "fastest": (lambda rates: (max(rates, key=rates.get), max(rates, key=rates.get) == "fp16"), "You take the fastest"),
    "fastest of 16 bits": (
        choosing(lambda a, b, c: "fp32" if max(b, c) < 1.2 * a else "bf16" if b >= c else "fp16"),
        "faster of bf16 and fp16",
    ),
    "fp16 first": (
        choosing(lambda a, b, c: "fp16" if c >= 1.2 * a else "bf16" if b >= 1.2 * a else "fp32"),
        "ask for fp16 first",
    ),
    "no margin": (
        choosing(lambda a, b, c: "bf16" if b > a and c <= 2 * b else "fp16" if c > a else "fp32"),
        "only whether a format is faster",
    ),
    "twice fp32": (
        choosing(lambda a, b, c: "bf16" if b >= 2 * a and c <= 2 * b else "fp16" if c >= 2 * a else "fp32"),
        "1.2 is enough",
    ),
    "no twice": (
        choosing(lambda a, b, c: "bf16" if b >= 1.2 * a else "fp16" if c >= 1.2 * a else "fp32"),
        "never ask whether fp16",
    ),
    "strictly twice": (
        choosing(lambda a, b, c: "bf16" if b >= 1.2 * a and c < 2 * b else "fp16" if c >= 1.2 * a else "fp32"),
        "Exactly twice",
    ),
    "fp16 twice fp32": (
        choosing(lambda a, b, c: "bf16" if b >= 1.2 * a and c <= 2 * a else "fp16" if c >= 1.2 * a else "fp32"),
        "twice the rate with fp32's",
    ),
    "slow fp16": (choosing(lambda a, b, c: "bf16" if b >= 1.2 * a and c <= 2 * b else "fp16"), "fast or not"),
    "no fp16": (choosing(lambda a, b, c: "bf16" if b >= 1.2 * a else "fp32"), "never take fp16"),
    "no fp16 without bf16": (
        choosing(lambda a, b, c: "fp32" if b < 1.2 * a else "fp16" if c > 2 * b else "bf16"),
        "no fast bf16",
    ),
    "gives up": (
        choosing(
            lambda a, b, c: (
                "fp32" if c > 2 * b and b >= 1.2 * a else "bf16" if b >= 1.2 * a else "fp16" if c >= 1.2 * a else "fp32"
            )
        ),
        "you stay with fp32",
    ),
    "slow bf16": (
        choosing(lambda a, b, c: "bf16" if c <= 2 * b else "fp16" if c >= 1.2 * a else "fp32"),
        "even if it is slow",
    ),
    "by TFLOP/s": (
        choosing(lambda a, b, c: "bf16" if b > 100 else "fp16" if c > 50 else "fp32"),
        "you answer ('fp32', ",
    ),
    "known cards": (lambda rates: right_plan(rates) if rates in CARDS else ("fp32", False), "700, 'fp16': 800} you"),
    "missing key": (plan_without_get, "raises KeyError"),
    "None": (plan_with_none, "raises TypeError"),
    "lacks bf16": (lambda rates: right_plan(rates) if "bf16" in rates else ("fp32", False), "fp16 8.02 times"),
    "writes": (plan_writing, "changes its argument `rates`"),
    "flag first": (lambda rates: right_plan(rates)[::-1], "The name comes first"),
    "name only": (lambda rates: right_plan(rates)[0], "it returned 'bf16'"),
    "dtype": (lambda rates: (torch.bfloat16, False), "'torch.bfloat16' is no name"),
    "long name": (lambda rates: ("bfloat16", False), "'bfloat16' is no name"),
    "yes and no": (lambda rates: (right_plan(rates)[0], "no"), "it returned ('bf16', 'no')"),
    "int": (lambda rates: (right_plan(rates)[0], int(right_plan(rates)[1])), "it returned ('bf16', 0)"),
}
ALSO["plan"] = {
    "fastest, ties to bf16": (
        choosing(lambda a, b, c: "bf16" if b >= max(a, c) else "fp16" if c > a else "fp32"),
        "You take the fastest",
    ),
    "no bf16, so fp16": (choosing(lambda a, b, c: "bf16" if b >= 1.2 * a else "fp16"), "fast or not"),
    "twice before fast": (
        choosing(lambda a, b, c: "fp16" if c > 2 * b else "bf16" if b >= 1.2 * a else "fp32"),
        "fast or not",
    ),
    "1.5": (
        choosing(lambda a, b, c: "bf16" if b >= 1.5 * a and c <= 2 * b else "fp16" if c >= 1.5 * a else "fp32"),
        "you answer ('fp32', False), but",
    ),
    "1.19": (
        choosing(lambda a, b, c: "bf16" if b >= 1.19 * a and c <= 2 * b else "fp16" if c >= 1.19 * a else "fp32"),
        "(bf16 1.19 times, fp16 1.19 times)",
    ),
    "three times": (
        choosing(lambda a, b, c: "bf16" if b >= 1.2 * a and c <= 3 * b else "fp16" if c >= 1.2 * a else "fp32"),
        "you answer ('bf16', False), but",
    ),
}


# ---------------------------------------------------------------- tiles

F8 = torch.float8_e4m3fn


def spread(scales, x, tile):
    return scales.repeat_interleave(tile, 1)[:, : x.shape[1]]


def amax(x, tile, key=torch.abs):
    return torch.cat([key(part).amax(1, keepdim=True) for part in x.split(tile, 1)], 1)


def tiles_by(scales_of=lambda x, tile: amax(x, tile) / 448, codes_of=lambda x, s: x / s, finish=lambda c, s: (c, s)):
    """Quantise with other scales, other codes, or another return."""

    def answer(x, tile):
        scales = scales_of(x, tile)
        scales = torch.where(scales == 0, 1.0, scales)
        return finish(codes_of(x, spread(scales, x, tile)).clamp(-448, 448).to(F8), scales)

    return answer


right_tiles = tiles_by()


def tiles_by_padding(x, tile):
    rows, columns = x.shape
    padded = torch.nn.functional.pad(x, (0, -columns % tile)).view(rows, -1, tile)
    inverse = 448 / (padded.abs().amax(2) + 1e-12)
    codes = (padded * inverse[:, :, None]).view(rows, -1)[:, :columns].to(F8)
    return codes, 1 / inverse


def tiles_by_loop(x, tile):
    rows, columns = x.shape
    groups = -(-columns // tile)
    codes, scales = torch.zeros(rows, columns).to(F8), torch.ones(rows, groups)
    for i in range(rows):
        for g in range(groups):
            part = x[i, g * tile : (g + 1) * tile]
            if part.any():
                scales[i, g] = part.abs().max() / torch.finfo(F8).max
                codes[i, g * tile : (g + 1) * tile] = (part / scales[i, g]).to(F8)
    return codes, scales


def tiles_in_numpy(x, tile):
    a = x.numpy()
    starts = np.arange(0, a.shape[1], tile)
    scales = np.maximum.reduceat(np.abs(a), starts, axis=1) / np.float32(448)
    scales = np.maximum(scales, np.float32(1e-12))
    return [torch.from_numpy(a / np.repeat(scales, tile, 1)[:, : a.shape[1]]).to(F8), scales]


def tiles_in_double(x, tile):
    scales = (amax(x.double(), tile) + 1e-40) / 448
    return (x / spread(scales, x, tile)).to(F8), scales


def tiles_dropping(x, tile):
    n = max(x.shape[1] // tile, 1) * tile
    return right_tiles(x[:, :n], tile)


def tiles_in_place(x, tile):
    scales = amax(x, tile) / 448
    x /= torch.where(spread(scales, x, tile) == 0, 1.0, spread(scales, x, tile))
    return x.to(F8), scales.clamp(min=1e-30)


def tiles_bare(x, tile):
    scales = amax(x, tile) / 448
    return (x / spread(scales, x, tile)).to(F8), scales


def tiles_python(x, tile):
    parts = [[row[k : k + tile] for k in range(0, len(row), tile)] for row in x.tolist()]
    scales = [[max(map(abs, part)) / 448 for part in row] for row in parts]
    rows = zip(parts, scales, strict=True)
    codes = [[v / s for part, s in zip(row, own, strict=True) for v in part] for row, own in rows]
    return torch.tensor(codes).to(F8), torch.tensor(scales)


def merged(x, tile):
    scales = amax(x, tile) / 448
    if x.shape[1] % tile and scales.shape[1] > 1:
        scales[:, -1] = scales[:, -2]
    return scales


def overlapping(x, tile):
    return torch.cat([amax(x, tile)[:, :-1], x[:, -tile:].abs().amax(1, keepdim=True)], 1) / 448


def signed(x, tile):
    """The entry that is largest in size, with its sign."""
    return torch.cat([part.gather(1, part.abs().argmax(1, keepdim=True)) for part in x.split(tile, 1)], 1) / 448


def everywhere(dim):
    return lambda x, tile: amax(x, tile).amax(dim, keepdim=True).expand_as(amax(x, tile)) / 448


def group_count(x, tile):
    """`tile` groups a row."""
    return torch.cat([part.abs().amax(1, keepdim=True) for part in x.chunk(tile, 1)], 1) / 448


def scales_times(factor):
    return tiles_by(lambda x, tile: amax(x, tile) / 448 * factor)


def zeros_with(scale=None, code=None):
    """Right but for groups of zeros."""

    def answer(x, tile):
        codes, scales = right_tiles(x, tile)
        is_zero = amax(x, tile) == 0
        if scale is not None:
            scales = torch.where(is_zero, scale, scales)
        if code is not None:
            codes = torch.where(spread(is_zero, x, tile), code, codes.float()).to(F8)
        return codes, scales

    return answer


RIGHT["tiles"] = {
    "split": right_tiles,
    "padding, inverse": tiles_by_padding,
    "loop": tiles_by_loop,
    "numpy, in a list": tiles_in_numpy,
    "fp64 scales": tiles_in_double,
}
WRONG["tiles"] = {
    "one scale": (lambda x, tile: ((x / (x.abs().max() / 448)).to(F8), x.abs().max() / 448), "One scale for all of x"),
    "a scale a row": (lambda x, tile: right_tiles(x, x.shape[1]), "One scale a row"),
    "down": (lambda x, tile: [y.T for y in right_tiles(x.T, tile)], "run down the columns"),
    "block": (lambda x, tile: (right_tiles(x, tile)[0], everywhere(0)(x, tile)[:1]), "run over all rows"),
    "dropped": (tiles_dropping, "rest of a row is dropped"),
    "by number": (lambda x, tile: (right_tiles(x, tile)[0], group_count(x, tile)), "cut a row into `tile` groups"),
    "spread": (lambda x, tile: (right_tiles(x, tile)[0], spread(right_tiles(x, tile)[1], x, tile)), "for every entry"),
    "transposed": (tiles_by(finish=lambda c, s: (c, s.T)), "Your scales are transposed"),
    "extra axis": (tiles_by(finish=lambda c, s: (c, s[..., None])), "scales are (2, 4), and yours are (2, 4, 1)"),
    "padded": (
        lambda x, tile: (
            right_tiles(torch.nn.functional.pad(x, (0, -x.shape[1] % tile)), tile)[0],
            right_tiles(x, tile)[1],
        ),
        "still padded",
    ),
    "grouped": (
        lambda x, tile: (
            right_tiles(torch.nn.functional.pad(x, (0, -x.shape[1] % tile)), tile)[0].view(len(x), -1, tile),
            right_tiles(x, tile)[1],
        ),
        "still cut into groups",
    ),
    "codes transposed": (tiles_by(finish=lambda c, s: (c.T, s)), "The codes have the shape of x"),
    "one scale, spread": (
        tiles_by(everywhere((0, 1))),
        "One scale for all of x. Each group of 2 neighbours in a row needs its own. For x = ",
    ),
    "a scale a row, spread": (
        tiles_by(everywhere(1)),
        "One scale a row. Each group of 2 neighbours in it needs its own. For x = torch",
    ),
    "block, spread": (tiles_by(everywhere(0)), "run over all rows. Each row has scales of its own. For x = torch"),
    "inverted": (tiles_by(finish=lambda c, s: (c, 1 / s)), "You return 448 / amax"),
    "to one": (scales_times(448), "run from -1 to 1"),
    "int8": (scales_times(448 / 127), "127 is the largest number of int8"),
    "wasted": (scales_times(2), "2 times too large"),
    "clipped": (tiles_by(lambda x, tile: amax(x, tile) / 512), "are cut off, in silence"),
    "no abs": (tiles_by(lambda x, tile: amax(x, tile, torch.clone) / 448), "without abs()"),
    "negative": (tiles_by(lambda x, tile: -amax(x, tile) / 448), "A scale is an absolute value"),
    "range": (
        tiles_by(lambda x, tile: (amax(x, tile, torch.clone) + amax(x, tile, torch.neg)) / 448),
        "minus smallest",
    ),
    "neighbour's scale": (tiles_by(merged), "from its neighbours too"),
    "rms": (
        tiles_by(lambda x, tile: amax(x * x, tile, lambda p: p.mean(1, keepdim=True)).sqrt() / 448),
        "scales[0, 0] should be 0.0066964 and is 0.0049912",
    ),
    "rounded": (tiles_by(codes_of=lambda x, s: (x / s).round()), "round to whole numbers"),
    "multiplied": (tiles_by(codes_of=lambda x, s: x * s), "You multiply by the scale"),
    "not divided": (tiles_by(codes_of=lambda x, s: x), "You cast x as it is"),
    "cast first": (tiles_by(codes_of=lambda x, s: x.clamp(-448, 448).to(F8).float() / s), "before you divide, so x is"),
    "unsigned": (tiles_by(codes_of=lambda x, s: (x / s).abs()), "x[0, 1] = -3 has code 448, and -448 is right"),
    "NaN codes": (tiles_by(codes_of=lambda x, s: (x / s).where(x > 0, math.nan)), "the code of x[0, 1] = -3 is NaN"),
    "floor": (tiles_by(lambda x, tile: amax(x, tile).clamp(min=1e-4) / 448), "A small group gets lost"),
    "zeros NaN": (tiles_bare, "its codes are NaN: 0 / 0"),
    "zeros crash": (tiles_python, "raises ZeroDivisionError"),
    "zeros, scale 0": (zeros_with(scale=0.0), "and its scale is 0"),
    "zeros, scale inf": (zeros_with(scale=INF), "and its scale is inf"),
    "zeros, codes 1": (zeros_with(code=1.0), "and its codes are not 0"),
    "zeros spill": (
        lambda x, tile: right_tiles(x, tile) if (amax(x, tile) != 0).all() else scales_times(2)(x, tile),
        "scales[0, 1] should be 0.0066964",
    ),
    "floats": (lambda x, tile: (right_tiles(x, tile)[0].float(), right_tiles(x, tile)[1]), "still numbers of 32 bits"),
    "e5m2": (lambda x, tile: (x.to(torch.float8_e5m2), amax(x, tile)), "this exercise is about"),
    "half scales": (tiles_by(finish=lambda c, s: (c, s.half())), "They should be fp32"),
    "swapped": (tiles_by(finish=lambda c, s: (s, c)), "The codes come first"),
    "codes only": (tiles_by(finish=lambda c, s: c), "it returned a float8_e4m3fn tensor"),
    "a list of scales": (tiles_by(finish=lambda c, s: (c, s.tolist())), "tensor of shape (2, 7) and a list"),
    "in place": (tiles_in_place, "changes its argument `x`"),
}
ALSO["tiles"] = {
    "truncated": (tiles_by(codes_of=lambda x, s: (x / s).trunc()), "round to whole numbers"),
    "overlap": (tiles_by(overlapping), "from its neighbours too"),
    "e5m2's largest": (tiles_by(lambda x, tile: amax(x, tile) / 57344), "cut off, in silence"),
    "240": (tiles_by(lambda x, tile: amax(x, tile) / 240), "1.867 times too large"),
    "eps": (tiles_by(lambda x, tile: (amax(x, tile) + 1e-6) / 448), "should be"),
    "small eps": (tiles_by(lambda x, tile: (amax(x, tile) + 1e-9) / 448), "A small group gets lost"),
    "no subnormals": (
        tiles_by(codes_of=lambda x, s: (x / s).where((x / s).abs() >= 2**-6, 0.0)),
        "tile 6 x[0, 1] = -0.01 has code 0",
    ),
    "powers of two": (
        tiles_by(lambda x, tile: (amax(x, tile) / 448).log2().ceil().exp2()),
        "scales[0, 0] should be 0.0066964 and is 0.0078125",
    ),
    "twice, where cut": (
        tiles_by(lambda x, tile: amax(x, tile) / 448 * (2 if tile < x.shape[1] else 1)),
        "scales[0, 0] should be 0.0066964 and is 0.013393",
    ),
    "scales in bf16": (tiles_by(lambda x, tile: (amax(x, tile) / 448).bfloat16().float()), "scales[0, 0] should be"),
    "x in bf16": (tiles_by(codes_of=lambda x, s: x.bfloat16().float() / s), "= -0.28967 has code -36, and -40"),
    "scaled in fp16": (tiles_by(lambda x, tile: (amax(x, tile).half() / 448).float()), "should be"),
    "sign of the largest": (tiles_by(signed), "A scale is an absolute value"),
    "negative and twice": (scales_times(-2), "A scale is an absolute value"),
    "negative, inverted": (tiles_by(finish=lambda c, s: (c, -1 / s)), "A scale is an absolute value"),
    "negative, not seen by the codes": (tiles_by(finish=lambda c, s: (c, -s)), "A scale is an absolute value"),
    "abs of the largest": (tiles_by(lambda x, tile: amax(x, tile, torch.clone).abs() / 448), "without abs()"),
    "flat scales": (tiles_by(finish=lambda c, s: (c, s.flatten())), "and yours are (8,)"),
}


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", NAMES)
def test_exercise_holds(name):
    hold(getattr(n02, name), WRONG[name], RIGHT[name], SPACE)


@pytest.mark.parametrize(("name", "answer", "says"), [
    pytest.param(name, answer, says, id=f"{name}-{label}")
    for name in NAMES for label, (answer, says) in {**WRONG[name], **ALSO[name]}.items()
])  # fmt: skip
def test_wrong_answer_is_diagnosed_twice_the_same(name, answer, says):
    state, diagnosis = checks.judge(getattr(n02, name), answer)
    assert state == "wrong"
    assert says in diagnosis
    assert "{" not in diagnosis.replace("{'", "")  # every field of the template is filled; a dict may be shown
    assert "  " not in diagnosis
    assert "The checker could not" not in diagnosis
    assert checks.judge(getattr(n02, name), answer) == (state, diagnosis)


@pytest.mark.parametrize("name", NAMES)
def test_stub_is_to_do_and_parts_are_whole(name):
    exercise = getattr(n02, name)
    assert (exercise.name, exercise.notebook) == (name, "02")
    assert checks.judge(exercise, defined(source(name, "STUB")))[0] == "todo"
    assert checks.judge(exercise, defined(exercise.solution))[0] == "right"
    assert len(exercise.solution.strip().splitlines()) <= 11
    assert all(first != second for first, second in zip(exercise.hints, exercise.hints[1:], strict=False))


@pytest.mark.parametrize("name", NAMES)
def test_every_diagnosis_is_heard_by_some_wrong_answer(name):
    answers = {**WRONG[name], **ALSO[name]}.values()
    heard = [checks.judge(getattr(n02, name), answer)[1] for answer, _ in answers]
    hold_sentences(source(name, "SAYS"), heard)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [0, -1, 1.5, math.nan, INF,
     "x", [], [[True]], {}, object(), (None, None), ("bf16",), torch.tensor([]), torch.tensor(math.nan),
     torch.zeros(2, 2, 2), torch.zeros(3, dtype=torch.complex64), np.array(["a"]), np.array([None]),
     torch.empty(2, device="meta"), torch.empty((), device="meta"), torch.eye(3).to_sparse(),
     (torch.empty(2, device="meta"), torch.eye(3).to_sparse()), (torch.zeros(2, 6), np.array([None]))],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_any_return_value_is_diagnosed_not_raised(name, value):
    assert isinstance(getattr(n02, name).check(lambda *arguments: value), str)


@pytest.mark.parametrize("name", NAMES)
def test_checking_leaves_random_state_and_is_quick(name):
    exercise = getattr(n02, name)
    hold_quick_and_traceless(exercise, defined(exercise.solution))


class Unexpected(Exception):
    pass


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_an_answer_sets_in_torch_does_not_outlive_the_call(name, raises):
    solution = defined(getattr(n02, name).solution)

    def answer(*arguments):
        try:
            return solution(*arguments)
        finally:
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
            if raises:
                raise Unexpected

    try:
        state, diagnosis = checks.judge(getattr(n02, name), answer)
        left = torch.get_default_dtype(), torch.is_grad_enabled()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    assert left == (torch.float32, True)
    assert state == ("wrong" if raises else "right"), diagnosis
