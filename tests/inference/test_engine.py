"""The engine gives each request the tokens it would have alone, whatever runs beside it, and keeps its pool whole."""

import pytest
import torch
from tiny_llamas import VOCABULARY, prompt, theirs, tiny_llama, tiny_lm

from dslab.inference.cache import CacheFull
from dslab.inference.decoding import generate
from dslab.inference.engine import Engine
from dslab.inference.sampling import Sampling

MIXED = [(prompt(3 + 11 * i % 53, i), 2 + 13 * i % 23) for i in range(16)]


@pytest.fixture(scope="module")
def alone():
    return [generate(tiny_llama(), ids, new) for ids, new in MIXED]


def served(engine, requests, **settings):
    ids = [engine.add(ids, new, **settings) for ids, new in requests]
    out = engine.run()
    assert sorted(out) == ids
    assert engine.pool.used == 0
    return [out[id] for id in ids]


@pytest.mark.parametrize("settings", [{}, {"max_batch": 3}, {"chunk": 7}, {"block": 4, "chunk": 20}], ids=str)
def test_mixed_requests_have_the_tokens_they_have_alone(settings, alone):
    engine = Engine(tiny_lm(), **settings)
    assert served(engine, MIXED) == alone
    assert served(engine, MIXED[::-1]) == alone[::-1]  # now much is found in the pool
    fed = [work for step in engine.timeline for work in step.work]
    assert any(work.kind == "shared" for work in fed)
    assert max(len(step.work) for step in engine.timeline) <= 2 * settings.get("max_batch", 16)


def test_alone_is_what_transformers_gives(alone):
    assert [theirs(tiny_lm(), ids, new) for ids, new in MIXED[::4]] == alone[::4]
    assert [Engine(tiny_llama()).generate(ids, new) for ids, new in MIXED[::4]] == alone[::4]


def test_an_end_token_stops_one_request_and_not_the_others():
    ids = prompt(8, 1)
    free = generate(tiny_llama(eos=None), ids, 30)
    eos = next(free[i] for i in range(5, 30) if free[i] not in free[:i])
    engine, cut = Engine(tiny_llama(eos=eos)), free[: free.index(eos) + 1]
    assert engine.generate(ids, max_new_tokens=30) == cut
    assert engine.generate(ids, max_new_tokens=30, ignore_eos=True) == free
    a, b = engine.add(ids, 30), engine.add(ids, 30, ignore_eos=True)
    c = engine.add(ids, 30, stop_ids=[free[2]], ignore_eos=True)
    out = engine.run()
    assert (out[a], out[b], out[c]) == (cut, free, free[: free.index(free[2]) + 1])


def test_each_request_samples_by_its_own_settings_and_seed():
    engine = Engine(tiny_llama(), chunk=16)
    settings = [Sampling(temperature=0.5 + i / 4, top_k=10 * i, top_p=1 - i / 20, seed=i % 3) for i in range(6)]
    settings.append(Sampling(repetition_penalty=1.6))
    requests = [(prompt(5 + 9 * i, i), 12, sampling) for i, sampling in enumerate(settings)]
    ids = [engine.add(ids, new, sampling=sampling) for ids, new, sampling in requests]
    out = engine.run()
    for id, (text, new, sampling) in zip(ids, requests, strict=True):
        assert out[id] == generate(tiny_llama(), text, new, sampling=sampling)


def test_tokens_stream_as_they_come():
    engine, heard = Engine(tiny_llama()), []
    a = engine.add(*MIXED[3], on_token=lambda id, token: heard.append((id, token)))
    engine.add(*MIXED[4])
    first = engine.step()
    assert heard == [pair for pair in first if pair[0] == a]
    assert len(heard) == 1
    engine.run()
    assert [token for _, token in heard] == generate(tiny_llama(), *MIXED[3])
    assert engine.step() == []


def test_a_shared_prefix_is_held_and_computed_once():
    """96 tokens in blocks of 16: six blocks for all. Tails of 5 and 4 new tokens: 104 fed, so one block more each."""
    prefix = prompt(96, 40)
    requests = [([*prefix, *prompt(5, 50 + i)], 4) for i in range(16)]
    engine = Engine(tiny_llama(), blocks=6 + 16)
    assert served(engine, requests, ignore_eos=True) == [
        generate(tiny_llama(), *request, ignore_eos=True) for request in requests
    ]
    assert max(step.used for step in engine.timeline) == 6 + 16
    work = [work for step in engine.timeline for work in step.work]
    assert sum(w.count for w in work if w.kind == "prefill") == 96 + 16 * 5
    assert sum(w.count for w in work if w.kind == "shared") == 15 * 96
    assert sum(w.count for w in work if w.kind == "decode") == 16 * 3


def test_preemption_changes_no_token(alone):
    engine = Engine(tiny_llama(), blocks=16, block=8, preempt=True)
    sampling = Sampling(temperature=1.0, seed=4)
    assert served(engine, MIXED) == alone
    fed = sum(work.count for step in engine.timeline for work in step.work if work.kind != "shared")
    assert fed > sum(len(ids) + new - 1 for (ids, _), new in zip(MIXED, map(len, alone), strict=True))  # some twice
    drawn = [generate(tiny_llama(), *request, sampling=sampling) for request in MIXED]
    assert served(engine, MIXED, sampling=sampling) == drawn


