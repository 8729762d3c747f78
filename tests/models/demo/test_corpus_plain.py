"""Facts are told as the tables have them."""

from __future__ import annotations

import random

from models.demo import corpus_plain
from models.demo.conversation import load
from models.demo.graders import grade


def test_a_fact_is_told_with_a_capital_letter() -> None:
    table = {"answer": "{} is {}."}
    turn = corpus_plain.fact_turn(table, "What colour is {}?", "the sky", "blue")
    assert turn.question == "What colour is the sky?"
    assert turn.answer == "The sky is blue."
    assert turn.expect == {"terms": ["blue"]}


def test_a_table_may_tell_the_value_before_the_key() -> None:
    turn = corpus_plain.fact_turn(load("plain")["after"], "After {}?", "Monday", "Tuesday")
    assert turn.answer == "Tuesday comes after Monday."


def test_every_pair_of_every_table_has_an_answer_that_its_grader_takes() -> None:
    for table in load("plain").values():
        for key, value in table["pairs"].items():
            turn = corpus_plain.fact_turn(table, table["train"][0], key, value)
            assert key in turn.question
            assert grade(turn.answer, turn.expect), turn


def test_every_answer_of_small_talk_holds_what_it_must() -> None:
    for talk in load("smalltalk").values():
        assert grade(talk["answer"], {"terms": talk["must"]}), talk


def test_equal_seeds_ask_equal_questions() -> None:
    for ask in (corpus_plain.plain, corpus_plain.smalltalk):
        assert ask(random.Random(4)) == ask(random.Random(4))
