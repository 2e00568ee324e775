"""`fit` is the ten-line loop, goes on after a kill as if nothing had been, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small import examples, llama
from transformers import get_cosine_schedule_with_warmup

from dslab.training import Collator, Encoded, answer_loss, batches, fit, mean_loss
from dslab.training.trainer import WEIGHTS, AnswerTrainer, last_checkpoint, trained

ROWS = examples(14)
RUN = {"steps": 6, "lr": 1e-2, "batch": 4, "micro_batch": 2, "seed": 5, "show": False}


def loop(model, steps=6, batch=4, lr=1e-2, seed=5, max_norm=1.0):
    """What the notebook shows."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=0.0)
    schedule, losses = get_cosine_schedule_with_warmup(optimizer, 1, steps), []
    for rows in batches(ROWS, steps, batch, seed):
        loss = answer_loss(model, Collator()(rows))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def upper_only(model):
    """Freeze all but the last block, as an adapter would."""
    model.requires_grad_(False)
    model.model.layers[-1].requires_grad_(True)
    return model


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("micro_batch", [1, 2, None])
def test_the_same_losses_as_the_loop(micro_batch):
    """Answers of 2 to 12 tokens: means of means would differ in the second digit."""
    by_hand, by_fit = llama(), llama()
    losses = loop(by_hand)
    history = fit(by_fit, ROWS, **(RUN | {"micro_batch": micro_batch}))
    assert history.losses == pytest.approx(losses, rel=2e-6)
    for name, value in weights(by_hand).items():
        torch.testing.assert_close(by_fit.get_parameter(name), value, rtol=1e-4, atol=1e-4)
    assert history.lrs == pytest.approx(
        [0.0, 1e-2, *(1e-2 * x for x in (0.904508, 0.654508, 0.345492, 0.095492))], rel=1e-4
    )
    assert history.seconds > 0
    assert history.losses[-1] < history.losses[0]


def test_trainer_comes_without_pandas():
    """transformers imports `datasets` for it wherever that is installed: 90 MB that nobody asked for."""
    said = "import sys, dslab.training.trainer; print(sorted({'datasets', 'pandas', 'pyarrow'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_frozen_parameters_stay_and_the_model_is_put_back(capfd):
    model = upper_only(llama())
    model.model.layers[0].train()
    before = weights(model)
    fit(model, ROWS, **RUN | {"show": True})
    for name, value in before.items():
        assert torch.equal(model.get_parameter(name), value) != name.startswith("model.layers.1"), name
    assert model.config.use_cache
    assert not model.training
    assert model.model.layers[0].training
    assert all(p.grad is None for p in model.parameters())
    assert capfd.readouterr() == ("", ""), "in a log nothing"


def test_no_files_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fit(llama(), ROWS, **RUN, evaluate_on=ROWS[:3], patience=1, every=2)
    assert list(tmp_path.iterdir()) == []


class Stop(Exception):
    pass


def stop_at(monkeypatch, step, mid_save):
    """Fail in the middle of a step, or between the parts of the checkpoint after it."""
    compute, save = AnswerTrainer.compute_loss, AnswerTrainer._save_optimizer_and_scheduler

    def compute_loss(self, *args, **options):
        if not mid_save and self.state.global_step + 1 == step:
            raise Stop
        return compute(self, *args, **options)

    def save_half(self, folder):
        if mid_save and self.state.global_step == step:
            raise Stop
        return save(self, folder)

    monkeypatch.setattr(AnswerTrainer, "compute_loss", compute_loss)
    monkeypatch.setattr(AnswerTrainer, "_save_optimizer_and_scheduler", save_half)


@pytest.mark.parametrize(("step", "mid_save", "kept"), [(1, False, 0), (4, False, 2), (4, True, 2), (2, True, 0)])
def test_a_stopped_run_goes_on_with_the_same_losses(step, mid_save, kept, tmp_path, monkeypatch):
    """With dropout: the random numbers go on too. The model that goes on starts from other trained weights."""
    whole = upper_only(llama(attention_dropout=0.3))
    expected = fit(whole, ROWS, **RUN, evaluate_on=ROWS[:3], every=2)
    with monkeypatch.context() as patch:
        stop_at(patch, step, mid_save)
        with pytest.raises(Stop):
            fit(upper_only(llama(attention_dropout=0.3)), ROWS, **RUN, out=tmp_path, evaluate_on=ROWS[:3], every=2)
    assert (last_checkpoint(tmp_path) or Path("checkpoint-0")).name == f"checkpoint-{kept}"
    model = upper_only(llama(attention_dropout=0.3))
    if kept:
        with torch.no_grad():
            for p in trained(model).values():
                p.normal_()
    history = fit(model, ROWS, **RUN, out=tmp_path, evaluate_on=ROWS[:3], every=2, resume=True)
    assert (history.losses, history.lrs, history.held_out) == (expected.losses, expected.lrs, expected.held_out)
    for name, value in weights(whole).items():
        assert torch.equal(model.get_parameter(name), value), name
    again = upper_only(llama())
    assert fit(again, ROWS, **RUN, out=tmp_path, evaluate_on=ROWS[:3], every=2, resume=True) == history
    assert torch.equal(again.model.layers[1].mlp.up_proj.weight, model.model.layers[1].mlp.up_proj.weight)


