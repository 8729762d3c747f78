"""The formulas of one request, and the stamps that they need."""

from __future__ import annotations

import pytest

from serve.timeline import Timeline, Usage


def test_every_figure_counts_from_its_own_stamps() -> None:
    timeline = Timeline(
        arrived_at=10.0,
        submitted_at=10.5,
        first_token_at=12.0,
        last_token_at=15.0,
        finished_at=15.25,
        usage=Usage(prompt_tokens=3, completion_tokens=4),
    )
    assert timeline.queue_s == 0.5
    assert timeline.ttft_s == 2.0
    assert timeline.tpot_s == 1.0  # three gaps between four tokens
    assert timeline.e2e_s == 5.25
    assert timeline.usage.total_tokens == 7


def test_a_request_that_did_not_get_that_far_has_no_figure() -> None:
    timeline = Timeline(arrived_at=10.0)
    figures = (timeline.queue_s, timeline.ttft_s, timeline.tpot_s, timeline.e2e_s)
    assert figures == (None, None, None, None)


@pytest.mark.parametrize(("num_tokens", "expected"), [(0, None), (1, None), (2, 3.0)])
def test_time_per_token_needs_two_tokens(num_tokens: int, expected: float | None) -> None:
    timeline = Timeline(arrived_at=0.0, first_token_at=1.0, last_token_at=4.0)
    timeline.usage.completion_tokens = num_tokens
    assert timeline.tpot_s == expected


def test_a_chunk_is_one_gap_spread_over_its_tokens() -> None:
    timeline = Timeline(arrived_at=0.0)
    timeline.tokens_arrived(2, 1.0, None)  # the first chunk has no gap before it
    timeline.tokens_arrived(3, 2.5, 1.0)
    timeline.tokens_arrived(1, 2.75, 2.5)
    assert list(timeline.itl_s) == [0.5, 0.5, 0.5, 0.25]
    assert (timeline.first_token_at, timeline.last_token_at) == (1.0, 2.75)


def test_the_first_token_is_of_whichever_choice_was_first() -> None:
    timeline = Timeline(arrived_at=0.0)
    timeline.tokens_arrived(1, 1.0, None)
    timeline.tokens_arrived(1, 2.0, None)  # another choice's first chunk
    assert (timeline.first_token_at, timeline.last_token_at) == (1.0, 2.0)
    assert list(timeline.itl_s) == []


def test_two_requests_share_nothing() -> None:
    first, second = Timeline(arrived_at=0.0), Timeline(arrived_at=0.0)
    first.tokens_arrived(1, 2.0, 1.0)
    first.usage.prompt_tokens = 5
    assert list(second.itl_s) == []
    assert second.usage.prompt_tokens == 0
