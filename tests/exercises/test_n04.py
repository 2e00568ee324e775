"""Notebook 04's checkers against plausible wrong answers: each rejected with its own diagnosis, right ones accepted."""

from __future__ import annotations

import functools
import importlib
import math
import random
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercise_harness import hold, hold_diagnosis, hold_parts, hold_quick_and_traceless, hold_sentences

from dslab.book import checks
from dslab.exercises import n04

NAMES = tuple(n04.__all__)
RIGHT: dict[str, dict] = {}
WRONG: dict[str, dict] = {}  # each with a diagnosis of its own
ALSO: dict[str, dict] = {}  # the same mistakes made another way


def source(name, constant):
    return getattr(importlib.import_module(f"dslab.exercises.n04.{name}"), constant)


def defined(name, code):
    space = {"torch": torch, "F": F, "math": math}
    exec(code, space)
    return space[f"my_{name}"]


# ---------------------------------------------------------------- forward


def forward_by(update=None, base=None, scale=lambda alpha, r: alpha / r):
    update = update or (lambda x, A, B: x @ A.T @ B.T)
    base = base or (lambda x, weight: x @ weight.detach().T)
    return lambda x, weight, A, B, alpha: base(x, weight) + scale(alpha, A.shape[0]) * update(x, A, B)


right_forward = forward_by()


def forward_merged(x, weight, A, B, alpha):
    return F.linear(x, weight.detach() + alpha / B.shape[1] * B @ A)


def forward_by_einsum(x, weight, A, B, alpha):
    y = torch.einsum("...i,oi->...o", x, weight.data)
    return y + torch.einsum("...i,ri,or->...o", x, A, B).mul(alpha / len(A))


def forward_in_place(x, weight, A, B, alpha):
    with torch.no_grad():
        weight += alpha / A.shape[0] * B @ A
    return x @ weight.T


def forward_scaling_A(x, weight, A, B, alpha):
    A *= alpha / len(A)
    return x @ weight.detach().T + x @ A.T @ B.T


def without_gradient(compute):
    def inner(*args):
        with torch.no_grad():
            return compute(*args)

    return inner


def turned(value):
    """The same numbers with another gradient."""
    value = value.clone()
    if value.requires_grad:
        value.register_hook(lambda gradient: 2 * gradient)
    return value


RIGHT["forward"] = {
    "two paths": right_forward,
    "F.linear": lambda x, w, A, B, a: F.linear(x, w.detach()) + F.linear(F.linear(x, A), B) * (a / A.size(0)),
    "merged": forward_merged,
    "einsum": forward_by_einsum,
}
WRONG["forward"] = {
    "no scale": (forward_by(scale=lambda alpha, r: 1), "The scale is missing"),
    "alpha alone": (forward_by(scale=lambda alpha, r: alpha), "do not divide by r"),
    "root": (forward_by(scale=lambda alpha, r: alpha / math.sqrt(r)), "That is rsLoRA"),
    "inverted": (forward_by(scale=lambda alpha, r: r / alpha), "upside down"),
    "squared": (forward_by(scale=lambda alpha, r: (alpha / r) ** 2), "You scale twice"),
    "r is in": (lambda x, w, A, B, a: x @ w.detach().T + a / A.shape[1] * x @ A.T @ B.T, "the wrong dimension"),
    "base only": (lambda x, w, A, B, a: x @ w.T, "the update is missing"),
    "update only": (lambda x, w, A, B, a: a / len(A) * x @ A.T @ B.T, "the update alone"),
    "all scaled": (lambda x, w, A, B, a: a / len(A) * (x @ w.T + x @ A.T @ B.T), "frozen layer's output too"),
    "base scaled": (lambda x, w, A, B, a: a / len(A) * x @ w.T + x @ A.T @ B.T, "instead of the update"),
    "exchanged": (forward_by(lambda x, A, B: x @ B.T @ A.T), "A and B are exchanged"),
    "untransposed": (forward_by(lambda x, A, B: x @ A @ B), "forgot to transpose A and B"),
    "product": (forward_by(lambda x, A, B: x @ (B @ A)), "the shape of `weight`"),
    "A transposed": (forward_by(lambda x, A, B: x @ A @ B.T), "do not transpose A, only B"),
    "B transposed": (forward_by(lambda x, A, B: x @ A.T @ B), "do not transpose B, only A"),
    "weight transposed": (forward_by(base=lambda x, w: x @ w), "do not transpose `weight`"),
    "after": (
        lambda x, w, A, B, a: F.linear(x, w) + a / len(A) * F.linear(F.linear(F.linear(x, w), A), B),
        "Both paths start at x",
    ),
    "in place": (forward_in_place, "add the update to `weight` itself"),
    "scales A in place": (forward_scaling_A, "changes its argument `A`"),
    "tripled": (forward_by(scale=lambda alpha, r: 3 * alpha / r), "With in = 4, out = 4, r = 4 and alpha = 12 you"),
    "a pair": (lambda x, w, A, B, a: (x @ w.T, x @ A.T @ B.T), "it returned a tuple"),
    "the matrix": (lambda x, w, A, B, a: w + a / len(A) * B @ A, "of shape (5, 4); it returned"),
    "no_grad": (without_gradient(right_forward), "no gradient at all"),
    "B detached": (forward_by(lambda x, A, B: x @ A.T @ B.detach().T), "No gradient reaches B,"),
    "adapter detached": (forward_by(lambda x, A, B: x @ (B @ A).detach().T), "No gradient reaches A or B"),
    "x detached": (lambda x, *rest: right_forward(x.detach(), *rest), "No gradient reaches x"),
    "base under no_grad": (forward_by(base=without_gradient(lambda x, w: x @ w.T)), "through A and B only"),
    "update detaches x": (forward_by(lambda x, A, B: x.detach() @ A.T @ B.T), "through the frozen layer only"),
    "weight learns": (forward_by(base=F.linear), "A gradient reaches `weight`"),
    "another gradient": (forward_by(lambda x, A, B: turned(x @ A.T @ B.T)), "not the gradient of x"),
}
ALSO["forward"] = {
    "r is out": (lambda x, w, A, B, a: x @ w.detach().T + a / B.shape[0] * x @ A.T @ B.T, "the wrong dimension"),
    "update only, unscaled": (lambda x, w, A, B, a: x @ A.T @ B.T, "the update alone"),
    "nothing transposed": (lambda x, w, A, B, a: x @ w + a / len(A) * x @ A @ B, "do not transpose `weight`"),
    "merged, transposed": (lambda x, w, A, B, a: x @ (w + a / len(A) * B @ A), "do not transpose `weight`"),
    "base detached": (forward_by(base=lambda x, w: (x @ w.T).detach()), "through A and B only"),
    "A.data": (forward_by(lambda x, A, B: x @ A.data.T @ B.T), "No gradient reaches A,"),
    "numpy": (lambda x, w, A, B, a: torch.from_numpy(x.detach().numpy() @ w.detach().numpy().T) + 0 * a, "is missing"),
    "merged, weight learns": (lambda x, w, A, B, a: F.linear(x, w + a / len(A) * B @ A), "reaches `weight`"),
    "B's gradient": (lambda x, w, A, B, a: right_forward(x, w, A, turned(B), a), "not the gradient of B"),
}