def test_checkpoints_hold_what_trains_only(tmp_path):
    from safetensors.torch import load_file

    model = upper_only(llama())
    fit(model, ROWS, **RUN, out=tmp_path, every=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-6", "run.json"]
    saved = load_file(tmp_path / "checkpoint-6" / WEIGHTS)
    assert saved.keys() == trained(model).keys()
    assert not (tmp_path / "checkpoint-6" / "model.safetensors").exists()


def test_a_run_is_not_mixed_with_another(tmp_path):
    fit(llama(), ROWS, **RUN, out=tmp_path)
    with pytest.raises(FileExistsError, match="resume=True goes on with it"):
        fit(llama(), ROWS, **RUN, out=tmp_path)
    for change, says in [({"lr": 1.0}, "lr was 0.01, is 1.0"), ({"seed": 6}, "seed was 5, is 6")]:
        with pytest.raises(ValueError, match=f"began otherwise: {says}"):
            fit(llama(), ROWS, **RUN | change, out=tmp_path, resume=True)
    with pytest.raises(ValueError, match="examples was"):
        fit(llama(), ROWS[1:], **RUN, out=tmp_path, resume=True)
    with pytest.raises(ValueError, match="parameters was"):
        fit(upper_only(llama()), ROWS, **RUN, out=tmp_path, resume=True)
    (tmp_path / "run.json").unlink()
    with pytest.raises(FileExistsError, match="checkpoints of something else"):
        fit(llama(), ROWS, **RUN, out=tmp_path, resume=True)


def test_early_stop_keeps_the_best(tmp_path):
    """Held out: the same prompts with other answers. Learning one set by heart, the model gets worse at the other."""
    seen, other = examples(4, seed=1), examples(4, seed=2)
    model = llama(initializer_range=0.02)
    settings = RUN | {"steps": 60, "lr": 2e-2, "schedule": "constant"}
    history = fit(model, seen, **settings, out=tmp_path, evaluate_on=other, every=4, patience=3)
    step, loss = history.best
    assert len(history.losses) == step + 12 < 60
    assert loss == min(history.held_out.values()) == pytest.approx(mean_loss(model, other), abs=1e-6)
    assert str(history).endswith(f"held out {loss:.3f} at best, step {step}")
    again = llama(initializer_range=0.02)
    assert fit(again, seen, **settings, out=tmp_path, evaluate_on=other, every=4, patience=3, resume=True) == history
    assert mean_loss(again, other) == pytest.approx(loss, abs=1e-6)


def test_checkpointing_changes_nothing_but_memory():
    """Also with all below the last block frozen: the gradient must still get there."""
    for prepare in (lambda model: model, upper_only):
        plain, thrifty = prepare(llama()), prepare(llama())
        expected = fit(plain, ROWS, **RUN)
        assert fit(thrifty, ROWS, **RUN, checkpointing=True).losses == pytest.approx(expected.losses, rel=1e-6)
        assert not any(getattr(module, "gradient_checkpointing", False) for module in thrifty.modules())


def test_a_loss_that_is_no_number_stops_before_it_spoils_the_weights():
    model = llama()
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("inf")
    before = weights(model)
    with pytest.raises(FloatingPointError, match="step 1: the loss is nan"):
        fit(model, ROWS, **RUN)
    for name, value in before.items():
        assert torch.equal(model.get_parameter(name), value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": 0}, "steps=0"),
        ({"micro_batch": 3}, "micro_batch that divides batch"),
        ({"lr": 0.0}, "lr above 0"),
        ({"warmup": 1.0}, "warmup=1.0"),
        ({"schedule": "cosinus"}, "one of cosine, linear, constant; got 'cosinus'"),
        ({"patience": 2}, "held-out examples"),
        ({"evaluate_on": ROWS, "patience": 0}, "patience=0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        fit(llama(), ROWS, **RUN | change)


def test_nothing_to_learn_or_to_train_is_refused():
    with pytest.raises(ValueError, match="no examples"):
        fit(llama(), [], **RUN)
    with pytest.raises(ValueError, match="requires a gradient"):
        fit(llama().requires_grad_(False), ROWS, **RUN)
    with pytest.raises(ValueError, match="no answer token"):
        fit(llama(), [Encoded([5, 6], [-100, -100])], **RUN)


CHILD = """
import os, signal, sys
sys.path.insert(0, {here!r})
from test_fitting import RUN, ROWS, AnswerTrainer, fit, llama, upper_only
save, place = AnswerTrainer.{name}, {step}
def die(self, *args, **options):
    if self.state.global_step == place:
        os.kill(os.getpid(), signal.SIGKILL)
    return save(self, *args, **options)
AnswerTrainer.{name} = die
fit(upper_only(llama(attention_dropout=0.3)), ROWS, **RUN, out={out!r}, every=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize(("name", "step"), [("compute_loss", 4), ("_save_rng_state", 4)])
def test_a_killed_process(name, step, tmp_path):
    expected = fit(upper_only(llama(attention_dropout=0.3)), ROWS, **RUN)
    code = CHILD.format(here=str(Path(__file__).parent), name=name, step=step, out=str(tmp_path / "run"))
    died = subprocess.run([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert died.returncode == -signal.SIGKILL
    kept = last_checkpoint(tmp_path / "run")
    assert kept.name == ("checkpoint-4" if name == "compute_loss" else "checkpoint-2")
    assert "finished" not in json.loads((tmp_path / "run" / "run.json").read_text())
    model = upper_only(llama(attention_dropout=0.3))
    assert fit(model, ROWS, **RUN, out=tmp_path / "run", every=2, resume=True).losses == expected.losses
