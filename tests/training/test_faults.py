"""The usual mistakes, planted one by one: each must turn the named test red, or that test protects nothing."""

import types
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
import test_chat
import test_evaluation
import test_fitting
import test_loss
from small import llama, tokenizer

CHAT, LOSS, SAYS, FIT = test_chat, test_loss, test_evaluation, test_fitting
Check = Callable[[Path, pytest.MonkeyPatch], object]

FAULTS: dict[str, tuple[str, str, str, Check]] = {
    "prompt tokens in the loss": (
        "chat", "([IGNORED] * len(before) + after)", "(before + after)",
        lambda *_: CHAT.test_the_answer_and_its_end_are_learned_and_nothing_else(tokenizer()),
    ),
    "the end of turn not learned": (
        "chat", '["input_ids"], turn_end(tokenizer)]', '["input_ids"]]',
        lambda *_: CHAT.test_the_answer_and_its_end_are_learned_and_nothing_else(tokenizer()),
    ),
    "the template's special tokens twice": (
        "chat", 'list(tokenizer(text, add_special_tokens=False)["input_ids"])', '[1, *tokenizer(text)["input_ids"]]',
        lambda *_: CHAT.test_the_answer_and_its_end_are_learned_and_nothing_else(tokenizer()),
    ),
    "labels not shifted": (
        "loss", 'batch.pop("labels")[:, 1:]', 'batch.pop("labels")[:, :-1]',
        lambda *_: LOSS.test_equal_to_the_sum_by_hand_and_to_transformers(llama()),
    ),
    "labels shifted twice": (
        "loss", 'batch.pop("labels")[:, 1:]', 'batch.pop("labels").roll(-1, 1)[:, 1:]',
        lambda *_: LOSS.test_the_loss_knows_its_tokens(llama()),
    ),
    "the head everywhere": (
        "loss", 'if "logits_to_keep" in takes:', 'if "keep" in takes:',
        lambda *_: LOSS.test_the_head_runs_where_an_answer_is_predicted(llama()),
    ),
    "every label equal to the padding masked": (
        "collate", "list(row.labels) +", "[IGNORED if label == self.pad_id else label for label in row.labels] +",
        lambda *_: LOSS.test_the_end_of_turn_stays_learned_where_it_is_also_the_padding(),
    ),
    "the same, seen by the model that never stops": (
        "collate", "list(row.labels) +", "[IGNORED if label == self.pad_id else label for label in row.labels] +",
        lambda *_: LOSS.test_a_model_with_padding_equal_to_the_end_learns_to_stop(),
    ),
    "padding learned": (
        "collate", "[IGNORED] * short", "[self.pad_id] * short",
        lambda *_: LOSS.test_the_end_of_turn_stays_learned_where_it_is_also_the_padding(),
    ),
    "padding on the left without positions of its own": (
        "collate", "list(row.input_ids) + [self.pad_id] * short", "[self.pad_id] * short + list(row.input_ids)",
        lambda *_: LOSS.test_equal_to_the_sum_by_hand_and_to_transformers(llama()),
    ),
    "some examples twice before others once": (
        "collate", "torch.randperm(n, generator=generator)", "torch.randint(n, (n,), generator=generator)",
        lambda *_: LOSS.test_batches_take_every_example_before_any_comes_again(),
    ),
    "the mean of micro-batches' means": (
        "trainer", "answer_loss(model, inputs, num_items_in_batch)", "answer_loss(model, inputs) / 2",
        lambda *_: FIT.test_the_same_losses_as_the_loop(2),
    ),
    "dropout on for the held-out loss": (
        "loss", "model.eval()", "model.train()",
        lambda *_: LOSS.test_mean_loss_weighs_tokens_and_switches_dropout_off(),
    ),
    "dropout on while answering": (
        "loss", "model.eval()", "model.train()",
        lambda *_: SAYS.test_dropout_is_off_and_modes_come_back(tokenizer()),
    ),
    "positions that count the padding": (
        "evaluation", "(mask.cumsum(1) - 1).clamp(min=0)", "torch.arange(mask.shape[1]).expand_as(mask)",
        lambda *_: SAYS.test_equal_to_generate_one_by_one("learned positions", SAYS.SHOTS, tokenizer()),
    ),
    "the same, with rotary positions": (
        "evaluation", "(mask.cumsum(1) - 1).clamp(min=0)", "torch.arange(mask.shape[1]).expand_as(mask)",
        lambda *_: SAYS.test_equal_to_generate_one_by_one("llama", SAYS.SHOTS, tokenizer()),
    ),
    "padding attended to": (
        "evaluation", "here], 1)", "torch.ones_like(here)], 1)",
        lambda *_: SAYS.test_equal_to_generate_one_by_one("llama", (), tokenizer()),
    ),
    "windows that count the padding": (
        "evaluation", "type(layer) is DynamicLayer", "isinstance(layer, DynamicLayer)",
        lambda *_: SAYS.test_equal_to_generate_one_by_one("windows", SAYS.SHOTS[:1], tokenizer()),
    ),
    "nothing left of a prompt to go on from": (
        "evaluation", "shortest - 1)", "shortest)", lambda *_: SAYS.test_equal_prompts_and_single_ones(tokenizer()),
    ),
    "goes on when all have ended": (
        "evaluation", "or bool(ended.all())", "", lambda *_: SAYS.test_it_stops_when_all_have_ended(tokenizer()),
    ),
    "answers in the order of their lengths": (
        "evaluation", "zip(rows, made, strict=True)", "zip(range(at, at + len(rows)), made, strict=True)",
        lambda *_: SAYS.test_equal_to_generate_one_by_one("llama", (), tokenizer()),
    ),
    "a half-written checkpoint taken for whole": (
        "trainer", 'json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))', "pass",
        lambda folder, patch: FIT.test_a_stopped_run_goes_on_with_the_same_losses(4, True, 2, folder, patch),
    ),
    "resumed without its weights": (
        "trainer", "parameter.copy_(saved[name])", "pass",
        lambda folder, patch: FIT.test_a_stopped_run_goes_on_with_the_same_losses(4, False, 2, folder, patch),
    ),
    "the last weights instead of the best": (
        "trainer", "load_weights(self.model, Path(str(self.state.best_model_checkpoint)))", "pass",
        lambda folder, _: FIT.test_early_stop_keeps_the_best(folder),
    ),
}  # fmt: skip


