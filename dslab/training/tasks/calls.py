"""Commands in plain words, to the JSON call of one of five functions.

    Ring me at 18:40 on Friday   ->   {"name": "alarm", "arguments": {"day": "friday", "time": "18:40"}}

Held out: the sentences, and the values of every slot that has many (names, cities, messages, goods, times, numbers).
Weekdays and units are few and come in both splits, as the functions' arguments do. The held-out sentences are of
another hand, who saw neither these files nor the task; those of its sentences that stood in training too were dropped.
"""

from __future__ import annotations

import calendar
import json
import random
from typing import Any

from dslab.training.tasks.item import Item, Split, draw

INSTRUCTION = "Call in JSON: alarm(day,time) message(to,text) weather(city,day) shop(item,count) convert(value,unit,to)"
DAYS = tuple(calendar.day_name)
UNITS = (("miles", "km"), ("pounds", "kg"), ("inches", "cm"), ("gallons", "liters"), ("euros", "dollars"))

SENTENCES: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "alarm": (
            "Ring me at {time} on {day}", "{day} I have to be up by {time}", "Alarm for {day}, {time}",
            "Make sure I am awake at {time} this {day}", "Please set my alarm to {time} {day}",
            "I must not sleep past {time} on {day}", "New alarm: {time}, {day}", "Can you ring at {time} {day}?",
            "Wake me {day} at {time}", "I need to get up at {time}, {day}",
            "Could you set an alarm for {time} on {day}?",
        ),
        "message": (
            "Tell {to} that {text}", "Message to {to}: {text}", "Send {to} a note that {text}",
            "Please inform {to} that {text}", "{to} should hear that {text}", "Text {to}: {text}",
            "Drop {to} a line that {text}", "Pass on to {to} that {text}",
            "Let {to} know that {text}", "Write {to}: {text}", "Could you say to {to} that {text}?",
        ),
        "weather": (
            "How is the weather in {city} on {day}?", "{city} forecast for {day}", "Will {day} be sunny in {city}?",
            "Is rain expected on {day} in {city}?", "What will it be like in {city} {day}?",
            "Is there snow in {city} on {day}?", "Weather report: {city}, {day}",
            "Should I expect wind in {city} {day}?",
            "Do I need a coat in {city} on {day}?", "{day} weather, {city}", "How warm is {city} this {day}?",
        ),
        "shop": (
            "Put {count} {item} on the list", "I want to buy {count} {item}", "Shopping: {item}, {count} of them",
            "Get {count} {item} for the kitchen", "We need {item}, {count} should do",
            "Pick up {count} {item} at the market", "Note for the store: {count} {item}",
            "{item} are missing, order {count}",
            "Add {count} {item} to my shopping", "We ran out of {item}, buy {count}",
            "Remind me to buy {count} {item}",
        ),
        "convert": (
            "How many {to} are {value} {unit}?", "{value} {unit} in {to}", "Convert {value} {unit} to {to}",
            "Give me {value} {unit} as {to}", "I have {value} {unit}, how many {to}?",
            "Tell me what {value} {unit} make in {to}", "{to} for {value} {unit}, please",
            "Turn {value} {unit} to {to}",
            "Change {value} {unit} into {to}", "Express {value} {unit} in {to}", "What are {value} {unit} in {to}?",
        ),
    },
    "test": {
        "alarm": (
            "Wake me up at {time} on {day}", "Can you set an alarm for {day} at {time}?", "Alarm {time} {day}",
            "I need to be up at {time} on {day}", "{day} at {time}, set an alarm",
            "Please make sure my alarm goes off {day} at {time}",
        ),
        "message": (
            "Could you let {to} know that {text}?", "Message for {to}: {text}", "{text}, send that to {to}",
            "Please write to {to} and say {text}",
        ),
        "weather": (
            "What's the weather like in {city} on {day}?", "Will it rain in {city} on {day}?",
            "Give me {day}'s forecast for {city}", "Weather for {day} in {city}, please",
            "I'm in {city} on {day}, how's the weather looking?",
        ),
        "shop": (
            "Add {count} {item} to my shopping list", "We need {count} {item}, put them on the list",
            "Could you please order {count} {item} for me?", "Put {item} on the list, {count} of them",
            "{count} {item} for the shopping list", "I'm out of {item}, get me {count}",
        ),
        "convert": (
            "How many {to} is {value} {unit}?", "Could you change {value} {unit} into {to} for me, please?",
            "I've got {value} {unit}, how much is that in {to}?", "In {to}, what's {value} {unit}?",
        ),
    },
}  # fmt: skip

