"""Small talk and plain facts: capitals, opposites, colours, days, legs, sounds, lengths."""

from __future__ import annotations

import random
from typing import Any

from models.demo.conversation import Turn, load
from models.demo.noise import vary


def fact_turn(table: dict[str, Any], frame: str, key: str, value: str) -> Turn:
    """Ask for one pair of a table with one frame."""
    answer = table["answer"].format(key, value)
    return Turn("plain", frame.format(key), answer[0].upper() + answer[1:], {"terms": [value]})


def plain(rng: random.Random) -> Turn:
    """A question about a plain fact; tables are drawn by the number of their pairs."""
    tables = list(load("plain").values())
    table = rng.choices(tables, weights=[len(t["pairs"]) for t in tables])[0]
    key, value = rng.choice(list(table["pairs"].items()))
    turn = fact_turn(table, rng.choice(table["train"]), key, value)
    return Turn(turn.category, vary(rng, turn.question, 0.5), turn.answer, turn.expect)


def smalltalk(rng: random.Random) -> Turn:
    """A greeting, thanks, a joke and the like."""
    talk = rng.choice(list(load("smalltalk").values()))
    question = vary(rng, rng.choice(talk["train"]), 0.6)
    return Turn("smalltalk", question, talk["answer"], {"terms": talk["must"]})
