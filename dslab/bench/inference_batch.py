"""Many requests at once beside transformers' two ways of it; a shared beginning; and guessing ahead by copying.

Without padding, a batch computes the tokens that were asked for. So padded over useful tokens bounds what continuous
batching can gain over a padded `generate`, where a token's cost does not depend on how many are computed together.
"""

from __future__ import annotations

import random
from typing import Any

from dslab.bench import inference_subjects as subjects
from dslab.bench.measure import interleaved
from dslab.bench.report import Row, Table

REQUESTS, PROMPT, NEW = 16, (16, 82), (4, 24)  # lengths from and to, drawn evenly
SHARED, TAIL, AFTER, BLOCK = 96, 12, 4, 16
WRITTEN = 128  # tokens at most of the copy of this list
LIST = """Ada Lovelace, 1815, London
Alan Turing, 1912, London
Grace Hopper, 1906, New York
Edsger Dijkstra, 1930, Rotterdam
Barbara Liskov, 1939, Los Angeles
Donald Knuth, 1938, Milwaukee
Tony Hoare, 1934, Colombo
"""
REPEATS = 5
OURS, PADDED, THEIRS = "engine", "padded generate", "generate_batch"


def requests() -> list[tuple[list[int], int]]:
    """(prompt, new tokens) of each request: pieces of the text, of mixed lengths."""
    chance = random.Random(0)
    sizes = [(chance.randint(*PROMPT), chance.randint(*NEW)) for _ in range(REQUESTS)]
    words = subjects.text(REQUESTS * PROMPT[1])
    return [(words[i * PROMPT[1] :][:size], new) for i, (size, new) in enumerate(sizes)]


def mixed(table: Table) -> None:
    """Rows `batch of 16, ...`: equal tokens, share of the padding bound, beside `generate_batch`."""
    asked = requests()
    most, longest, prompts = max(new for _, new in asked), max(len(p) for p, _ in asked), sum(len(p) for p, _ in asked)
    useful = prompts + sum(new for _, new in asked)
    bound = REQUESTS * (longest + most) / useful
    ways = {OURS: lambda: _engine(asked), PADDED: lambda: _padded(asked), THEIRS: lambda: _generate_batch(asked)}
    texts = {name: way() for name, way in ways.items()}
    same = sum(ours == padded for ours, padded in zip(texts[OURS], texts[PADDED], strict=True))
    taken = interleaved(ways, REPEATS, warmup=0)
    table.seconds |= {f"batch of 16, CPU s, {name}": seconds for name, seconds in taken.items()}
    table.seconds["batch of 16, padded over useful tokens"] = bound
    table.seconds["batch of 16, padded over useful new tokens"] = REQUESTS * most / (useful - prompts)
    table.seconds["batch of 16, useful tokens"] = useful
    ratio = taken[PADDED] / taken[OURS]
    table.seconds["batch of 16, over padded generate"] = ratio
    table.rows += [
        Row("batch of 16, requests with the tokens of padded generate", same, ">=", REQUESTS),
        Row("batch of 16, share of the padding bound", ratio / bound, ">=", 0.75, 0.95),
        Row("batch of 16, over transformers' generate_batch", taken[THEIRS] / taken[OURS], ">=", 1.0, 1.5),
    ]


def _engine(asked: list[tuple[list[int], int]]) -> list[list[int]]:
    return _run(_made(), asked)


def _made() -> Any:
    from dslab.inference import Engine

    return Engine(subjects.llama(), max_batch=REQUESTS, block=BLOCK)


def _run(engine: Any, asked: list[tuple[list[int], int]]) -> list[list[int]]:
    ids = [engine.add(prompt, max_new_tokens=new, ignore_eos=True) for prompt, new in asked]
    done = engine.run()
    return [done[id] for id in ids]


def _padded(asked: list[tuple[list[int], int]]) -> list[list[int]]:
    """Prompts padded on the left to the longest, and all written as far as the one that asks for most."""
    import torch

    lm = subjects.base()[0]
    longest, most = max(len(prompt) for prompt, _ in asked), max(new for _, new in asked)
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt, _ in asked])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt, _ in asked])
    out = lm.generate(ids, attention_mask=mask, max_new_tokens=most, min_new_tokens=most, do_sample=False)
    return [row[longest : longest + new].tolist() for row, (_, new) in zip(out, asked, strict=True)]


