"""Guesses that were checked and right, of an engine and of each sequence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from serve.engine.transformers.guess_count import GuessCount


class Guessing:
    def __init__(self) -> None:
        self.learnt: list[tuple[int, int]] = []

    def learn(self, num_guesses: int, num_right: int) -> None:
        self.learnt.append((num_guesses, num_right))


def segment(sequence: Guessing, num_guesses: int) -> Any:
    return SimpleNamespace(sequence=sequence, draft=tuple(range(num_guesses)))


def test_all_tokens_of_a_sequence_but_one_were_guessed_right():
    first, second, plain = Guessing(), Guessing(), Guessing()
    count = GuessCount()
    segments = [segment(first, 4), segment(plain, 0), segment(second, 2)]
    count.add(segments, [(first, 1), (first, 2), (first, 3), (plain, 4), (second, 5)])
    assert (count.num_guessed, count.num_right) == (6, 2)
    assert (first.learnt, second.learnt, plain.learnt) == ([(4, 2)], [(2, 0)], [])
    count.add([segment(first, 1)], [(first, 1), (first, 2)])
    assert (count.num_guessed, count.num_right) == (7, 3)


def test_a_step_without_guesses_counts_nothing():
    count = GuessCount()
    count.add([segment(Guessing(), 0)], [])
    assert (count.num_guessed, count.num_right) == (0, 0)