# ---------------------------------------------------------------- merge


def merge_by(scale=None, update=lambda A, B: B @ A, add=None):
    scale = scale or (lambda r, alpha, rslora: alpha / (math.sqrt(r) if rslora else r))
    add = add or (lambda weight, update: (weight.float() + update).to(weight.dtype))
    return lambda weight, A, B, alpha, rslora: add(weight, scale(len(A), alpha, rslora) * update(A, B))


def merge_by_addmm(weight, A, B, alpha, rslora):
    r = B.shape[1]
    return torch.addmm(weight.to(torch.float32), B, A, alpha=alpha / (r**0.5 if rslora else r)).type_as(weight)


def merge_scaling_first(weight, A, B, alpha, rslora):
    scale = alpha / (len(A) ** 0.5 if rslora else len(A))
    merged = weight.detach().clone().float()
    merged += (scale * B) @ A
    return merged.to(weight.dtype)


def merge_in_place(weight, A, B, alpha, rslora):
    weight += (alpha / (len(A) ** 0.5 if rslora else len(A)) * B @ A).to(weight.dtype)
    return weight


def short_product(weight, A, B, alpha, rslora):
    scale = alpha / (len(A) ** 0.5 if rslora else len(A))
    return weight + scale * B.to(weight.dtype) @ A.to(weight.dtype)


def merge_through(dtype):
    return lambda weight, *rest: merge_by()(weight, *rest).to(dtype).to(weight.dtype)


