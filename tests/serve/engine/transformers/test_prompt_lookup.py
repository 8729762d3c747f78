"""Guesses are what followed the longest earlier match, the latest of equals."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from serve.engine.transformers.prompt_lookup import NgramIndex, PromptLookup


def guesses(token_ids: Sequence[int], most: int = 4, least_matched: int = 2) -> list[int]:
    return NgramIndex().guesses(token_ids, most, least_matched=least_matched)


def test_what_followed_is_guessed() -> None:
    assert guesses([1, 2, 3, 4, 5, 6, 9, 1, 2]) == [3, 4, 5, 6]
    assert guesses([1, 2, 3, 9, 1, 2], most=1) == [3]


def test_a_longer_match_is_taken_before_a_later_one() -> None:
    assert guesses([7, 1, 2, 3, 9, 1, 2, 4, 7, 1, 2], most=1) == [3]
    assert guesses([7, 1, 2, 3, 9, 1, 2, 4, 8, 1, 2], most=1) == [4]


def test_nothing_is_guessed_without_a_match() -> None:
    for text in ([], [1], [1, 1], [1, 2, 3], [5, 1, 2, 6, 1]):
        assert guesses(text) == []
    assert guesses([1, 2, 3, 9, 1, 2], least_matched=3) == []


def test_a_repetition_goes_on() -> None:
    assert guesses([1, 2, 1, 2, 1, 2], most=5) == [1, 2, 1, 2, 1]
    assert guesses([8, 8, 8], most=3) == [8, 8, 8]


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 9), st.integers(2, 4))
def test_guesses_are_those_of_a_plain_search(
    token_ids: list[int], most: int, least_matched: int
) -> None:
    index = NgramIndex()
    for size in range(len(token_ids) + 1):  # token after token, as a sequence grows
        found = index.guesses(token_ids[:size], most, least_matched=least_matched)
        assert found == searched(token_ids[:size], most, least_matched)


def searched(token_ids: list[int], most: int, least_matched: int) -> list[int]:
    last = len(token_ids) - 1
    best, longest = None, least_matched - 1
    places = [at for at in range(1, last) if token_ids[at - 1 : at + 1] == token_ids[last - 1 :]]
    for place in places[::-1][:16]:
        size = 0
        while size < min(16, place + 1) and token_ids[place - size] == token_ids[last - size]:
            size += 1
        if size > longest:
            best, longest = place, size
    if best is None:
        return []
    text = list(token_ids)
    for at in range(best + 1, best + 1 + most):
        text.append(text[at])
    return text[len(token_ids) :]


def test_pairs_that_fall_together_are_told_apart() -> None:
    token_ids = [*range(20_000), 7, 8]  # more pairs than heads
    assert guesses(token_ids, most=2) == [9, 10]


def test_right_guesses_become_longer_and_wrong_ones_shorter() -> None:
    lookup = PromptLookup(15)
    text = list(range(50)) * 2
    sizes = []
    for _ in range(5):
        sizes.append(len(lookup.guesses(text, 31, 1)))
        lookup.learn(sizes[-1], sizes[-1])
    assert sizes == [3, 7, 15, 15, 15]  # with the token before them, fours of rows
    lookup.learn(15, 0)
    assert len(lookup.guesses(text, 31, 1)) == 3
    assert len(lookup.guesses(text, 1, 1)) == 1
