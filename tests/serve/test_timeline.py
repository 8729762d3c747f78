"""The formulas of one request's times, and what a request has that did not get so far."""

from __future__ import annotations

import pytest

from serve.timeline import Timeline, Usage


def test_a_request_that_got_nowhere_has_no_times() -> None:
    timeline = Timeline(arrived_at=1.0)
    assert (timeline.queue_s, timeline.ttft_s, timeline.e2e_s, timeline.tpot_s) == (None,) * 4
    assert list(timeline.itl_s) == []


def test_every_time_is_from_the_arrival() -> None:
    timeline = Timeline(arrived_at=10.0, submitted_at=10.5, finished_at=14.0)
    timeline.tokens_arrived(1, 11.0, None)
    timeline.tokens_arrived(1, 13.0, 11.0)
    timeline.usage.completion_tokens = 2
    assert (timeline.queue_s, timeline.ttft_s, timeline.e2e_s) == (0.5, 1.0, 4.0)
    assert timeline.tpot_s == 2.0


def test_a_chunk_is_one_gap_spread_over_its_tokens() -> None:
    timeline = Timeline(arrived_at=0.0)
    timeline.tokens_arrived(3, 1.0, None)
    assert list(timeline.itl_s) == [], "a choice's first chunk follows nothing"
    timeline.tokens_arrived(4, 3.0, 1.0)
    assert list(timeline.itl_s) == [0.5] * 4


def test_choices_have_gaps_of_their_own_and_one_first_token() -> None:
    timeline = Timeline(arrived_at=0.0)
    timeline.tokens_arrived(1, 1.0, None)
    timeline.tokens_arrived(1, 5.0, None)
    assert list(timeline.itl_s) == []
    assert (timeline.first_token_at, timeline.last_token_at) == (1.0, 5.0)


@pytest.mark.parametrize("completion_tokens", [0, 1])
def test_the_time_per_token_needs_two(completion_tokens: int) -> None:
    timeline = Timeline(arrived_at=0.0)
    timeline.tokens_arrived(1, 1.0, None)
    timeline.usage.completion_tokens = completion_tokens
    assert timeline.tpot_s is None


def test_usage_adds_up_and_cached_tokens_are_of_the_prompt() -> None:
    usage = Usage(prompt_tokens=5, completion_tokens=3, cached_tokens=4)
    assert usage.total_tokens == 8


def test_two_requests_share_nothing() -> None:
    first, second = Timeline(arrived_at=0.0), Timeline(arrived_at=0.0)
    first.tokens_arrived(1, 2.0, 1.0)
    first.usage.prompt_tokens = 5
    assert list(second.itl_s) == []
    assert second.usage.prompt_tokens == 0