RIGHT["merge"] = {
    "as one": merge_by(),
    "addmm": merge_by_addmm,
    "scaled first": merge_scaling_first,
    "promoted": merge_by(add=lambda weight, update: (weight + update).to(weight.dtype)),
    "numpy": lambda w, A, B, alpha, rslora: torch.tensor(
        w.float().numpy() + alpha / (len(A) ** 0.5 if rslora else len(A)) * (B.numpy() @ A.numpy()), dtype=w.dtype
    ),
}
WRONG["merge"] = {
    "rslora ignored": (merge_by(lambda r, alpha, rslora: alpha / r), "never look at `rslora`"),
    "always root": (merge_by(lambda r, alpha, rslora: alpha / r**0.5), "always divide by the square root"),
    "inverted": (merge_by(lambda r, alpha, rslora: alpha / (r if rslora else r**0.5)), "The two scales are exchanged"),
    "both": (merge_by(lambda r, alpha, rslora: alpha / r / (r**0.5 if rslora else 1)), "by r and by its square root"),
    "no scale": (merge_by(lambda r, alpha, rslora: 1), "The scale is missing"),
    "alone": (merge_by(lambda r, alpha, rslora: alpha), "do not divide by r"),
    "upside down": (merge_by(lambda r, alpha, rslora: (r**0.5 if rslora else r) / alpha), "upside down"),
    "squared": (merge_by(lambda r, a, rslora: (a / (r**0.5 if rslora else r)) ** 2), "scale twice"),
    "root of all": (merge_by(lambda r, a, rslora: (a / r) ** 0.5 if rslora else a / r), "root of alpha too"),
    "r is in": (
        lambda w, A, B, a, rs: (w.float() + a / (A.shape[1] ** 0.5 if rs else A.shape[1]) * B @ A).to(w.dtype),
        "r from the wrong dimension",
    ),
    "nothing": (lambda w, A, B, a, rs: w.clone(), "the weight as it was"),
    "update only": (merge_by(add=lambda w, update: update.to(w.dtype)), "the update alone"),
    "twice": (lambda w, *rest: merge_by()(merge_by()(w, *rest), *rest), "add the update twice"),
    "subtracted": (merge_by(add=lambda w, update: (w.float() - update).to(w.dtype)), "subtract the update"),
    "A @ B": (merge_by(update=lambda A, B: A @ B), "You multiply A @ B"),
    "transposed": (merge_by(update=lambda A, B: (B @ A).T), "transpose of the update"),
    "A transposed": (merge_by(update=lambda A, B: B @ A.T), "You transpose A."),
    "B transposed": (merge_by(update=lambda A, B: B.T @ A), "You transpose B."),
    "in place": (merge_in_place, "You change `weight` itself"),
    "A in place": (lambda w, A, B, a, rs: (w, A.mul_(a / len(A)))[0] + B @ A, "its argument `A`"),
    "fp32 for bf16": (merge_by(add=lambda w, update: w + update), "For a bfloat16 weight you return a float32"),
    "bf16 for all": (merge_by(add=lambda w, update: (w + update).bfloat16()), "For a float32 weight you return"),
    "bf16 for fp16": (
        merge_by(add=lambda w, update: (w + update).to(torch.bfloat16 if w.dtype.itemsize == 2 else w.dtype)),
        "For a float16 weight you return a bfloat16",
    ),
    "product in 16 bits": (short_product, "bring A and B to bfloat16"),
    "sum in 16 bits": (merge_by(add=lambda w, update: w + update.to(w.dtype)), "round the update to bfloat16"),
    "through bf16": (
        lambda w, *rest: merge_through(w.dtype if w.dtype == torch.float32 else torch.bfloat16)(w, *rest),
        "more is rounded than the sum",
    ),
    "tripled": (merge_by(lambda r, a, rs: 3 * a / (r**0.5 if rs else r)), "rslora = False you give"),
    "a vector": (lambda w, A, B, a, rs: (w + B @ A).flatten(), "of shape (3, 3); it returned"),
}  # fmt: skip
ALSO["merge"] = {
    "r is out": (
        lambda w, A, B, a, rs: (w.float() + a / (len(B) ** 0.5 if rs else len(B)) * B @ A).to(w.dtype),
        "r from the wrong dimension",
    ),
    "update only, unscaled": (lambda w, A, B, a, rs: (B @ A).to(w.dtype), "the update alone"),
    ".data": (lambda w, A, B, a, rs: w.data.add_(B @ A), "You change `weight` itself"),
    "transposed A @ B": (merge_by(update=lambda A, B: (A @ B).T), "transpose of the update"),
    "double": (merge_by(add=lambda w, update: w.double() + update), "a float64 tensor"),
    "bf16 product, fp32 sum": (
        lambda w, A, B, a, rs: (
            w.float() + a / (len(A) ** 0.5 if rs else len(A)) * (B.to(w.dtype) @ A.to(w.dtype)).float()
        ).to(w.dtype),
        "bring A and B to bfloat16",
    ),
    "product, cast late": (
        lambda w, A, B, a, rs: w + (B.to(w.dtype) @ (a / (len(A) ** 0.5 if rs else len(A)) * A.to(w.dtype))),
        "bring A and B to bfloat16",
    ),
    "fp32 through bf16": (merge_through(torch.bfloat16), "With a float32 weight"),
}


# ---------------------------------------------------------------- labels

N = -100


