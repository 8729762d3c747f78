"""The object of an answer holds the values of its question, and nothing else."""

from __future__ import annotations

import json
import random
import re

from models.demo import corpus_objects
from models.demo.conversation import Turn, load


def made(frames: str = "train", count: int = 300, seed: int = 7) -> list[Turn]:
    rng = random.Random(seed)
    return [corpus_objects.turn(rng, frames) for _ in range(count)]


def test_objects_are_valid_json() -> None:
    assert all(json.loads(t.answer) == t.expect["json"] for t in made())


def test_every_value_stands_in_the_question() -> None:
    for turn in made():
        for value in turn.expect["json"].values():
            assert (str(value).lower() if value in (True, False) else str(value)) in turn.question


def test_values_are_of_their_fields_kind() -> None:
    numbers = {
        name for name, kind in load("objects")["fields"].items() if kind in ("age", "number")
    }
    for turn in made():
        for name, value in turn.expect["json"].items():
            assert (type(value) is int) == (name in numbers)
            assert name != "active" or type(value) is bool


def test_no_place_of_a_phrasing_is_left_unfilled() -> None:
    for frames in ("train", "held_out"):
        assert not any(re.search(r"[{}]", turn.question) for turn in made(frames))


def test_held_out_phrasings_are_those_of_the_other_list() -> None:
    assert not {t.question for t in made()} & {t.question for t in made("held_out")}
