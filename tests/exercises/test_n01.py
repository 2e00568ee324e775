"""Notebook 01's checkers against plausible wrong answers: each rejected with its own diagnosis, right ones accepted."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercise_harness import hold_quick_and_traceless

from dslab.book import checks
from dslab.exercises import n01

INF = float("inf")
NAMES = ("window", "attend", "classify", "reach", "select")


def distances(L):
    return torch.arange(L)[:, None] - torch.arange(L)[None, :]


def right_window(L, w):
    return (distances(L) >= 0) & (distances(L) < w)


def scores_of(q, k):
    return q @ k.T / q.shape[-1] ** 0.5


def hide(scores, mask):
    return scores.masked_fill(~mask, -INF)


def right_attend(q, k, v, mask):
    return hide(scores_of(q, k), mask).softmax(-1).nan_to_num(0.0) @ v


def classes(is_empty, is_full):
    return 0 if is_empty else 2 if is_full else 1


def right_classify(q0, q1, k0, k1, w):
    return classes(q1 < k0 or q0 - k1 >= w, q0 >= k1 and q1 - k0 < w)


def right_reach(q, k, w):
    if q <= k:
        return 0 if q == k else None
    return None if w == 1 else math.ceil((q - k) / (w - 1))


def right_select(scores, k):
    rows = [sorted(range(t + 1), key=lambda s: -scores[t, s])[:k] for t in range(len(scores))]
    return torch.tensor([row + [-1] * (k - len(row)) for row in rows])


def top(scores, k, fill, visible=None):
    T = len(scores)
    visible = torch.ones(T, T).tril().bool() if visible is None else visible
    n = min(k, T)
    indices = scores.masked_fill(~visible, fill).topk(n).indices
    own = torch.arange(T)[:, None]
    ranks = torch.arange(n)[None, :]
    return F.pad(indices.masked_fill(ranks > own, -1), (0, k - n), value=-1)


# ---------------------------------------------------------------- right answers, built differently


def window_by_triangles(L, w):
    return torch.ones(L, L).tril().bool() & torch.ones(L, L).triu(1 - w).bool()


def window_by_loops(L, w):
    mask = torch.zeros(L, L, dtype=torch.bool)
    for q in range(L):
        mask[q, max(0, q - w + 1) : q + 1] = True
    return mask


def window_in_numpy(L, w):
    return np.tri(L, dtype=bool) & ~np.tri(L, k=-w, dtype=bool)


def attend_by_rows(q, k, v, mask):
    out = torch.zeros_like(v)
    for i in range(len(q)):
        if mask[i].any():
            out[i] = (q[i] @ k[mask[i]].T / math.sqrt(q.shape[1])).softmax(0) @ v[mask[i]]
    return out


def attend_by_hand(q, k, v, mask):
    scores = hide(scores_of(q, k), mask)
    highest = scores.amax(1, keepdim=True).nan_to_num(neginf=0.0)
    weights = (scores - highest).exp()
    total = weights.sum(1, keepdim=True)
    return weights / torch.where(total == 0, 1.0, total) @ v


def attend_in_numpy(q, k, v, mask):
    q, k, v, mask = (x.numpy() for x in (q, k, v, mask))
    scores = np.where(mask, q @ k.T / np.sqrt(q.shape[1]), -1e30)
    weights = np.exp(scores - scores.max(1, keepdims=True)) * mask
    return weights / np.maximum(weights.sum(1, keepdims=True), 1e-30) @ v


def attend_by_sdpa(q, k, v, mask):
    return F.scaled_dot_product_attention(q[None, None], k[None, None], v[None, None], attn_mask=mask)[0, 0] * (
        mask.any(1, keepdim=True)
    )


def classify_by_cells(q0, q1, k0, k1, w):
    cells = [0 <= q - k < w for q in range(q0, q1 + 1) for k in range(k0, k1 + 1)]
    return any(cells) + all(cells)


def classify_in_torch(q0, q1, k0, k1, w):
    d = torch.arange(q0, q1 + 1)[:, None] - torch.arange(k0, k1 + 1)
    allowed = (d >= 0) & (d < w)
    return allowed.any().int() + allowed.all().int()


def reach_by_steps(q, k, w):
    if k > q or (w == 1 and k != q):
        return None
    layers = 0
    while q > k:
        q, layers = q - w + 1, layers + 1
    return layers


def reach_by_powers(q, k, w):
    n = max(q, k) + 1
    step = right_window(n, w).float()
    known = torch.eye(n)
    for layers in range(n + 1):
        if known[q, k] > 0:
            return layers
        known = ((known @ step) > 0).float()
    return None


def select_by_sorting(scores, k):
    T = len(scores)
    order = hide(scores, torch.ones(T, T).tril().bool()).argsort(dim=1, descending=True)
    order = order.masked_fill(order > torch.arange(T)[:, None], -1)
    return F.pad(order, (0, max(0, k - T)), value=-1)[:, :k]


def select_in_numpy(scores, k):
    out = np.full((len(scores), k), -1, dtype=np.int64)
    for t, row in enumerate(scores.numpy()):
        best = np.argsort(-row[: t + 1])[:k]
        out[t, : len(best)] = best
    return out


RIGHT = {
    "window": [right_window, window_by_triangles, window_by_loops, window_in_numpy],
    "attend": [right_attend, attend_by_rows, attend_by_hand, attend_in_numpy, attend_by_sdpa],
    "classify": [right_classify, classify_by_cells, classify_in_torch],
    "reach": [right_reach, reach_by_steps, reach_by_powers],
    "select": [right_select, select_by_sorting, select_in_numpy],
}


# ---------------------------------------------------------------- wrong answers, and what the learner must be told


def attend_renormalised(q, k, v, mask):
    weights = scores_of(q, k).softmax(1) * mask
    return weights / (weights.sum(1, keepdim=True) + 1e-9) @ v


def attend_exp(q, k, v, mask):
    weights = scores_of(q, k).exp() * mask
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-30) @ v


def attend_changing_v(q, k, v, mask):
    out = right_attend(q, k, v, mask)
    v.zero_()
    return out


def reach_standing_still(q, k, w):
    if k > q:
        return None
    layers = 0
    while q > k:
        q, layers = q - (w - 1), layers + 1
    return layers


def reach_overshooting(q, k, w):
    layers = 0
    while q != k:
        q, layers = q - (w - 1), layers + 1
    return layers


def past(answer, future=None):
    """A wrong formula for the past, right elsewhere."""
    return lambda q, k, w: answer(q, k, w) if k < q and w > 1 else right_reach(q, k, w)


def select_hiding_late(scores, k):
    best = scores.topk(min(k, len(scores))).indices
    return best.masked_fill(best > torch.arange(len(scores))[:, None], -1)


def select_in_place(scores, k):
    scores.masked_fill_(torch.ones_like(scores).triu(1).bool(), -INF)
    return right_select(scores, k)


def corners(cells):
    def answer(q0, q1, k0, k1, w):
        seen = [0 <= q - k < w for q, k in cells(q0, q1, k0, k1)]
        return classes(not any(seen), all(seen))

    return answer


def by_distance(rule):
    return lambda q0, q1, k0, k1, w: rule(q0 - k1, q1 - k0, w)


WRONG = {
    "window": [
        ("too many", lambda L, w: (distances(L) >= 0) & (distances(L) <= w),
         "Your window counts one key too many: for query 5 with window 4 you allow key 1"),
        ("too many by triangles", lambda L, w: torch.ones(L, L).tril().triu(-w).bool(), "counts one key too many"),
        ("too few", lambda L, w: (distances(L) >= 0) & (distances(L) < w - 1), "one key too few"),
        ("symmetric", lambda L, w: distances(L).abs() < w, "looks ahead"),
        ("all the future", lambda L, w: distances(L) < w, "looks ahead"),
        ("only causal", lambda L, w: distances(L) >= 0, "never forgets"),
        ("without itself", lambda L, w: (distances(L) > 0) & (distances(L) < w), "leaves out the query itself"),
        ("shifted", lambda L, w: (distances(L) > 0) & (distances(L) <= w), "ends one key too early"),
        ("inverted", lambda L, w: ~right_window(L, w), "inverted"),
        ("transposed", lambda L, w: right_window(L, w).T, "transposed"),
        ("bias", lambda L, w: torch.zeros(L, L).masked_fill(~right_window(L, w), -INF), "additive form"),
        ("floats", lambda L, w: right_window(L, w).float(), "float32 tensor of shape (8, 8). As numbers"),
        ("with a batch", lambda L, w: right_window(L, w)[None], "Wrong shape"),
        ("a list", lambda L, w: right_window(L, w).tolist(), "it returned a list"),
        ("None", lambda L, w: print(end=""), "it returned None"),
        ("short windows only", lambda L, w: right_window(L, min(w, 16)), "you forbid query"),
        ("one shape", lambda L, w: right_window(8, 4)[:L, :L] if L <= 8 else right_window(L, w), "you"),
    ],
    "attend": [
        ("multiplied", lambda q, k, v, m: (scores_of(q, k) * m).softmax(1) @ v, "multiply the mask into the scores"),
        ("after softmax", lambda q, k, v, m: (scores_of(q, k).softmax(1) * m) @ v, "do not divide again"),
        ("no scale", lambda q, k, v, m: hide(q @ k.T, m).softmax(1).nan_to_num() @ v, "not divided by sqrt(D)"),
        ("scaled up", lambda q, k, v, m: hide(q @ k.T * q.shape[1] ** 0.5, m).softmax(1) @ v, "multiply the scores"),
        ("by D", lambda q, k, v, m: hide(q @ k.T / q.shape[1], m).softmax(1) @ v, "not by its square root"),
        ("late scale", lambda q, k, v, m: hide(q @ k.T, m).softmax(1) / q.shape[1] ** 0.5 @ v, "after the softmax. It"),
        ("inverted", lambda q, k, v, m: right_attend(q, k, v, ~m), "upside down"),
        ("wrong axis", lambda q, k, v, m: hide(scores_of(q, k), m).softmax(0) @ v, "along the queries"),
        ("transposed", lambda q, k, v, m: right_attend(q, k, v, m.T), "keys as rows"),
        ("ignored", lambda q, k, v, m: scores_of(q, k).softmax(1) @ v, "no effect"),
        ("added", lambda q, k, v, m: (scores_of(q, k) + m).softmax(1) @ v, "add the mask"),
        ("times inf", lambda q, k, v, m: (scores_of(q, k) + ~m * -INF).softmax(1) @ v, "0 * inf is NaN"),
        ("NaN rows", lambda q, k, v, m: hide(scores_of(q, k), m).softmax(1) @ v, "no key, and you return NaN"),
        ("finite", lambda q, k, v, m: scores_of(q, k).masked_fill(~m, -1e9).softmax(1) @ v, "average of values"),
        ("finite, added", lambda q, k, v, m: (scores_of(q, k) + ~m * -1e9).softmax(1) @ v, "average of values"),
        ("ones", lambda q, k, v, m: torch.where(m.any(1, keepdim=True), right_attend(q, k, v, m), 1.0),
         "be zeros; you"),
        ("half", lambda q, k, v, m: right_attend(q.half(), k.half(), v.half(), m).to(v.dtype), "smaller dtype"),
        ("single", lambda q, k, v, m: right_attend(q.float(), k.float(), v.float(), m).to(v.dtype), "float64 inputs"),
        ("exp", attend_exp, "exp overflows"),
        ("renormalised", attend_renormalised, "gone before the softmax"),
        ("in place", attend_changing_v, "changes its argument `v`"),
        ("weights", lambda q, k, v, m: hide(scores_of(q, k), m).softmax(1), "Wrong shape"),
        ("one width", lambda q, k, v, m: right_attend(q * (q.shape[1] / 16) ** 0.5, k, v, m), "you differ most"),
        ("None", lambda q, k, v, m: print(end=""), "it returned None"),
    ],
    "classify": [
        ("partial as full", by_distance(lambda n, f, w: classes(f < 0 or n >= w, True)), "as soon as something"),
        ("never full", by_distance(lambda n, f, w: classes(f < 0 or n >= w, False)), "never call a block full"),
        ("four corners", corners(lambda a, b, c, d: [(a, c), (a, d), (b, c), (b, d)]), "four corners only"),
        ("two corners", corners(lambda a, b, c, d: [(a, c), (b, d)]), "first and last cell only"),
        ("far edge", by_distance(lambda n, f, w: classes(f < 0 or n > w, n >= 0 and f < w)), "at the far edge"),
        ("far edge, full", by_distance(lambda n, f, w: classes(f < 0 or n >= w, n >= 0 and f <= w)), "at the far edge"),
        ("diagonal", by_distance(lambda n, f, w: classes(f <= 0 or n >= w, n >= 0 and f < w)), "at the diagonal"),
        ("diagonal, full", by_distance(lambda n, f, w: classes(f < 0 or n >= w, n > 0 and f < w)), "at the diagonal"),
        ("not causal", by_distance(lambda n, f, w: classes(n >= w, f < w)), "the future side"),
        ("no window", by_distance(lambda n, f, w: classes(f < 0, n >= 0)), "ignores the window"),
        ("swapped", lambda *block: 2 - right_classify(*block), "swapped"),
        ("exclusive ends", lambda a, b, c, d, w: right_classify(a, b - 1, c, d - 1, w), "but it is"),
        ("small blocks only", lambda a, b, c, d, w: right_classify(a, min(b, a + 6), c, d, w), "queries 300..331"),
        ("a name", lambda *block: "full", "returned a str"),
        ("a bool", lambda *block: True, "returned a bool"),
        ("three", lambda *block: 3, "3 is no class"),
        ("None", lambda *block: print(end=""), "returned None"),
    ],
    "reach": [
        ("by window", past(lambda q, k, w: math.ceil((q - k) / w)), "You divide by the window"),
        ("floor", past(lambda q, k, w: (q - k) // (w - 1)), "round down"),
        ("floor + 1", past(lambda q, k, w: (q - k) // (w - 1) + 1), "exact multiple of 3"),
        ("one more", past(lambda q, k, w: right_reach(q, k, w) + 1), "too many, always"),
        ("one less", past(lambda q, k, w: right_reach(q, k, w) - 1), "too few, always"),
        ("one layer", past(lambda q, k, w: 1 if q - k < w else None), "one layer only"),
        ("abs", lambda q, k, w: right_reach(max(q, k), min(q, k), w), "no layer looks ahead"),
        ("future 0", lambda q, k, w: right_reach(max(q, k), k, w), "no layer looks ahead"),
        ("future -1", lambda q, k, w: -1 if k > q else right_reach(q, k, w), "you return -1"),
        ("itself 1", lambda q, k, w: 1 if q == k else right_reach(q, k, w), "knows itself"),
        ("division by 0", lambda q, k, w: None if k > q else 0 if k == q else math.ceil((q - k) / (w - 1)),
         "With window 1 each token sees only itself"),
        ("stands still", reach_standing_still, "does not come to an end"),
        ("overshoots", reach_overshooting, "Your code does not come to an end for"),
        ("window 1 number", lambda q, k, w: right_reach(q, k, max(w, 2)), "you return 1"),
        ("infinity", lambda q, k, w: INF if right_reach(q, k, w) is None else right_reach(q, k, w), "Never is None"),
        ("np.ceil", past(lambda q, k, w: np.ceil((q - k) / (w - 1))), "should return an int"),
        ("text", lambda q, k, w: "3", "it returned a str"),
        ("one window", past(lambda q, k, w: right_reach(q, k, 4)), "and window 2 you answer"),
    ],
    "select": [
        ("not causal", lambda s, k: F.pad(s.topk(min(k, len(s))).indices, (0, max(0, k - len(s))), value=-1), "future"),
        ("hidden late", select_hiding_late, "mask after the choice"),
        ("without itself", lambda s, k: right_select(s.masked_fill(torch.eye(len(s)).bool(), -1e38), k), "For T = 6"),
        ("strictly before", lambda s, k: torch.tensor(
            [(sorted(range(t), key=lambda j: -s[t, j])[:k] + [-1] * k)[:k] for t in range(len(s))]), "may pick itself"),
        ("smallest", lambda s, k: right_select(-s, k), "lowest scores"),
        ("absolute", lambda s, k: right_select(s.abs(), k), "without the sign"),
        ("worst first", lambda s, k: torch.tensor(
            [r + [-1] * (k - len(r)) for r in ([j for j in row if j >= 0][::-1] for row in right_select(s,
             k).tolist())]),
         "worst first"),
        ("by position", lambda s, k: torch.tensor(
            [r + [-1] * (k - len(r)) for r in (sorted(j for j in row if j >= 0) for row in right_select(s,
             k).tolist())]),
         "order of their positions"),
        ("future for -1", lambda s, k: hide(s, torch.ones_like(s).tril().bool()).topk(k).indices, "lies in its future"),
        ("0 for -1", lambda s, k: right_select(s, k).clamp(min=0), "a second time"),
        ("-2 for -1", lambda s, k: right_select(s, k).masked_fill(right_select(s, k) < 0, -2), "-1 stands for none"),
        ("zeroed", lambda s, k: top(s, k, 0.0), "set future scores to 0"),
        ("multiplied", lambda s, k: (s * torch.ones_like(s).tril()).topk(min(k, len(s))).indices, "scores to 0, which"),
        ("multiplied, hidden", lambda s, k: select_hiding_late(s.tril(), k), "set future scores to 0"),
        ("finite", lambda s, k: top(s, k, -1e9), "behind a finite number"),
        ("half", lambda s, k: right_select(s.bfloat16(), k) if s.abs().max() < 1.1 else right_select(s, k), "rounded"),
        ("the scores", lambda s, k: s.topk(min(k, len(s))).values, "the scores themselves"),
        ("int32", lambda s, k: right_select(s, k).int(), "Indices are int64"),
        ("floats", lambda s, k: right_select(s, k).float(), "Indices are int64"),
        ("transposed", lambda s, k: right_select(s, k).T.contiguous(), "Wrong shape"),
        ("narrow", lambda s, k: right_select(s, min(k, len(s))), "filled up with -1"),
        ("crash", lambda s, k: hide(s, torch.ones_like(s).tril().bool()).topk(k).indices.masked_fill(
            torch.arange(k)[None, :] > torch.arange(len(s))[:, None], -1), "your code raises RuntimeError"),
        ("in place", select_in_place, "changes its argument `scores`"),
        ("small texts", lambda s, k: right_select(s, k) if len(s) < 20 else right_select(s, k).sort(1).values,
         "T = 23"),
        ("None", lambda s, k: print(end=""), "it returned None"),
    ],
}  # fmt: skip


def source(name, constant):
    return getattr(importlib.import_module(f"dslab.exercises.n01.{name}"), constant)


def defined(code):
    namespace = {"torch": torch, "math": math, "F": F}
    exec(code, namespace)
    return next(value for key, value in namespace.items() if key.startswith("my_"))


@pytest.mark.parametrize(("name", "answer", "says"), [
    pytest.param(name, answer, says, id=f"{name}-{label}") for name in NAMES for label, answer, says in WRONG[name]
])  # fmt: skip
def test_wrong_answer_gets_its_own_diagnosis(name, answer, says):
    state, diagnosis = checks.judge(getattr(n01, name), answer)
    assert state == "wrong"
    assert says in diagnosis
    assert "{" not in diagnosis  # every field of the template is filled
    assert checks.judge(getattr(n01, name), answer) == (state, diagnosis)


@pytest.mark.parametrize("name", NAMES)
def test_diagnoses_are_distinct(name):
    said = {checks.judge(getattr(n01, name), answer)[1] for _, answer, _ in WRONG[name]}
    assert len(said) >= 7


@pytest.mark.parametrize(("name", "answer"), [
    pytest.param(name, answer, id=f"{name}-{answer.__name__}") for name in NAMES for answer in RIGHT[name]
])  # fmt: skip
def test_right_answer_is_accepted(name, answer):
    assert getattr(n01, name).check(answer) is None


@pytest.mark.parametrize("name", NAMES)
def test_solution_is_right_and_stub_is_to_do(name):
    exercise = getattr(n01, name)
    assert exercise.name == name
    assert exercise.notebook == "01"
    assert checks.judge(exercise, defined(exercise.solution))[0] == "right"
    assert checks.judge(exercise, defined(source(name, "STUB")))[0] == "todo"
    assert checks.judge(exercise, ...)[0] == "todo"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [0, -1, 1.5, math.nan,
     "x", [], [[True]], {}, object(), torch.tensor([]), torch.tensor(math.nan), torch.zeros(2, 2, 2),
     torch.zeros(3, dtype=torch.complex64), np.array(["a"]), np.array([None]), torch.empty(2, device="meta"),
     torch.eye(3).to_sparse()],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_any_return_value_is_diagnosed_not_raised(name, value):
    assert isinstance(getattr(n01, name).check(lambda *arguments: value), str)


@pytest.mark.parametrize("name", NAMES)
def test_checking_leaves_random_state_and_is_quick(name):
    exercise = getattr(n01, name)
    hold_quick_and_traceless(exercise, defined(exercise.solution))


def test_same_buffer_every_time_is_judged_by_what_each_call_gave():
    buffer = torch.zeros(40, 40, dtype=torch.bool)

    def answer(L, w):
        buffer[:L, :L] = right_window(L, w)
        return buffer[:L, :L]

    assert n01.window.check(answer) is None


def test_step_limit_restores_the_tracer():
    import sys

    before = sys.gettrace()
    n01.reach.check(reach_standing_still)
    assert sys.gettrace() is before