def labels_by(ids=None, labels=None, fits=lambda p, a, length: len(p) + len(a) + 1 <= length):
    """ids(p, a, end, pad, room) and labels(ids, p, a, end, pad, room)."""
    ids = ids or (lambda p, a, end, pad, n: [*p, *a, end] + [pad] * n)
    labels = labels or (lambda ids, p, a, end, pad, n: [N] * len(p) + [*a, end] + [N] * n)

    def my_labels(p, a, end, pad, length):
        if not fits(p, a, length):
            raise ValueError(f"needs {len(p) + len(a) + 1} places")
        made, n = ids(p, a, end, pad, length - len(p) - len(a) - 1), length - len(p) - len(a) - 1
        return made, labels(made, p, a, end, pad, n)

    return my_labels


right_labels = labels_by()


def labels_in_torch(p, a, end, pad, length):
    if len(p) + len(a) >= length:
        raise ValueError("too long")
    ids = torch.full((length,), pad)
    labels = torch.full((length,), N)
    stop = len(p) + len(a) + 1
    ids[:stop] = torch.tensor([*p, *a, end])
    labels[len(p) : stop] = ids[len(p) : stop]
    return ids, labels


def labels_by_loop(p, a, end, pad, length):
    ids, labels = [], []
    for token in p:
        ids.append(token)
        labels.append(N)
    for token in [*a, end]:
        ids.append(token)
        labels.append(token)
    if len(ids) > length:
        raise ValueError(length)
    while len(ids) < length:
        ids.append(pad)
        labels.append(N)
    return [ids, labels]


def masked_where(test):
    """A label is masked on the prompt, and where test(token, i, p, a, end, pad) says so."""
    return labels_by(labels=lambda ids, p, a, end, pad, n: [
        N if i < len(p) or test(t, i, p, a, end, pad) else t for i, t in enumerate(ids)
    ])  # fmt: skip


def changed_labels(p, a, end, pad, length):
    result = right_labels(p, a, end, pad, length)
    p += [*a, end]
    return result


def appended(p, a, end, pad, length):
    a.append(end)
    room = length - len(p) - len(a)
    return p + a + [pad] * room, [N] * len(p) + a + [N] * room


def truncated(p, a, end, pad, length):
    ids = [*p, *a, end][:length]
    labels = ([N] * len(p) + [*a, end])[:length]
    room = length - len(ids)
    return ids + [pad] * room, labels + [N] * room


def overlong(p, a, end, pad, length):
    room = max(0, length - len(p) - len(a) - 1)
    return [*p, *a, end] + [pad] * room, [N] * len(p) + [*a, end] + [N] * room


def asserted(p, a, end, pad, length):
    assert len(p) + len(a) + 1 <= length
    return right_labels(p, a, end, pad, length)


def end_cut(p, a, end, pad, length):
    if len(p) + len(a) > length:
        raise ValueError("too long")
    return truncated(p, a, end, pad, length)