def test_a_cancelled_request_frees_its_blocks_and_leaves_the_rest(alone):
    engine = Engine(tiny_llama())
    ids = [engine.add(*request) for request in MIXED[:4]]
    engine.step()
    held = engine.pool.used
    said = engine.cancel(ids[1])
    assert said == alone[1][: len(said)]
    assert engine.pool.used < held
    out = engine.run()
    assert out == {ids[i]: alone[i] for i in (0, 2, 3)}
    assert engine.pool.used == 0
    with pytest.raises(KeyError, match=f"no request {ids[1]}"):
        engine.cancel(ids[1])


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_an_error_in_a_pass_loses_nothing(error, alone, monkeypatch):
    engine = Engine(tiny_llama(), chunk=40)
    ids = [engine.add(*request) for request in MIXED]
    for _ in range(5):
        engine.step()
    calls, append = [0], type(engine.pool).layer

    def failing(self, layer, *tensors):
        calls[0] += 1
        if calls[0] == 2:  # in the second layer: the first has been written to
            raise error("no more")
        return append(self, layer, *tensors)

    with monkeypatch.context() as patch:
        patch.setattr(type(engine.pool), "layer", failing)
        with pytest.raises(error):
            engine.step()
    assert engine.pool.used == 0
    out = engine.run()
    assert [out[id] for id in ids] == alone
    assert engine.pool.used == 0


def test_a_listener_that_raises_loses_only_its_own_request(alone):
    engine = Engine(tiny_llama())

    def broken(id, token):
        raise OSError("the client has gone")

    ids = [engine.add(*MIXED[0]), engine.add(*MIXED[1], on_token=broken), engine.add(*MIXED[2])]
    with pytest.raises(OSError, match="gone"):
        engine.run()
    out = engine.run()
    assert out == {ids[0]: alone[0], ids[2]: alone[2]}
    assert engine.pool.used == 0


def test_ctrl_c_between_two_tokens_loses_nothing(alone):
    engine, heard = Engine(tiny_llama()), []

    def interrupted(id, token):
        heard.append(token)
        if len(heard) in (1, len(alone[1])):  # at its first and at its last token
            raise KeyboardInterrupt

    ids = [engine.add(*MIXED[0]), engine.add(*MIXED[1], on_token=interrupted), engine.add(*MIXED[2])]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            engine.run()
    out = engine.run()
    assert [out[id] for id in ids] == alone[:3]
    assert heard == alone[1]
    assert engine.pool.used == 0


def test_a_listener_may_cancel_and_add():
    engine, extra, heard = Engine(tiny_llama()), [], []
    a = engine.add(prompt(5), 9, ignore_eos=True, on_token=lambda id, token: extra.append(engine.cancel(id)))
    b = engine.add(prompt(6), 3, ignore_eos=True, on_token=lambda id, token: extra.append(engine.add(prompt(4), 1)))
    c = engine.add(prompt(7), 9, ignore_eos=True, on_token=lambda id, token: engine.cancel(d))
    d = engine.add(prompt(8), 9, ignore_eos=True, on_token=lambda id, token: heard.append(token))
    assert [id for id, _ in engine.step()] == [a, b, c]
    engine.cancel(c)
    out = engine.run()
    assert not {a, c, d} & set(out)
    assert not heard
    assert len(out) == 1 + 3
    assert len(out[b]) == 3
    assert engine.pool.used == 0


@pytest.mark.parametrize(
    ("ids", "new", "error", "says"),
    [
        ([], 5, ValueError, "empty"), ([1, VOCABULARY], 5, ValueError, "vocabulary"),
        ([1], 0, ValueError, "max_new_tokens"), ([1] * 300, 5, ValueError, "context"),
        ([1] * 80, 5, CacheFull, "more blocks"), (torch.zeros(2, 2, dtype=torch.long), 1, ValueError, "one prompt"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_nothing_is_queued(ids, new, error, says, alone):
    engine = Engine(tiny_llama(), blocks=5)
    with pytest.raises(error, match=says):
        engine.add(ids, new)
    assert served(engine, MIXED[:1]) == alone[:1]


def test_a_model_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected"):
        Engine(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="at least 1"):
        Engine(tiny_llama(), max_batch=0)


def test_without_a_compiler_it_says_so_and_works(alone, monkeypatch, tmp_path):
    monkeypatch.setenv("DSLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    engine = Engine(tiny_llama(), compile=True)
    assert "compiler" in engine.why_not
    assert engine.generate(*MIXED[3]) == alone[3]
    assert served(engine, MIXED[:4]) == alone[:4]
    assert Engine(tiny_llama()).why_not is None


def test_compiled_single_tokens_are_the_same(alone):
    engine = Engine(tiny_llama(), compile=True)
    if engine.why_not:
        pytest.skip(engine.why_not)
    assert [engine.generate(*request) for request in MIXED[:4]] == alone[:4]
    assert served(engine, MIXED) == alone
