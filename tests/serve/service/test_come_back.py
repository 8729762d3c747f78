"""When those that are refused come back, and what is kept for them."""

from __future__ import annotations

import pytest

from serve.service.asked import Asked
from serve.service.come_back import LONGEST_RETRY_S, ComeBack, within_bounds


def asked(*, is_retry: bool = False, width: int = 1) -> Asked:
    return Asked(tenant="a", request_class="interactive", tokens=1, width=width, is_retry=is_retry)


def test_each_is_told_a_later_time_one_for_four_turns() -> None:
    come_back = ComeBack(num_places=1, max_waiting=None)
    assert [come_back.retry_after_s(0.0, turn_s=0.5) for _ in range(6)] == [2, 4, 6, 8, 10, 10]
    assert come_back.retry_after_s(60.0, turn_s=0.5) == 2


def test_where_turns_are_not_known_more_places_mean_an_earlier_time() -> None:
    assert ComeBack(num_places=2, max_waiting=None).retry_after_s(0.0, None) == 5
    assert ComeBack(num_places=20, max_waiting=None).retry_after_s(0.0, None) == 1


def test_a_quarter_is_kept_for_them_until_they_had_the_time_to_come() -> None:
    come_back = ComeBack(num_places=1, max_waiting=8)
    assert not come_back.is_kept(asked(), num_waiting=7, now=0.0)
    come_back.retry_after_s(0.0, turn_s=0.5)
    assert come_back.is_kept(asked(), num_waiting=6, now=1.0)
    assert not come_back.is_kept(asked(), num_waiting=5, now=1.0)
    assert come_back.is_kept(asked(width=2), num_waiting=5, now=1.0)
    assert not come_back.is_kept(asked(is_retry=True), num_waiting=7, now=1.0)
    assert not come_back.is_kept(asked(), num_waiting=6, now=2.0)


@pytest.mark.parametrize(
    ("seconds", "told"), [(-3.0, 1), (0.2, 1), (1.1, 2), (99.0, LONGEST_RETRY_S)]
)
def test_a_client_is_told_whole_seconds_within_bounds(seconds: float, told: int) -> None:
    assert within_bounds(seconds) == told