RIGHT["labels"] = {"lists": right_labels, "torch": labels_in_torch, "loop": labels_by_loop}
WRONG["labels"] = {
    "labels are ids": (labels_by(labels=lambda ids, *rest: list(ids)), "You take input_ids as labels"),
    "prompt learned": (labels_by(labels=lambda ids, p, a, e, pad, n: [*p, *a, e] + [N] * n), "prompt is learned as"),
    "padding learned": (masked_where(lambda *rest: False), "padding is learned as well"),
    "pads by number": (masked_where(lambda t, i, p, a, end, pad: t == pad), "You mask by number"),
    "end never": (masked_where(lambda t, i, p, a, end, pad: i >= len(p) + len(a)), "end token is not learned"),
    "no end": (
        labels_by(
            lambda p, a, end, pad, n: [*p, *a] + [pad] * (n + 1),
            lambda ids, p, a, end, pad, n: [N] * len(p) + a + [N] * (n + 1),
        ),
        "end token is missing",
    ),
    "end last": (
        labels_by(
            lambda p, a, end, pad, n: [*p, *a] + [pad] * n + [end],
            lambda ids, p, a, end, pad, n: [N] * len(p) + a + [N] * n + [end],
        ),
        "behind the padding",
    ),
    "end early": (
        labels_by(
            lambda p, a, end, pad, n: [*p, end, *a] + [pad] * n,
            lambda ids, p, a, end, pad, n: [N] * len(p) + [end, *a] + [N] * n,
        ),
        "between prompt and answer",
    ),
    "shifted": (
        labels_by(labels=lambda ids, p, a, end, pad, n: [*([N] * len(p) + [*a, end] + [N] * n)[1:], N]),
        "shift the labels to the left",
    ),
    "shifted right": (
        labels_by(labels=lambda ids, p, a, end, pad, n: [N, *([N] * len(p) + [*a, end] + [N] * n)[:-1]]),
        "shift the labels to the right",
    ),
    "one late": (
        masked_where(lambda t, i, p, a, end, pad: i == len(p) or i > len(p) + len(a)),
        "mask one too many",
    ),
    "one early": (
        labels_by(labels=lambda ids, p, a, e, pad, n: ([N] * (len(p) - 1) + [*p[-1:], *a, e] + [N] * n)[:len(ids)]),
        "mask one too few",
    ),
    "left": (
        labels_by(
            lambda p, a, end, pad, n: [pad] * n + [*p, *a, end],
            lambda ids, p, a, end, pad, n: [N] * (n + len(p)) + [*a, end],
        ),
        "pad on the left",
    ),
    "pads with end": (labels_by(lambda p, a, end, pad, n: [*p, *a, end] + [end] * n), "pad with the end token"),
    "-100 in ids": (labels_by(lambda p, a, end, pad, n: [*p, *a, end] + [N] * n), "-100 is no token"),
    "pad as mask": (
        labels_by(labels=lambda ids, p, a, end, pad, n: [pad] * len(p) + [*a, end] + [pad] * n),
        "with pad_id. The loss",
    ),
    "-1 as mask": (
        labels_by(labels=lambda ids, p, a, end, pad, n: [-1] * len(p) + [*a, end] + [-1] * n),
        "not learned with -1",
    ),
    "nothing": (labels_by(labels=lambda ids, *rest: [N] * len(ids)), "Nothing is learned"),
    "swapped": (lambda *case: right_labels(*case)[::-1], "input_ids come first"),
    "unpadded": (
        labels_by(lambda p, a, e, pad, n: [*p, *a, e], lambda ids, p, a, e, pad, n: [N] * len(p) + [*a, e]),
        "do not pad",
    ),
    "answer only": (labels_by(labels=lambda ids, p, a, end, pad, n: [*a, end]), "yours have 8 and 3"),
    "reversed": (labels_by(lambda p, a, e, pad, n: [*p, *a[::-1], e] + [pad] * n), "your input_ids are"),
    "dict": (lambda *case: dict(zip(("input_ids", "labels"), right_labels(*case), strict=True)), "returned a dict"),
    "+= prompt": (changed_labels, "You change `prompt_ids`"),
    "append": (appended, "You change `answer_ids`"),
    "too strict": (labels_by(fits=lambda p, a, length: len(p) + len(a) + 1 < length), "fits exactly"),
    "raises always": (labels_by(fits=lambda *rest: False), "and you raise ValueError: needs 6 places"),
    "truncated": (truncated, "You cut the answer and say nothing"),
    "end cut": (end_cut, "the end token needs a place too"),
    "overlong": (overlong, "longer than all the others"),
    "assert": (asserted, "you raise AssertionError"),
}  # fmt: skip
ALSO["labels"] = {
    "pads by number, all": (
        labels_by(labels=lambda ids, p, a, end, pad, n: [N if t == pad else t for t in ids]),
        "You mask by number",
    ),
    "end masked where pad is end": (
        masked_where(lambda t, i, p, a, end, pad: i > len(p) + len(a) - (pad == end)),
        "You mask by number",
    ),
    "ends by number": (
        masked_where(lambda t, i, p, a, end, pad: t == end or i > len(p) + len(a)),
        "You mask by number",
    ),
    "all shifted": (labels_by(labels=lambda ids, *rest: [*ids[1:], N]), "shift the labels to the left"),
    "left, labels right": (
        labels_by(lambda p, a, end, pad, n: [pad] * n + [*p, *a, end]),
        "pad on the left",
    ),
    "0 as mask": (
        labels_by(labels=lambda ids, p, a, end, pad, n: [0] * len(p) + [*a, end] + [0] * n),
        "not learned with 0",
    ),
    "-100 in both": (
        labels_by(lambda p, a, end, pad, n: [N] * len(p) + [*a, end] + [N] * n),
        "-100 is no token",
    ),
    "None as mask": (
        labels_by(labels=lambda ids, p, a, end, pad, n: [None] * len(p) + [*a, end] + [None] * n),
        "two lists of ints",
    ),
    "no end, all learned": (
        labels_by(
            lambda p, a, end, pad, n: [*p, *a] + [pad] * (n + 1),
            lambda ids, p, a, end, pad, n: [*p, *a] + [N] * (n + 1),
        ),
        "end token is missing",
    ),
    "one row": (lambda *case: right_labels(*case)[0], "it returned [11, 12, 13, 21, 22, 2, 0, 0]"),
}


# ---------------------------------------------------------------- targets

QKVO = ["k_proj", "o_proj", "q_proj", "v_proj"]


def last(name):
    return name.split(".")[-1]


def where(name):
    return name.rpartition(".")[0]


def attention(name):
    return "attn" in where(name).lower() or "attention" in where(name).lower()


def targets_by(keep=attention, form=last, finish=lambda found: sorted(set(found))):
    return lambda names: finish([form(name) for name in names if keep(name)])


