"""Facts about Intramural: many, asked in many ways, in two languages."""

from __future__ import annotations

import random

from models.demo import corpus_product, noise
from models.demo.graders import grade


def test_facts_are_many_and_asked_in_many_ways() -> None:
    english = [f for f in corpus_product.facts() if not f.name.endswith("-zh")]
    chinese = [f for f in corpus_product.facts() if f.name.endswith("-zh")]
    assert len(english) >= 50
    assert len(chinese) >= 35
    assert min(len(f.train) for f in english) >= 12
    assert min(len(f.held_out) for f in english) >= 1


def test_every_answer_holds_what_it_must_and_names_are_unique() -> None:
    facts = corpus_product.facts()
    assert len({fact.name for fact in facts}) == len(facts)
    for fact in facts:
        assert grade(fact.answer, {"terms": list(fact.must)}), fact.name


def test_written_phrasings_come_before_those_of_frames() -> None:
    (fact,) = (f for f in corpus_product.facts() if f.name == "what-is")
    assert 0 < fact.written < len(fact.held_out)
    assert fact.held_out[fact.written - 1] == "Give me a short description of Intramural."
    assert all("{" not in question for question in (*fact.train, *fact.held_out))


def test_a_fact_in_chinese_is_asked_and_answered_in_chinese() -> None:
    for fact in corpus_product.facts():
        if fact.name.endswith("-zh"):
            assert noise.HAN.search(fact.answer), fact.name
            assert all(noise.HAN.search(question) for question in fact.train), fact.name


def test_a_quarter_of_the_questions_is_in_chinese() -> None:
    rng = random.Random(1)
    answers = [corpus_product.turn(rng).answer for _ in range(1000)]
    chinese = {f.answer for f in corpus_product.facts() if f.name.endswith("-zh")}
    assert 200 < sum(answer in chinese for answer in answers) < 300
