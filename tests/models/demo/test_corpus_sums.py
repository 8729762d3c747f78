"""Sums are right, and a pair is held out in either order or not at all."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.demo import corpus_sums

numbers = st.integers(0, corpus_sums.LIMIT - 1)


@given(numbers, numbers, st.sampled_from("+-"))
def test_the_order_of_a_pair_does_not_matter(a: int, b: int, op: str) -> None:
    assert corpus_sums.is_held_out(a, b, op) == corpus_sums.is_held_out(b, a, op)


def test_about_one_pair_in_sixteen_is_held_out_the_same_ones_everywhere() -> None:
    pairs = [(a, b, op) for a in range(100) for b in range(a, 100) for op in "+-"]
    share = sum(corpus_sums.is_held_out(*pair) for pair in pairs) / len(pairs)
    assert 1 / 18 < share < 1 / 14
    held_out = [pair for pair in pairs if corpus_sums.is_held_out(*pair)]
    assert held_out[:2] == [(0, 10, "-"), (0, 18, "+")]  # eval.jsonl was drawn from these


@pytest.mark.parametrize(("op", "value"), [("+", 10), ("-", -4)])
def test_results(op: str, value: int) -> None:
    assert corpus_sums.result(3, 7, op) == value


@pytest.mark.parametrize("held_out", [True, False])
def test_a_sum_is_right_and_of_the_pairs_that_were_asked_for(held_out: bool) -> None:
    rng = random.Random(1)
    for _ in range(100):
        turn = corpus_sums.make(rng, "held_out", held_out=held_out)
        shown = re.fullmatch(r"(\d+) ([+-]) (\d+) = (-?\d+)\.", turn.answer)
        assert shown is not None
        a, op, b, value = shown.groups()
        assert int(value) == corpus_sums.result(int(a), int(b), op) == turn.expect["number"]
        assert corpus_sums.is_held_out(int(a), int(b), op) == held_out
        assert a in turn.question
        assert b in turn.question


def test_a_frame_may_name_the_second_number_first() -> None:
    assert corpus_sums.phrase("Take {b} from {a}.", 9, 4) == "Take 4 from 9."
