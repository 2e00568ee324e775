"""Exercise `accept`: which drafted tokens stay, and what the next one is drawn from."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise
from dslab.exercises.n05.accept_mistakes import ACCEPTS, RESTS, Case, definition
from dslab.exercises.n05.ints import as_ints, told

TASK = """\
In speculative decoding a small model drafts `K` tokens, one after the other, and the large model looks at all of them
in one step. Then chance decides how many stay, such that the text is distributed **exactly** as if the large model had
written it alone.

Write `my_accept(p, q, tokens, uniform)`:

- `tokens`: the `K` drafted token ids, a list, `K >= 0`;
- `q`, of shape `(K, V)`: row `i` is the draft's distribution, from which `tokens[i]` was drawn;
- `p`, of shape `(K + 1, V)`: row `i` is the large model's distribution for the same place; the last row is for the
  place behind all drafts;
- `uniform`: `K` random numbers from `[0, 1)`, a list, one for each draft.

From the front, a draft `x` stays with probability `min(1, p(x) / q(x))`: exactly if its random number is **below**
`p(x) / q(x)`. The first that does not stay ends it; those behind it are void. Return `(accepted, rest)`: the list of
the drafts that stay, and the distribution, of shape `(V,)`, from which the next token is to be drawn:

- after a rejection at place `i`: `max(p - q, 0)` of that place, divided by its sum;
- if all stayed: a free token, the bonus, from the last row of `p`."""

STUB = '''\
def my_accept(p, q, tokens, uniform):
    """(drafted tokens that stay, (V,) distribution of the next token)."""
    ...
'''

HINTS = (
    "Walk through the drafts with their place i. At each there are two outcomes: it stays, and you go on; or it does "
    "not, and you can return at once. What is left to do when the walk ends without a return?",
    "The test is uniform[i] < p[i, x] / q[i, x]. If it fails, return tokens[:i] and the clamped difference of row i, "
    "normalised. Behind the loop all have stayed: tokens and p[-1].",
    "for i, x in enumerate(tokens): if uniform[i] >= p[i, x] / q[i, x]: left = (p[i] - q[i]).clamp(min=0); return "
    "tokens[:i], left / left.sum(). After the loop return tokens, p[len(tokens)].",
)

SOLUTION = """\
def my_accept(p, q, tokens, uniform):
    for i, x in enumerate(tokens):
        if uniform[i] >= p[i, x] / q[i, x]:
            left = (p[i] - q[i]).clamp(min=0)
            return tokens[:i], left / left.sum()
    return tokens, p[len(tokens)]