#: A message is a subject and some news.
VALUES: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "to": (
            "Anna", "Ben", "Clara", "Daniel", "Eva", "Frank", "Gina", "Henry", "Ida", "James", "Kira", "Louis",
            "Maria", "Nick", "Paula", "Ralph", "Sarah", "Victor", "Ada", "Bruno", "Carmen", "Dora", "Emil", "Felix",
            "Greta", "Hanna", "Igor", "Jonas", "Karl", "Lena",
        ),
        "city": (
            "Paris", "Madrid", "Athens", "Boston", "Tokyo", "Cairo", "Oslo", "Denver", "Prague", "Milan", "Delhi",
            "Sydney", "Rome", "Seoul", "Houston", "Geneva", "Naples", "Austin", "Dallas", "Munich", "Zurich", "Lima",
            "Porto", "Seattle",
        ),
        "item": (
            "apples", "eggs", "lemons", "candles", "onions", "towels", "pens", "bananas", "rolls", "carrots",
            "batteries", "bottles", "peaches", "forks", "grapes", "stamps", "nuts", "cherries", "envelopes",
            "buttons", "pears", "blankets", "pencils", "melons",
        ),
        "subject": (
            "the bus", "dinner", "the door", "my phone", "the room", "lunch", "the lift", "the parcel", "our table",
            "the report", "the printer", "the pool", "his bike", "the garden",
        ),
        "news": (
            "is late", "is ready", "is free now", "needs repair", "was moved", "is open again", "has arrived",
            "is too small", "costs more this year", "was sold", "is in the hall", "will take an hour",
        ),
    },
    "test": {
        "to": (
            "Oscar", "Sofia", "Tom", "Vera", "Walter", "Lily", "Martin", "Julia", "Peter", "Rosa",
        ),
        "city": (
            "Berlin", "London", "Lisbon", "Chicago", "Dublin", "Vienna", "Toronto", "Miami",
        ),
        "item": (
            "oranges", "plates", "tomatoes", "cups", "potatoes", "cookies", "spoons", "mushrooms",
        ),
        "subject": (
            "the train", "the cake", "her car", "the office", "the kitchen", "the game",
        ),
        "news": (
            "has left", "is closed today", "looks great", "is almost done", "was cancelled",
        ),
    },
}  # fmt: skip


def make(n: int, split: Split, seed: int = 0) -> list[Item]:
    """`n` items; an answer is one JSON object, `{"name": ..., "arguments": {...}}`. Raises as `item.draw` does."""
    return draw(_one, n, split, seed)


def parsed_equal(output: str, answer: str) -> bool:
    """Whether both parse to the same call: white space and the order of keys don't matter; 3, "3" and 3.0 differ."""
    try:
        said = json.loads(output)
    except (ValueError, RecursionError):
        return False
    return _canonical(said) == _canonical(json.loads(answer))


def verdict(output: str, answer: str) -> str:
    """What became of a call: "right", "not JSON", "another function" or "wrong argument".

    >>> verdict('{"name": "alarm"', '{"name": "alarm", "arguments": {}}')
    'not JSON'
    """
    if parsed_equal(output, answer):
        return "right"
    try:
        said = json.loads(output)
    except (ValueError, RecursionError):
        return "not JSON"
    name = said.get("name") if isinstance(said, dict) else None
    return "wrong argument" if name == json.loads(answer)["name"] else "another function"


def _canonical(parsed: Any) -> str:
    return json.dumps(parsed, sort_keys=True)  # as text, since to Python 1 == True == 1.0


def _one(numbers: random.Random, split: Split) -> Item:
    name = numbers.choice(sorted(SENTENCES[split]))
    slots = _arguments(name, numbers, split)
    text = numbers.choice(SENTENCES[split][name]).format(**slots)
    arguments = {key: value.lower() if key == "day" else value for key, value in slots.items()}
    answer = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return Item(f"{INSTRUCTION}\n{text}", answer)


def _arguments(name: str, numbers: random.Random, split: Split) -> dict[str, Any]:
    """The slots of a function, in the order of its signature."""

    def pick(slot: str) -> str:
        return numbers.choice(VALUES[split][slot])

    if name == "alarm":
        return {"day": numbers.choice(DAYS), "time": _time(numbers, split)}
    if name == "message":
        return {"to": pick("to"), "text": f"{pick('subject')} {pick('news')}"}
    if name == "weather":
        return {"city": pick("city"), "day": numbers.choice(DAYS)}
    if name == "shop":
        return {"item": pick("item"), "count": _number(numbers, split, 2, 60)}
    unit, to = numbers.sample(numbers.choice(UNITS), 2)
    return {"value": _number(numbers, split, 2, 400), "unit": unit, "to": to}


def _number(numbers: random.Random, split: Split, low: int, high: int) -> int:
    """Numbers that leave 0 when divided by 4 are held out."""
    while True:
        number = numbers.randrange(low, high)
        if (number % 4 == 0) == (split == "test"):
            return number


def _time(numbers: random.Random, split: Split) -> str:
    minutes = (10, 25, 40, 55) if split == "test" else (0, 5, 15, 20, 30, 35, 45, 50)
    return f"{numbers.randrange(5, 24):02d}:{numbers.choice(minutes):02d}"
