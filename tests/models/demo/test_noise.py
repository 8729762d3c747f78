"""Noise changes a question's spelling, never into one that the evaluation asks."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from models.demo import corpus_plain, corpus_product, noise
from models.demo.conversation import load, normalise


@given(st.integers(0, 10**6))
def test_noise_never_makes_a_held_out_question(seed: int) -> None:
    rng = random.Random(seed)
    for turn in (corpus_product.turn(rng), corpus_plain.plain(rng), corpus_plain.smalltalk(rng)):
        assert normalise(turn.question) not in noise.held_out()


def test_a_variation_that_the_evaluation_asks_is_not_taken() -> None:
    table = load("plain")["capital"]
    asked = table["held_out"][0].format("France")
    assert normalise(asked) in noise.held_out()
    for seed in range(200):  # the question itself is the only thing left that may be asked
        spelled = noise.vary(random.Random(seed), asked)
        assert spelled == asked or normalise(spelled) not in noise.held_out()


def test_without_strength_nothing_is_varied() -> None:
    rng = random.Random(1)
    assert all(noise.vary(rng, "What is it?", 0.0) == "What is it?" for _ in range(200))


def test_about_half_of_the_questions_are_varied() -> None:
    rng = random.Random(2)
    question = "What does it cost to run?"
    varied = sum(noise.vary(rng, question) != question for _ in range(1000))
    assert 400 < varied < 650


@settings(max_examples=30)
@given(st.text(max_size=12), st.integers(0, 10**6))
def test_any_text_can_be_varied(text: str, seed: int) -> None:
    spelled = noise.vary(random.Random(seed), text)
    assert spelled == text or spelled.strip()


def test_politeness_stands_around_a_question_whose_words_are_copied() -> None:
    question, rng = "Repeat: red stone 12", random.Random(4)
    spelled = [noise.polite(rng, question) for _ in range(300)]
    assert all(question in text for text in spelled)
    assert 10 < sum(text != question for text in spelled) < 100


def test_chinese_questions_get_chinese_company() -> None:
    rng = random.Random(3)
    spelled = {noise.polite(rng, "什么是 Intramural?") for _ in range(300)} - {"什么是 Intramural?"}
    assert spelled
    added = [text.replace("什么是 Intramural", "") for text in spelled]
    assert not any(letter.isascii() and letter.isalpha() for text in added for letter in text)
