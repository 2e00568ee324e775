"""Tasks: seeded, held out in templates and values, and scored by a program."""

from __future__ import annotations

import json
import random
import re
from datetime import date

import pytest

from dslab.training.tasks import TASKS, Item, calls, dates
from dslab.training.tasks.item import draw

NAMES = sorted(TASKS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_seed_gives_the_same_different_items(name: str, split: str) -> None:
    make = TASKS[name].make
    items = make(240, split, seed=1)
    assert items == make(240, split, seed=1)
    assert items[:50] == make(50, split, seed=1)
    assert items != make(240, split, seed=2)
    assert len({item.prompt for item in items}) == 240
    assert all(item.prompt and item.answer for item in items)


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_counts_as_right_and_another_does_not(name: str) -> None:
    task = TASKS[name]
    items = task.make(200, "test", seed=0)
    assert all(task.score(item.answer, item.answer) for item in items)
    other = next(item.answer for item in items if item.answer != items[0].answer)
    assert not task.score(other, items[0].answer)
    assert not task.score(items[0].answer + " and more", items[0].answer)
    assert not task.score("", items[0].answer)


@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="split must be one of train, test; got 'dev'"):
        TASKS[name].make(3, "dev")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n >= 1"):
        TASKS[name].make(0, "train")


def test_more_items_than_exist_are_refused() -> None:
    def one(numbers: random.Random, split: str) -> Item:
        return Item(str(numbers.randrange(7)), split)

    assert len(draw(one, 7, "test", 0)) == 7
    with pytest.raises(ValueError, match="only about 7 different test items exist; 8 were asked for"):
        draw(one, 8, "test", 0)


def test_templates_are_disjoint() -> None:
    assert not set(dates.SENTENCES["train"]) & set(dates.SENTENCES["test"])
    day = date(2011, 3, 5)
    assert not {form(day) for form in dates.FORMS["train"]} & {form(day) for form in dates.FORMS["test"]}
    for name, sentences in calls.SENTENCES["train"].items():
        assert not set(sentences) & set(calls.SENTENCES["test"][name])


def test_years_of_held_out_dates_are_never_trained_on() -> None:
    years = {split: {item.answer[:4] for item in dates.make(600, split)} for split in ("train", "test")}  # type: ignore[arg-type]
    assert len(years["test"]) > 10
    assert not years["train"] & years["test"]


def test_values_of_held_out_calls_are_never_trained_on() -> None:
    for slot, trained in calls.VALUES["train"].items():
        assert not set(trained) & set(calls.VALUES["test"][slot])
    seen = {split: values(calls.make(2000, split)) for split in ("train", "test")}  # type: ignore[arg-type]
    assert seen["train"].keys() == seen["test"].keys()
    shared = {slot for slot in seen["train"] if seen["train"][slot] & seen["test"][slot]}
    assert shared == {"alarm.day", "weather.day", "convert.unit", "convert.to"}  # few values; both splits need them all


def values(items: list[Item]) -> dict[str, set[object]]:
    found: dict[str, set[object]] = {}
    for item in items:
        call = json.loads(item.answer)
        for slot, value in call["arguments"].items():
            found.setdefault(f"{call['name']}.{slot}", set()).add(value)
    return found


def test_a_date_can_be_read_off_its_sentence() -> None:
    for split in ("train", "test"):
        for item in dates.make(300, split):  # type: ignore[arg-type]
            day, text = date.fromisoformat(item.answer), item.prompt.removeprefix(dates.INSTRUCTION)
            assert str(day.year) in text
            assert re.search(rf"\b{day:%b}", text)
            assert re.search(rf"\b{day.day}(st|nd|rd|th)?\b", text)


def test_a_call_holds_what_its_sentence_says_and_fits_its_function() -> None:
    signatures = {name: arguments.split(",") for name, arguments in re.findall(r"(\w+)\(([\w,]+)\)", calls.INSTRUCTION)}
    for split in ("train", "test"):
        for item in calls.make(500, split):  # type: ignore[arg-type]
            call = json.loads(item.answer)
            assert list(call["arguments"]) == signatures[call["name"]]
            text = item.prompt.removeprefix(calls.INSTRUCTION).lower()
            assert all(str(value).lower() in text for value in call["arguments"].values())


def test_ordinals() -> None:
    written = " ".join(dates.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 31))
    assert written == "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 31st"


def test_parsed_equality_forgives_space_and_order_but_no_value() -> None:
    answer = '{"name": "shop", "arguments": {"item": "cups", "count": 3}}'
    assert calls.parsed_equal('\n{"arguments":{"count":3,"item":"cups"},"name":"shop"} ', answer)
    for wrong in (
        answer.replace("3", '"3"'), answer.replace("3", "true"), answer.replace("cups", "cup"), answer[:-1],
        answer + answer, f"Sure: {answer}", "[]", "shop(cups, 3)",
        answer.replace("3", "1").replace("1", "true"), "[" * 100_000,
    ):  # fmt: skip
        assert not calls.parsed_equal(wrong, answer)
    assert not calls.parsed_equal(answer.replace("3", "true"), answer.replace("3", "1"))  # Python says True == 1


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (' {"arguments": {"count": 3, "item": "cups"}, "name": "shop"}', "right"),
        ('{"name": "shop", "arguments": {"item": "cups", "count": 4}}', "wrong argument"),
        ('{"name": "shop"}', "wrong argument"),
        ('{"name": "alarm", "arguments": {"item": "cups", "count": 3}}', "another function"),
        ('["shop", "cups", 3]', "another function"),
        ("3", "another function"),
        ("Sure! Three cups.", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_the_verdict_says_what_became_of_a_call(output: str, said: str) -> None:
    assert calls.verdict(output, '{"name": "shop", "arguments": {"item": "cups", "count": 3}}') == said
