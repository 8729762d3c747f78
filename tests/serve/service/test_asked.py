"""Tokens that are counted for a request whose prompt is known."""

from __future__ import annotations

from serve.pipeline.events import Started
from serve.service.asked import expected_tokens


def test_an_answer_counts_up_to_512_tokens_a_choice() -> None:
    started = Started(prompt_tokens=7, max_completion_tokens=100, num_sequences=1)
    assert expected_tokens(started) == 107
    started = Started(prompt_tokens=7, max_completion_tokens=100_000, num_sequences=3)
    assert expected_tokens(started) == 7 + 3 * 512