def functions(space: dict, module: str) -> dict[str, types.FunctionType]:
    """Those a module defines, with the methods of its classes; what a decorator wraps, too."""
    found = {}
    for name, value in space.items():
        if getattr(value, "__module__", None) != module:
            continue
        members = vars(value) if isinstance(value, type) else {"": value}
        for inner, member in members.items():
            while isinstance(member, types.FunctionType) and hasattr(member, "__wrapped__"):
                member = member.__wrapped__
            if isinstance(member, types.FunctionType):
                found[f"{name}.{inner}"] = member
    return found


@contextmanager
def planted(file: str, original: str, changed: str):
    """The change in every function that is already in use, until the end of the block."""
    module = import_module(f"dslab.training.{file}")
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert source.count(original) == 1, f"{original!r} occurs {source.count(original)} times in {file}.py, not once"
    space = {"__name__": module.__name__, "__file__": module.__file__}
    with pytest.MonkeyPatch.context() as patch:
        exec(compile(source.replace(original, changed), module.__file__, "exec"), space)
        new = functions(space, module.__name__)
        for name, function in functions(vars(module), module.__name__).items():
            if function.__code__.co_freevars == new[name].__code__.co_freevars:
                patch.setattr(function, "__code__", new[name].__code__)
        yield


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_seen(name, tmp_path, monkeypatch):
    file, original, changed, check = FAULTS[name]
    with planted(file, original, changed), pytest.raises(Exception) as caught:  # noqa: PT011
        check(tmp_path, monkeypatch)
    assert not isinstance(caught.value, (SyntaxError, NameError, TypeError)), "the fault itself is broken"


def test_without_a_fault_the_same_tests_pass(tmp_path, monkeypatch):
    with planted("collate", "[IGNORED] * short", "[IGNORED] * (short)"):
        FAULTS["padding learned"][3](tmp_path, monkeypatch)
        FAULTS["the mean of micro-batches' means"][3](tmp_path, monkeypatch)
