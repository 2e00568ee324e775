"""In a notebook one output grows and one remains; what it shows is well-formed and says itself in words."""

from xml.etree import ElementTree

import pytest
from small import examples, llama

from dslab.training import fit, live


class Handle:
    def __init__(self):
        self.shown = []

    def update(self, data, raw):
        assert raw
        self.shown.append(data)


@pytest.fixture
def notebook(monkeypatch):
    handle = Handle()

    def display(data, raw, display_id):
        assert raw
        assert display_id
        handle.shown.append(data)
        return handle

    monkeypatch.setattr(live, "_in_kernel", lambda: True)
    monkeypatch.setattr(live, "EVERY", 0.0)
    monkeypatch.setattr("IPython.display.display", display)
    return handle


def test_one_output_grows_and_the_finished_curve_remains(notebook, capfd):
    rows = examples(6)
    history = fit(llama(), rows, steps=4, lr=1e-3, batch=2, micro_batch=1, evaluate_on=rows[:2], every=2)
    first, *middle, last = notebook.shown
    assert first["text/plain"] == "starting"
    assert len(middle) == 4
    assert middle[1]["text/plain"].startswith(f"step 2 of 4, loss {history.losses[1]:.3f}, ")
    assert '<progress max="4" value="2">' in middle[1]["text/html"]
    assert last["text/plain"] == str(history)
    assert "<progress" not in last["text/html"]
    assert last["text/html"].count("<circle") == 2
    for data in middle:
        ElementTree.fromstring(f"<div>{data['text/html']}</div>")
    assert capfd.readouterr() == ("", "")


def test_show_false_shows_nothing(notebook):
    fit(llama(), examples(3), steps=1, lr=1e-3, batch=1, micro_batch=1, show=False)
    assert notebook.shown == []


def test_an_error_leaves_its_word(notebook):
    broken = llama()
    broken.lm_head.weight.data[0, 0] = float("inf")
    with pytest.raises(FloatingPointError):
        fit(broken, examples(3), steps=2, lr=1e-3, batch=1, micro_batch=1)
    assert notebook.shown[-1]["text/plain"] == "stopped before the end"