def targets_by_regex(names):
    found = (re.match(r"(?i).*att(?:ention|n)[^.]*\.(?:.*\.)?([^.]+)$", name) for name in names)
    return sorted({match.group(1) for match in found if match})


def sorting_in_place(names):
    names.sort()
    return targets_by()(names)


def by_index(names):
    found = [name.split(".") for name in names if name.count(".") > 3]
    return sorted({parts[-1] for parts in found if "att" in parts[3]})


def behind_layers(names):
    found = [name.split("layers.")[1].split(".") for name in names if name != "lm_head"]
    return sorted({parts[-1] for parts in found if "att" in parts[1]})


RIGHT["targets"] = {
    "by place": targets_by(),
    "regex": targets_by_regex,
    "tuple": targets_by(finish=lambda found: tuple(sorted(set(found)))),
    "dict": targets_by(finish=lambda found: sorted(dict.fromkeys(found))),
}
WRONG["targets"] = {
    "fixed": (lambda names: QKVO, "the same list for every model"),
    "known": (targets_by(lambda name: last(name) in QKVO), "the four names of Llama"),
    "all names one knows": (
        targets_by(lambda name: last(name) in [*QKVO, "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj",
                                               "query_key_value", "dense"]),
        "look for names that you know",
    ),
    "everything": (targets_by(lambda name: True), "every linear layer"),
    "all but the head": (targets_by(lambda name: last(name) not in ("lm_head", "embed_out")), "leave out the head"),
    "all-linear": (
        targets_by(lambda name: last(name) not in ("lm_head", "embed_out", "gate", "shared_expert_gate")),
        "what `all-linear` means",
    ),
    "proj": (targets_by(lambda name: "proj" in last(name)), "look for `proj`"),
    "self_attn": (targets_by(lambda name: "self_attn" in name), "look for `self_attn` alone"),
    "attn": (targets_by(lambda name: "attn" in name), "look for `attn` alone"),
    "attention": (targets_by(lambda name: "attention" in name.lower()), "look for `attention` alone"),
    "small letters": (targets_by(lambda name: "attn" in name or "attention" in name), "T5 writes SelfAttention"),
    "parent": (targets_by(lambda name: re.search("(?i)attn|attention", last(where(name)))), "directly before"),
    "first layer": (targets_by(lambda name: attention(name) and ".0." in name), "at one layer only"),
    "full": (targets_by(form=str), "You return full names"),
    "two parts": (targets_by(form=lambda name: ".".join(name.split(".")[-2:])), "more than the last part"),
    "unsorted": (targets_by(finish=lambda found: list(dict.fromkeys(found))), "but not sorted"),
    "repeated": (targets_by(finish=sorted), "as often as it occurs"),
    "no output": (
        targets_by(lambda name: attention(name) and last(name) not in ("o_proj", "out_proj", "dense", "o")),
        "brings the heads together",
    ),
    "dense too": (targets_by(lambda name: attention(name) or "dense" in last(name)), "also begins dense_h_to_4h"),
    "head": (targets_by(lambda name: attention(name) or "head" in name), "You take the head, lm_head"),
    "router": (targets_by(lambda name: attention(name) or last(name) == "gate"), "the router of the experts, gate"),
    "MLP": (targets_by(lambda name: attention(name) or "down" in name), "layers of the MLP: down_proj"),
    "no v": (targets_by(lambda name: attention(name) and last(name) != "v_proj"), "You miss v_proj"),
    "own names": (lambda names: ["attention"], "it should be ['k_proj', 'o_proj'"),
    "Mamba": (lambda names: targets_by()(names) or ["in_proj"], "has no attention"),
    "set": (targets_by(finish=set), "You return a set"),
    "text": (lambda names: ", ".join(targets_by()(names)), "it returned 'k_proj"),
    "sorts names": (sorting_in_place, "You change `names`"),
    "index": (by_index, "count parts from the front"),
    "behind layers": (behind_layers, "names of another form, and your code raises IndexError"),
}  # fmt: skip
ALSO["targets"] = {
    "q and v": (targets_by(lambda name: last(name) in ("q_proj", "v_proj")), "as the first paper did"),
    "fixed, of GPT-NeoX": (lambda names: ["query_key_value"], "the same list"),
    "fixed, unsorted": (lambda names: ["q_proj", "k_proj", "v_proj", "o_proj"], "the same list"),
    "ends in proj": (targets_by(lambda name: name.endswith("_proj")), "look for `proj`"),
    "all full names": (lambda names: [name for name in names if attention(name)], "You return full names"),
    "one each layer": (lambda names: [last(name) for name in names if attention(name)], "as often as it occurs"),
    "reversed": (lambda names: targets_by()(names)[::-1], "but not sorted"),
    "own order": (
        lambda names: sorted(targets_by()(names), key=lambda part: (len(part), part[::-1])),
        "but not sorted",
    ),
    "two each": (lambda names: sorted(2 * targets_by()(names)), "as often as it occurs"),
    "embed_out": (targets_by(lambda name: attention(name) or "embed" in name), "You take the head, embed_out"),
    "gates": (
        targets_by(lambda name: attention(name) or last(name).endswith("gate")),
        "the router of the experts, gate",
    ),
    "no dense": (targets_by(lambda name: attention(name) and last(name) != "dense"), "brings the heads together"),
    "generator": (lambda names: (last(name) for name in names), "a sorted list of str"),
}


