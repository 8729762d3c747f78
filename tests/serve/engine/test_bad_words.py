"""Tokens that would complete a word that may not come."""

from __future__ import annotations

import pytest

from serve.engine.bad_words import completing


@pytest.mark.parametrize(
    ("generated", "words", "tokens"),
    [
        ([], [(5,)], {5}),
        ([1, 2], [(2, 9)], {9}),
        ([1, 2], [(1, 2, 9), (2, 8), (7,)], {9, 8, 7}),
        ([1, 2], [(1, 9)], set()),
        ([2], [(1, 2, 9)], set()),  # it has not begun with the prompt
        ([1, 2, 3], [(1, 2, 9)], set()),
        ([1, 1], [(1, 1, 1)], {1}),
        ([1], [], set()),
    ],
)
def test_a_word_is_completed_where_its_beginning_stands(generated, words, tokens):
    assert completing(generated, words) == tokens
