"""JSON answers: the values of a question put into a small object."""

from __future__ import annotations

import json
import random
import string
from typing import Any

from models.demo import corpus_words as words
from models.demo.conversation import Turn, load


def _value(rng: random.Random, kind: str) -> Any:
    if kind == "name":
        return words.name(rng)
    if kind == "city":
        return words.city(rng)
    if kind == "word":
        return words.word(rng)
    if kind == "age":
        return rng.randint(1, 99)
    if kind == "number":
        return words.number(rng)
    return rng.choice(load("objects")["values"][kind])


def _in_words(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def turn(rng: random.Random, frames: str = "train") -> Turn:
    """A question that names fields and values, and the object that holds them."""
    data = load("objects")
    if rng.random() < 0.4:
        frame = rng.choice(data["sentences"][frames])
        names = [name for _, name, _, _ in string.Formatter().parse(frame) if name]
        order = sorted(names, key=["name", "age", "city", "item", "count"].index)
        fields = {n: _value(rng, data["fields"][n]) for n in order}
        question = frame.format(**fields)
    else:
        chosen = rng.sample(list(data["fields"]), rng.randint(1, 3))
        fields = {n: _value(rng, data["fields"][n]) for n in chosen}
        pair, between = rng.choice(data["joins"]["pair"]), rng.choice(data["joins"]["between"])
        pairs = between.join(pair.format(k=k, v=_in_words(v)) for k, v in fields.items())
        question = rng.choice(data["frames"][frames]).format(pairs=pairs)
    answer = json.dumps(fields, ensure_ascii=False)
    return Turn("json", question, answer, {"json": fields})