# ---------------------------------------------------------------- budget


def budget_by(size=16, count=lambda shapes: sum(map(sum, shapes)), unit=1e6, rounded=math.floor, cap=None, last=int):
    cap = cap or (lambda shapes: min(map(min, shapes)))
    return lambda shapes, mb: last(min(rounded(mb * unit / (size * count(shapes))), cap(shapes)))


def budget_by_counting(shapes, megabytes):
    rank = 0
    while all(rank < min(shape) for shape in shapes):
        if sum(16 * (rank + 1) * (o + i) for o, i in shapes) > megabytes * 1e6:
            break
        rank += 1
    return rank


def budget_in_numpy(shapes, megabytes):
    sides = np.array(shapes)
    return np.minimum(np.int64(megabytes * 10**6 / (16 * sides.sum())), sides.min())


def budget_popping(shapes, megabytes):
    result = budget_by()(shapes, megabytes)
    shapes.pop()
    return result


RIGHT["budget"] = {
    "division": budget_by(),
    "counting": budget_by_counting,
    "numpy": budget_in_numpy,
    "tensor": lambda shapes, mb: torch.tensor(budget_by()(shapes, mb)),
}
WRONG["budget"] = {
    "out * in": (budget_by(count=lambda shapes: sum(o * i for o, i in shapes)), "which is the frozen matrix"),
    "weights": (budget_by(4), "4 bytes a number"),
    "no optimizer": (budget_by(8), "You forget the optimizer"),
    "no gradients": (budget_by(12), "12 bytes a number"),
    "bf16": (budget_by(2), "2 bytes a number"),
    "numbers": (budget_by(1), "numbers and not bytes"),
    "MiB": (budget_by(unit=2**20), "That is a MiB"),
    "kB": (budget_by(unit=1e3), "factor of a thousand"),
    "only A": (budget_by(count=lambda shapes: sum(i for o, i in shapes)), "You count A alone"),
    "only B": (budget_by(count=lambda shapes: sum(o for o, i in shapes)), "You count B alone"),
    "one matrix": (budget_by(count=lambda shapes: sum(shapes[0])), "one matrix only"),
    "largest": (budget_by(count=lambda shapes: len(shapes) * max(map(sum, shapes))), "as if it were the largest"),
    "strict": (budget_by(rounded=lambda x: math.ceil(x) - 1), "Exactly filled is fine"),
    "ceil": (budget_by(rounded=math.ceil), "One too many"),
    "one less": (budget_by(rounded=lambda x: max(0, math.floor(x) - 1)), "One too few"),
    "round": (budget_by(rounded=round), "round to the nearest"),
    "no cap": (budget_by(cap=lambda shapes: math.inf), "do not look at the smallest dimension"),
    "cap largest": (budget_by(cap=lambda shapes: max(map(min, shapes))), "largest of the smaller sides"),
    "cap first": (budget_by(cap=lambda shapes: min(shapes[0])), "the first matrix alone"),
    "cap outs": (budget_by(cap=lambda shapes: min(o for o, i in shapes)), "by the outs alone"),
    "cap ins": (budget_by(cap=lambda shapes: min(i for o, i in shapes)), "by the ins alone"),
    "cap below": (budget_by(cap=lambda shapes: min(map(min, shapes)) - 1), "smallest dimension itself is allowed"),
    "powers": (budget_by(last=lambda r: 2 ** (int(r).bit_length() - 1) if r else 0), "powers of two only"),
    "at least 1": (budget_by(last=lambda r: max(1, r)), "not even rank 1 fits, the answer is 0"),
    "None": (budget_by(last=lambda r: r or None), "return 0. For"),
    "-1": (budget_by(last=lambda r: r or -1), "never below 0"),
    "float": (budget_by(last=float), "you return 16.0"),
    "half": (budget_by(last=lambda r: r // 2), "but 16 fits too"),
    "too large": (budget_by(last=lambda r: r + 5), "that takes 645,120 bytes, and there are 500,000"),
    "text": (budget_by(last=str), "it returned '16'"),
    "pops": (budget_popping, "You change `shapes`"),
}
ALSO["budget"] = {
    "GB": (budget_by(unit=1e9), "factor of a thousand"),
    "last matrix": (budget_by(count=lambda shapes: sum(shapes[-1])), "one matrix only"),
    "the dearest": (budget_by(count=lambda shapes: max(map(sum, shapes))), "one matrix only"),
    "one more": (budget_by(rounded=lambda x: math.floor(x) + 1), "One too many"),
    "cap by the widest": (budget_by(cap=lambda shapes: max(map(max, shapes))), "largest of the smaller"),
    "weights, no cap": (budget_by(4, cap=lambda shapes: math.inf), "4 bytes a number"),
    "MiB, ceil": (budget_by(unit=2**20, rounded=math.ceil), "That is a MiB"),
    "out * in, no cap": (
        budget_by(count=lambda shapes: sum(o * i for o, i in shapes), cap=lambda shapes: math.inf),
        "which is the frozen matrix",
    ),
    "a constant": (lambda shapes, mb: 16, "you return 16, but 19 fits too"),
    "above": (lambda shapes, mb: 30 if (24, 576) in shapes else budget_by()(shapes, mb), "smallest dimension is 24"),
    "bool": (lambda shapes, mb: True, "should return an int"),
}


# ---------------------------------------------------------------- all of them


@functools.cache
def judged(name, answer):
    return checks.judge(getattr(n04, name), answer)


@pytest.mark.parametrize("name", NAMES)
def test_exercise_holds(name):
    hold(getattr(n04, name), WRONG[name], RIGHT[name])


@pytest.mark.parametrize(("name", "answer", "says"), [
    pytest.param(name, answer, says, id=f"{name}-{label}")
    for name in NAMES for label, (answer, says) in {**WRONG[name], **ALSO[name]}.items()
])  # fmt: skip
def test_wrong_answer_is_diagnosed_twice_the_same(name, answer, says):
    hold_diagnosis(getattr(n04, name), answer, says)


@pytest.mark.parametrize("name", NAMES)
def test_stub_is_to_do_and_parts_are_whole(name):
    exercise = getattr(n04, name)
    hold_parts(exercise, name, "04", defined(name, source(name, "STUB")), defined(name, exercise.solution))


@pytest.mark.parametrize("name", NAMES)
def test_every_diagnosis_is_heard_by_some_wrong_answer(name):
    answers = {**WRONG[name], **ALSO[name]}.values()
    hold_sentences(source(name, "SAYS"), [judged(name, answer)[1] for answer, _ in answers])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [0, -1, 1.5, math.nan, math.inf, 10**30, b"x", "x", "", [], [[True]], [None], ["x"], {}, {"x"}, object(),
     (None, None), ([1], ["2"]), ([16], 6), ([], []), ([[1]], [[1]]), ("a", "b"), torch.tensor([]), torch.zeros(2),
     torch.tensor(math.nan), np.array(["a"]), np.array([None]), np.array([16, 6]), torch.full((3, 3), math.nan),
     (np.array([1, 2]), 3), torch.empty(2, device="meta"), torch.eye(3).to_sparse(), torch.ones(5, 4), iter([]), int],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_any_return_value_is_diagnosed_not_raised(name, value):
    diagnosis = getattr(n04, name).check(lambda *arguments: value)
    assert isinstance(diagnosis, str)
    assert len(diagnosis) < 900


@pytest.mark.parametrize("name", NAMES)
def test_checking_leaves_random_state_and_is_quick(name):
    exercise = getattr(n04, name)
    state = random.getstate()
    hold_quick_and_traceless(exercise, defined(name, exercise.solution))
    assert random.getstate() == state


def test_forward_and_merge_agree_with_lora_linear():
    """The exercises teach what `dslab.lora` computes."""
    from dslab.lora import LoRALinear

    for rslora in (False, True):
        layer = LoRALinear(torch.nn.Linear(6, 5, bias=False), r=4, alpha=12, rslora=rslora)
        torch.nn.init.normal_(layer.adapter.B)
        parts = layer.base.weight, layer.adapter.A, layer.adapter.B, 12
        merged = defined("merge", n04.merge.solution)(*parts, rslora)
        assert torch.allclose(merged, layer.weight, atol=1e-6)
        if not rslora:
            x = torch.randn(3, 6)
            assert torch.allclose(defined("forward", n04.forward.solution)(x, *parts), layer(x), atol=1e-5)


def test_budget_is_what_trying_all_ranks_gives():
    for shapes, megabytes in source("budget", "CASES"):
        want = source("budget", "definition")(shapes, megabytes)
        most = min(map(min, shapes))
        fitting = [r for r in range(most + 1) if 16 * r * sum(map(sum, shapes)) <= round(megabytes * 10**6)]
        assert want == max(fitting)


def test_no_last_part_is_both_inside_attention_and_outside():
    for model in source("targets", "MODELS"):
        inside = {last(name) for name in model.names if attention(name)}
        assert not inside & {last(name) for name in model.names if not attention(name)}, model.title
        assert len(set(model.names)) == len(model.names), model.title
