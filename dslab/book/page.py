"""What a notebook talks to: `page.start`, then results, figures, claims, exercises, and `page.end`.

    from dslab.book import page
    page.start("01", globals())
    page.claim("01.leak", leak)

One notebook, one kernel, one page: the instance `page` of this package is the only one a notebook needs.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dslab
from dslab.book import cards, checks, claims, explore, figures, machine, marked, specification, text
from dslab.book.display import history, shell, show
from dslab.book.errors import ClaimFailed, PageError
from dslab.book.explore import Control

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Page:
    """The state of one running notebook. Everything raises PageError before `start`."""

    slider = staticmethod(explore.Slider)
    choice = staticmethod(explore.choice)
    toggle = staticmethod(explore.Toggle)
    textarea = staticmethod(explore.Text)

    def __init__(self) -> None:
        self._began: float | None = None
        self._hints: dict[str, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._notebook = self._device = self._profile = ""
        self._seed = 0
        self._parameters: dict[str, Any] = {}
        self._defaults: dict[str, Any] = {}
        self._weights_pinned: bool | None = None
        self._results: dict[str, dict[str, Any]] = {}

    def start(self, notebook: str, namespace: Mapping[str, Any], *, torch: bool = True) -> None:
        """Check the parameters, seed, set threads, choose the device, and say in one line what this runs on.

        notebook:  number or stem.
        namespace: `globals()` of the notebook.
        torch:     False where a notebook never uses torch; saves its import.
        Raises RefusedParameter for a parameter that is unknown, mistyped, out of range or not among its choices.
        """
        values, defaults = specification.check(notebook, namespace, history())
        self._clear()
        self._began = time.perf_counter()
        self._notebook, self._parameters, self._defaults = notebook, values, defaults
        self._seed, self._profile = values["seed"], values["profile"]
        use_torch = torch and machine.has_torch()
        self._device = machine.resolve_device(values["device"], use_torch)
        threads = machine.set_threads(use_torch)
        machine.set_seed(self._seed, use_torch)
        machine.give_back_memory_after_cells(shell())
        figures.style()
        self._show_environment(threads)

    @property
    def seed(self) -> int:
        """The parameter `seed`."""
        return self._started()._seed

    @property
    def device(self) -> str:
        """Where tensors live, resolved: cpu, cuda or mps."""
        return self._started()._device

    @property
    def profile(self) -> str:
        """The parameter `profile`: smoke, quick or full."""
        return self._started()._profile

    def pick(self, **by_profile: Any) -> Any:
        """The value for this run's profile: `page.pick(smoke=64, quick=1024, full=8192)`."""
        profile = self._started()._profile
        if profile not in by_profile:
            raise PageError(text.PICK.format(profile=profile, given=", ".join(by_profile) or "nothing"))
        return by_profile[profile]

    def dtype(self, dtype: str = "auto") -> Any:
        """The torch dtype of a `dtype` parameter; `auto` takes bf16 only where a small timed product is faster."""
        return machine.resolve_dtype(dtype, self._started()._device)

    def frugal(self) -> Any:
        """`with page.frugal(): train()` needs less memory, and a fifth more time."""
        self._started()
        return machine.frugal()

    def weights(self, weights: Any) -> None:
        """Record which weights were loaded (`.name .source .sha256 .pinned`); quality claims depend on it."""
        self._started()._weights_pinned = bool(weights.pinned)
        line = text.WEIGHTS.format(name=weights.name, source=weights.source, digest=str(weights.sha256)[:12])
        html, plain = cards.quiet(line if weights.pinned else f"{line} {text.WEIGHTS_OTHER}")
        payload = {key: getattr(weights, key) for key in ("name", "source", "sha256", "pinned")}
        show(plain, html, "weights", payload)

    def claim(self, claim_id: str, value: Any, note: str = "") -> None:
        """Judge one measured number by the ledger and show the card.

        Measured again (a cell run twice), the last value counts.
        Raises PageError for an unknown id, ClaimFailed (after the card) for a judged exact claim that does not hold.
        """
        self._started()
        try:
            claim = claims.find(claims.load_ledger(), claim_id)
            if claim.kind == "documented":
                raise ValueError(text.DOCUMENTED_CLAIM.format(id=claim_id))
            measured = claims.as_number(claim, value)
            holds, why = claim.judge(measured, self._parameters, self._defaults, self._weights_pinned, self._profile)
        except claims.LedgerError:
            raise
        except ValueError as error:
            raise PageError(str(error)) from None
        shown = int(measured) if measured.is_integer() and abs(measured) < 2**53 else measured
        payload = {
            "id": claim.id, "measured": shown, "bound": claim.bound, "kind": claim.kind, "verdict": claim.verdict,
            "statement": claim.statement, "holds": holds, "why": why, "note": note,
        }  # fmt: skip
        expected = claims.Bound.parse(claim.bound).words()
        self._results[claim.id] = payload | {"expected": expected}
        html, plain = cards.claim(payload, expected, claim.says, claim.reference)
        show(plain, html, "claim", payload)
        if holds is False and claim.kind == "exact":
            words = payload | {"measured": cards.number(shown), "bound": expected}
            raise ClaimFailed(text.CLAIM_FAILED.format(**words))

    def metric(self, name: str, value: Any, unit: str = "") -> None:
        """Record a number that no claim judges; sweeps collect it."""
        self._started()
        html, plain = cards.metric(name, value, unit)
        show(plain, html, "metric", {"name": name, "value": value, "unit": unit})

    def figure(self, fig: Figure, name: str, alt: str, takeaway: str) -> None:
        """Show a figure with alternative text and the one sentence to take away, then close it.

        Raises PageError for missing words or unlabelled axes.
        """
        self._started()
        figures.check(fig, name, alt, takeaway)
        png = figures.to_png(fig)
        figures.close(fig)
        show(alt, kind="figure", payload={"name": name, "alt": alt, "takeaway": takeaway}, png=png, alt=alt)
        html, plain = cards.caption(takeaway, alt)
        show(plain, html)

    def table(self, rows: Sequence[Mapping[str, Any]], caption: str = "", note: str = "") -> None:
        """Show rows (one dict a row, keys are the columns) as a table."""
        rows = list(rows)
        if not rows or not all(isinstance(row, Mapping) for row in rows):
            raise PageError(text.NO_ROWS.format(got=repr(rows)[:80]))
        html, plain = cards.table(rows, caption, note)
        show(plain, html)

    def explore(
        self,
        draw: Callable[..., Figure],
        *,
        name: str,
        alt: str,
        controls: Mapping[str, explore.Control],
        samples: Sequence[Mapping[str, Any]],
    ) -> None:
        """Let the reader move `controls` over `draw(**values) -> Figure`; the output also holds `samples` drawn."""
        self._started()
        explore.run(draw, name=name, alt=alt, controls=dict(controls), samples=[dict(sample) for sample in samples])

    def marked(self, content: str, spans: Sequence[Any], caption: str = "") -> None:
        """Show a text with passages marked; spans have start, end, type and rule."""
        self._started()
        html, plain = marked.card(content, spans, caption)
        show(plain, html)

    def explore_text(
        self,
        draw: Callable[..., cards.Card],
        *,
        name: str,
        controls: Mapping[str, Control],
        samples: Sequence[Mapping[str, Any]],
    ) -> None:
        """Let the reader move `controls` over `draw(**values) -> (html, plain)`; the output also holds `samples`."""
        self._started()
        marked.explore(draw, name=name, controls=dict(controls), samples=[dict(sample) for sample in samples])

    def task(self, exercise: Any) -> None:
        """Show what an exercise asks: its text stands with its checker, so that the two cannot drift apart."""
        self._started()
        show(exercise.task, markdown=exercise.task)

    def check(self, exercise: Any, answer: Any) -> None:
        """Check an answer: to do, not yet (with a diagnosis) or right. Never raises for what a learner wrote."""
        self._started()
        status, message = checks.judge(exercise, answer)
        html, plain = cards.exercise(exercise.name, status, message)
        diagnosis = message if status == "wrong" else None
        show(plain, html, "exercise", {"name": exercise.name, "state": status, "diagnosis": diagnosis})

    def hint(self, exercise: Any, n: int | None = None) -> None:
        """Show hint n of an exercise; without n the next one each time."""
        self._started()
        total = len(exercise.hints)
        wanted = min(self._hints.get(exercise.name, 0) + 1, total) if n is None else n
        if not isinstance(wanted, int) or not 1 <= wanted <= total:
            raise PageError(text.BAD_HINT.format(name=exercise.name, total=total, n=n))
        self._hints[exercise.name] = wanted
        html, plain = checks.hint_card(exercise, wanted)
        show(plain, html)

    def solution(self, exercise: Any) -> None:
        """Show one solution, folded away until it is opened."""
        self._started()
        html, plain = cards.fold(text.SOLUTION.format(name=exercise.name), exercise.solution)
        show(plain, html)

    def end(self) -> None:
        """Show this notebook's claims, how long it took and how much memory. Tag its cell `timing`."""
        began = self._started()._began or 0.0
        results = list(self._results.values())
        if results:
            rows = [
                {
                    "claim": result["id"],
                    "statement": result["statement"],
                    "expected": result["expected"],
                    "measured": cards.number(result["measured"]),
                    "": cards.state(result["holds"]),
                }
                for result in results
            ]
            html, plain = cards.table(rows, text.CLAIMS_CAPTION)
            show(plain, html)
        seconds, peak = time.perf_counter() - began, machine.peak_bytes()
        words = {"seconds": f"{seconds:.1f} s", "memory": cards.size(peak), "claims": _count(results)}
        html, plain = cards.quiet(text.FOOTER.format(**words))
        show(plain, html, "footer", {"seconds": round(seconds, 3), "peak_bytes": peak})

    def _started(self) -> Page:
        if self._began is None:
            raise PageError(text.NOT_STARTED)
        return self

    def _show_environment(self, threads: int) -> None:
        cores, versions = machine.cores(), machine.versions()
        named = [f"{name} {versions[name]}" for name in ("torch", "transformers") if name in versions]
        line = text.ENVIRONMENT.format(
            notebook=self._notebook, profile=self._profile, device=self._device, seed=self._seed,
            cores=f"{cores} core{'s' * (cores != 1)}", threads=f"{threads} thread{'s' * (threads != 1)}",
            versions=" · ".join([f"dslab {dslab.__version__}", f"Python {platform.python_version()}", *named]),
        )  # fmt: skip
        changed = {name: value for name, value in self._parameters.items() if value != self._defaults.get(name)}
        if changed:
            changes = ", ".join(f"{name} = {value!r}" for name, value in changed.items())
            line += ". " + text.CHANGED.format(changes=changes)
        html, plain = cards.quiet(line)
        payload = {
            "notebook": self._notebook, "profile": self._profile, "device": self._device, "seed": self._seed,
            "parameters": self._parameters, "versions": {"dslab": dslab.__version__, **versions},
            "python": platform.python_version(), "cores": cores, "threads": threads, "cpu": machine.processor(),
            "lock_sha256": machine.lock_sha256(), "commit": machine.commit(),
        }  # fmt: skip
        show(plain, html, "environment", payload)


def _count(results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return text.NO_CLAIMS
    judged = [result for result in results if result["holds"] is not None]
    words = text.COUNT_CLAIMS.format(held=sum(result["holds"] for result in judged), judged=len(judged))
    recorded = len(results) - len(judged)
    return f"{words}, {text.COUNT_RECORDED.format(recorded=recorded)}" if recorded else words


page = Page()