def _generate_batch(asked: list[tuple[list[int], int]]) -> list[list[int]]:
    """transformers' continuous batching, told each request's own length."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    from dslab.models.loading import quiet

    lm = subjects.base()[0]
    settings = GenerationConfig(
        do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=max(n for _, n in asked)
    )
    memory = ContinuousBatchingConfig(page_size=32, num_blocks=256, max_batch_tokens=512)
    found: dict[str, list[int]] = {}
    with quiet(), lm.continuous_batching_context_manager(
        generation_config=settings, continuous_batching_config=memory, block=True, timeout=5
    ) as manager:  # fmt: skip
        ids = [manager.add_request(prompt, max_new_tokens=new) for prompt, new in asked]
        while len(found) < len(asked):
            if (result := manager.get_result(timeout=1)) is not None and result.is_finished():
                found[result.request_id] = list(result.generated_tokens)
    return [found[id] for id in ids]


def prefix(table: Table) -> None:
    """Rows `shared prefix of 96: ...`: blocks at the peak, CPU time beside requests that share nothing."""
    words = subjects.text(REQUESTS * (SHARED + TAIL))
    pieces = [words[i * (SHARED + TAIL) :][: SHARED + TAIL] for i in range(REQUESTS)]
    sharing = [(words[:SHARED] + piece[SHARED:], AFTER) for piece in pieces]
    apart = [(piece, AFTER) for piece in pieces]
    peaks, taken = {}, {}
    for name, asked in (("shared", sharing), ("apart", apart)):
        engine = _made()
        _run(engine, asked)
        peaks[name] = max(step.used for step in engine.timeline)
    taken = interleaved({"shared": lambda: _engine(sharing), "apart": lambda: _engine(apart)}, REPEATS, warmup=0)
    each = -(-(SHARED + TAIL + AFTER - 1) // BLOCK)  # the last token is never fed
    exact = SHARED // BLOCK + REQUESTS * (each - SHARED // BLOCK)
    table.seconds |= {f"prefix of {SHARED}, CPU s, {name}": seconds for name, seconds in taken.items()}
    table.seconds |= {f"prefix of {SHARED}, peak blocks, {name}": peak for name, peak in peaks.items()}
    table.rows += [
        Row(f"shared prefix of {SHARED}: peak blocks beyond the exact number", abs(peaks["shared"] - exact), "<=", 0),
        Row(f"shared prefix of {SHARED}: CPU saved, times", taken["apart"] / taken["shared"], ">=", 2.0),
    ]


def lookup(table: Table) -> None:
    """Rows `prompt lookup, copying: ...`: end to end, and that nothing is lost."""
    from dslab.inference import generate, speculative

    llama, prompt = subjects.llama(), copying()
    plain, guessed = (lambda: generate(llama, prompt, WRITTEN)), (lambda: speculative(llama, prompt, WRITTEN, k=8))
    result, tokens = guessed(), plain()
    taken = interleaved({"plain": plain, "lookup": guessed}, REPEATS, warmup=0)
    table.seconds |= {f"copying, CPU s, {name}": seconds for name, seconds in taken.items()}
    table.seconds["copying, drafts that stand"] = result.accepted / max(1, result.proposed)
    written = set(subjects.base()[1].decode(tokens).splitlines())
    table.seconds["copying, lines written right"] = len(written & set(LIST.splitlines()))
    table.seconds["copying, tokens a pass"] = len(result.tokens) / result.target_calls
    wrong = sum(a != b for a, b in zip(tokens, result.tokens, strict=False)) + abs(len(tokens) - len(result.tokens))
    table.rows += [
        Row("prompt lookup, copying: tokens unlike plain greedy", wrong, "<=", 0),
        Row("prompt lookup, copying: over plain, end to end", taken["plain"] / taken["lookup"], ">=", 1.5, 2.5),
    ]


def copying() -> list[int]:
    """A request to write a list again."""
    talk = [{"role": "user", "content": f"Repeat this list:\n\n{LIST}"}]
    ids: list[int] = subjects.base()[1].apply_chat_template(talk, add_generation_prompt=True, return_dict=False)
    return ids


def padded_lanes(requests: list[tuple[list[int], int]], size: int) -> tuple[dict[str, list[tuple[int, int, str]]], int]:
    """What padded batches of `size` do with each request (prompt, tokens to write): (first pass, passes, what) pieces.

    All of a batch read their prompts in one pass, then all go on until the longest answer is done. Returns the lanes by
    the request's number, for `book.lanes.lanes`, and how many passes it takes in all.
    """
    drawn: dict[str, list[tuple[int, int, str]]] = {}
    now = 0
    for start in range(0, len(requests), size):
        group = requests[start : start + size]
        longest = max(n for _, n in group)
        for place, (_, n) in enumerate(group, start):
            drawn[str(place)] = [(now, 1, "prefill"), (now + 1, n - 1, "decode"), (now + n, longest - n, "padding")]
        now += longest
    return drawn, now
