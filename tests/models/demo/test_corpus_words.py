"""Words, known and invented, and numbers of every length."""

from __future__ import annotations

import random
import re

from models.demo import corpus_words as words
from models.demo.conversation import load

SYLLABLE = r"[bcdfghj-np-tvwxz]{1,4}[aeiou]{1,2}"


def test_invented_words_are_plain_letters_of_one_to_three_syllables() -> None:
    rng = random.Random(1)
    for _ in range(200):
        assert re.fullmatch(rf"(?:{SYLLABLE}){{1,3}}[nrsltmkdx]{{0,2}}", words.invented(rng))


def test_most_are_known_and_some_are_invented() -> None:
    rng = random.Random(2)
    for pick, key in ((words.word, "words"), (words.name, "names"), (words.city, "cities")):
        known = set(load("words")[key])
        share = sum(pick(rng) in known for _ in range(1000)) / 1000
        assert 0.7 < share < 0.9


def test_names_and_cities_begin_with_a_capital_and_words_do_not() -> None:
    rng = random.Random(3)
    assert all(words.name(rng)[0].isupper() for _ in range(100))
    assert all(words.city(rng)[0].isupper() for _ in range(100))
    assert all(words.word(rng).islower() for _ in range(100))


def test_numbers_have_one_to_four_digits() -> None:
    rng = random.Random(4)
    numbers = [words.number(rng) for _ in range(1000)]
    assert all(0 <= number <= 9999 for number in numbers)
    assert {len(str(number)) for number in numbers} == {1, 2, 3, 4}


def test_equal_seeds_draw_equal_words() -> None:
    for pick in (words.word, words.name, words.city, words.number, words.invented):
        assert pick(random.Random(5)) == pick(random.Random(5))
