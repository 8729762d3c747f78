"""The reserve learns: larger where newcomers wait for floods, smaller where they need not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.service.flood_reserve import CROWDED, FOUND, MISSED, PEAK_S, FloodReserve


def reserve_of(num_running: int = 16, needed: int = 1000) -> FloodReserve:
    reserve = FloodReserve(num_running)
    reserve.needed(needed, 0.0)
    return reserve


def test_it_begins_with_half_of_the_places_and_eight_at_least() -> None:
    assert reserve_of(64).num_places(0.0) == 32
    assert reserve_of(12).num_places(0.0) == 8
    assert reserve_of(2).num_places(0.0) == 2


def test_it_grows_where_newcomers_miss_a_place_and_shrinks_where_they_find_one() -> None:
    reserve = reserve_of()
    reserve.missed()
    assert reserve.num_places(0.0) == 8 + MISSED
    for _ in range(round(4 / FOUND)):
        reserve.found()
    assert reserve.num_places(0.0) in (5, 6)
    for _ in range(round(2 / CROWDED)):
        reserve.crowded()
    assert reserve.num_places(0.0) in (3, 4)


def test_it_stays_between_one_place_and_all() -> None:
    reserve = reserve_of()
    for _ in range(100):
        reserve.missed()
    assert reserve.num_places(0.0) == 16
    for _ in range(100):
        reserve.crowded()
    assert reserve.num_places(0.0) == 1


def test_it_settles_where_few_newcomers_wait_for_a_flood() -> None:
    """A newcomer waits with a probability that halves with each place: a model of a flood."""
    reserve, missed, credit = reserve_of(32), 0, 0.0
    for _ in range(20_000):
        credit += 0.5 ** reserve.num_places(0.0)
        if credit >= 1:
            credit, missed = credit - 1, missed + 1
            reserve.missed()
        else:
            reserve.found()
    assert 0.5 <= missed / (20_000 * FOUND / MISSED) <= 2


def test_it_is_one_more_than_was_needed_of_late_and_nothing_for_nobody() -> None:
    reserve = FloodReserve(16)
    assert reserve.num_places(0.0) == 0
    reserve.needed(2, 1.0)
    reserve.needed(1, 2.0)
    assert reserve.num_places(3.0) == 3
    assert reserve.num_places(1.0 + PEAK_S / 2) == 3
    assert reserve.num_places(1.0 + 2 * PEAK_S) == 0
    reserve.needed(1, 200.0)
    assert reserve.num_places(200.0) == 2


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 20)), min_size=1))
def test_a_need_is_remembered_for_half_of_the_time_and_forgotten_after_twice(
    steps: list[tuple[float, int]],
) -> None:
    reserve, now, seen = FloodReserve(64), 0.0, []
    for seconds, need in steps:
        now += seconds
        seen.append((now, need))
        reserve.needed(need, now)
        for most, of in ((max, PEAK_S / 2), (min, 2 * PEAK_S)):
            peak = max(need for at, need in seen if now - at < of)
            bound = min(32, peak + 1) if peak else 0
            assert most(reserve.num_places(now), bound) == reserve.num_places(now)