"""

SAYS = {
    "type": "my_accept should return (accepted, rest), a list of token ids and a tensor of shape ({V},); for K = {K} "
    "it returned {came}.",
    "count": "You return how many drafts stay, {came}; the list of them is asked for.",
    "no_rest": "There is always a next token, so there is always a distribution for it. With K = {K} drafts, "
    "{n} of which stay, you return None.",
    "token": "You return {came} for `rest`; the distribution is asked for, of shape ({V},). Drawing comes later.",
    "changed_list": "You change `{name}`, which the caller still needs.",
    "greater": "You accept where p is at least q, or above it, and never look at the random number. Then a draft that "
    "p likes a little less never stays. {case}",
    "upside_down": "Your ratio is upside down: it is p over q. {case}",
    "only_p": "You compare with p alone. A draft was drawn from q already, so it stays with p / q. {case}",
    "only_q": "You compare with q. What the large model thinks of the draft is p / q. {case}",
    "inverted": "You keep the drafts that should go, and the other way round: a draft stays where the random number is "
    "below the ratio. {case}",
    "goes_on": "You go on after a rejection. What comes behind was drafted after a token that is not there. {case}",
    "with_rejected": "You keep the rejected draft as well. {case}",
    "greedy": "You accept where the draft is the likeliest token of p. That is the rule for greedy decoding only. "
    "{case}",
    "everything": "You accept every draft. {case}",
    "nothing": "You accept no draft at all. {case}",
    "one_number": "You take the first random number for all drafts. Each has its own. {case}",
    "late_p": "You look up p one row too far. Row i of p is for the place of draft i, as with q. {case}",
    "highest": "You compare the largest entries of p and q, not those of the drafted token. {case}",
    "zero": "A draft that the large model gives probability 0 stays, for its random number is 0, which torch.rand may "
    "give. `below` is <, not <=. {case}",
    "no_drafts": "For K = 0, which happens where a lookup finds nothing, accepted is [] and rest is p[0]. You raise "
    "{error}.",
    "accepted": "{case}",
    "from_p": "After a rejection you draw from p. Then a token that q likes too much comes up too often: it had its "
    "chance as a draft. What is left is max(p - q, 0). {rest}",
    "removed": "After a rejection you take p without the rejected token. Other tokens had their chance as well: what "
    "is left is max(p - q, 0). {rest}",
    "unnormalised": "What you return does not sum to 1: divide by the sum. {rest}",
    "no_clamp": "Below 0 there is no probability: clamp p - q at 0 before you divide by the sum. {rest}",
    "absolute": "You take the absolute value of p - q. Where q is larger, nothing is left: 0. {rest}",
    "reversed": "You subtract the wrong way round: what p has more than q is left. {rest}",
    "softmax": "You apply a softmax. These are probabilities already; divide by the sum. {rest}",
    "from_q": "You draw from the draft's distribution, q. {rest}",
    "wrong_row": "You take the rows of another place than that of the rejected draft. {rest}",
    "bonus_last": "If all drafts stay, the bonus comes from the last row of p, behind the drafts; you take the row of "
    "the last draft. {rest}",
    "bonus_left": "If all drafts stay, nothing was rejected, so nothing is subtracted: the bonus comes from the last "
    "row of p. {rest}",
    "bonus_always": "You take the last row of p even where a draft was rejected. {rest}",
    "shape": "With K = {K} drafts, {n} of which stay, your `rest` has shape {got_shape}, and it should be ({V},).",
    "nan": "With K = {K} drafts, {n} of which stay, your `rest` holds NaN or infinity. Where a sum is 0, look what was "
    "added up.",
    "rest": "{rest}",
    "case": "With tokens {tokens}, uniform {uniform} and p/q = {ratios} you accept {got}, and it should be {want}.",
    "rest_case": "With {n} of {K} drafts accepted you give {got}, and it should be {want}.",
}

Answer = tuple[list[int], Tensor]
NAMES = "p q tokens uniform"


def _made(p: list[list[float]], q: list[list[float]], tokens: list[int], uniform: list[float]) -> Case:
    return torch.tensor(p), torch.tensor(q).reshape(len(tokens), len(p[0])), tokens, uniform


@functools.cache
def cases() -> list[Case]:
    """Few drafts and many, stayed and not; ratios below and above 1; no random number near its ratio."""
    a, b, c, d, e = [0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.6, 0.1, 0.3], [0.5, 0.1, 0.4]
    listed = [
        _made([a, b, c], [b, a], [0, 2], [0.9, 0.8]),  # all stay: ratios 2.5, 1.5
        _made([b, a, d, c], [a, b, a], [0, 1, 2], [0.35, 0.45, 0.1]),  # 0.4, 0.6, 1.5: all stay, p below q
        _made([b, e, d, c], [a, b, a], [0, 1, 2], [0.35, 0.75, 0.1]),  # 0.4, 0.2, 1.5: the second goes
        _made([c, a], [a], [0], [0.5]),  # the only one goes
        _made([d], [], [], []),  # nothing was drafted
    ]
    return [*listed, *(_draw(seed) for seed in range(1, 13))]


def _draw(seed: int) -> Case:
    """A draft that is often right; random numbers well away from the ratios, so that no rounding decides."""
    random = torch.Generator().manual_seed(seed)
    count, size = 3 + seed % 3, 4 + seed % 4
    p = torch.rand(count + 1, size, generator=random).add(0.05)
    q = 0.5 * p[:-1] + 0.5 * torch.rand(count, size, generator=random)
    p, q = p / p.sum(dim=1, keepdim=True), q / q.sum(dim=1, keepdim=True)
    tokens = torch.multinomial(q, 1, generator=random).flatten().tolist()
    uniform = [round(float(number), 3) for number in torch.rand(count, generator=random)]
    ratios = [float(p[i, x] / q[i, x]) for i, x in enumerate(tokens)]
    return p, q, tokens, [u if abs(u - ratio) > 0.01 else u / 2 for u, ratio in zip(uniform, ratios, strict=True)]


@functools.cache
def zeros() -> list[Case]:
    """A draft that p rules out, with the random number 0."""
    return [_made([[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]], [[0.5, 0.4, 0.1]], [0], [0.0])]


@functools.cache
def _accepted_by_mistake() -> list[tuple[str, list[list[int]]]]:
    return [(name, [mistake(*case) for case in cases()]) for name, mistake in ACCEPTS]


@functools.cache
def _rests_by_mistake() -> list[tuple[str, list[Tensor]]]:
    return [(name, [mistake(*case) for case in cases()]) for name, mistake in RESTS]


def check(my_accept: Any) -> str | None:
    """None when right, else what is wrong."""
    answers: list[Answer] = []
    for case in cases():
        try:
            got, diagnosis = _ask(my_accept, case)
        except NotImplementedError:
            raise
        except Exception as error:
            if case[2] or not answers:
                raise
            return _say_accepted(answers) or SAYS["no_drafts"].format(
                error=f"{type(error).__name__} ({str(error)[:80]})"
            )
        if got is None:
            return diagnosis
        answers.append(got)
    wrong = _say_accepted(answers) or _say_rest(cases(), answers)
    return wrong or _check_zeros(my_accept)


def _check_zeros(my_accept: Any) -> str | None:
    for case in zeros():
        got, diagnosis = _ask(my_accept, case)
        if got is None:
            return diagnosis
        if got[0]:
            return SAYS["zero"].format(case=_case(case, got[0]))
        wrong = _say_rest([case], [got])
        if wrong:
            return wrong
    return None


def _ask(my_accept: Any, case: Case) -> tuple[Answer | None, str | None]:
    """The accepted tokens and the rest, or None and why there are none."""
    p, q, tokens, uniform = case
    given = (list(tokens), list(uniform))
    came, changed = probe.call(my_accept, NAMES, p, q, *given)
    for name, now, before in (("tokens", given[0], tokens), ("uniform", given[1], uniform)):
        if now != before:
            return None, SAYS["changed_list"].format(name=name)
    facts = {"V": p.shape[1], "K": len(tokens), "came": told(came)}
    if not isinstance(came, tuple | list) or len(came) != 2:
        return None, SAYS["type"].format(**facts)
    accepted, rest = as_ints(came[0]), probe.as_tensor(came[1])
    if accepted is None:
        count = probe.as_integer(came[0])
        return None, SAYS["type" if count is None or rest is None else "count"].format(**facts | {"came": count})
    if came[1] is None:
        return None, SAYS["no_rest"].format(n=len(accepted), **facts)
    if rest is None or not rest.is_floating_point() or rest.ndim != 1:
        is_token = probe.as_integer(came[1]) is not None
        return None, SAYS["token" if is_token else "type"].format(
            **facts | {"came": told(came[1] if is_token else came)}
        )
    return (None, changed) if changed else ((accepted, rest.double()), None)


def _say_accepted(answers: list[Answer]) -> str | None:
    """What is wrong with the drafts that stay, in the cases answered so far."""
    rows = [accepted for accepted, _ in answers]
    for case, row in zip(cases(), rows, strict=False):
        if row != definition(*case)[0]:
            known = (name for name, made in _accepted_by_mistake() if made[: len(rows)] == rows)
            return SAYS[next(known, "accepted")].format(case=_case(case, row))
    return None


def _say_rest(asked: list[Case], answers: list[Answer]) -> str | None:
    """What is wrong with the distributions, where the accepted tokens are right."""
    rows = [rest for _, rest in answers]
    for case, (accepted, rest) in zip(asked, answers, strict=True):
        want = definition(*case)[1]
        if not _is_near(want, rest):
            made = _rests_by_mistake() if asked is cases() else [(name, [rest(*case)]) for name, rest in RESTS]
            known = (name for name, wrong in made if all(map(_is_near, wrong, rows)))
            facts = {"K": len(case[2]), "n": len(accepted), "V": len(want), "got_shape": tuple(rest.shape)}
            numbers = {"got": _numbers(rest), "want": _numbers(want)}
            name = "shape" if rest.shape != want.shape else "rest" if bool(rest.isfinite().all()) else "nan"
            if bool((rest < -1e-6).any()):
                name = "no_clamp"  # what its sum of almost 0 makes of it depends on the last digits
            text = SAYS["rest_case"].format(**facts, **numbers)
            return SAYS[next(known, name)].format(rest=text, **facts)
    return None


def _is_near(want: Tensor, got: Tensor) -> bool:
    """To 1e-4: fp32 sums differ in the last digits. A mistake's NaN is the same as an answer's."""
    return want.shape == got.shape and torch.allclose(want, got, rtol=1e-4, atol=1e-4, equal_nan=True)


def _case(case: Case, got: list[int]) -> str:
    p, q, tokens, uniform = case
    ratios = [round(float(p[i, x] / q[i, x]), 3) for i, x in enumerate(tokens)]
    facts = {"tokens": tokens, "uniform": uniform, "ratios": ratios, "got": got, "want": definition(*case)[0]}
    return SAYS["case"].format(**facts)


def _numbers(values: Tensor) -> str:
    shown_values = ", ".join(f"{value:.3g}" for value in values[:8].tolist())
    return f"[{shown_values}{', …' if len(values) > 8 else ''}]"


exercise = Exercise(name="accept", notebook="05", task=TASK, hints=HINTS, solution=SOLUTION, check=check)
