"""Words that may not come, as ids."""

from __future__ import annotations

from functools import partial

import pytest

from serve.pipeline.bad_words import bad_word_ids
from tests.serve.pipeline.conftest import byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()
ENCODE = partial(TOKENIZER.encode, add_special_tokens=False)


@pytest.mark.parametrize("word", ["audit", " audit", "  audit"])
def test_a_word_is_kept_out_at_the_start_and_behind_a_space(word: str) -> None:
    expected = {tuple(ENCODE("audit")), tuple(ENCODE(" audit"))}
    assert set(bad_word_ids([word], ENCODE)) == expected


def test_white_space_is_a_word_like_another() -> None:
    assert set(bad_word_ids([" "], ENCODE)) == {tuple(ENCODE(" ")), tuple(ENCODE("  "))}


def test_a_word_is_told_once() -> None:
    assert len(bad_word_ids(["audit", " audit"], ENCODE)) == 2
    assert bad_word_ids([], ENCODE) == ()
