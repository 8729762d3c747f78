"""The walk from level to level."""

from __future__ import annotations

import pytest

from benchmarks.report.document import Row
from benchmarks.serving import walk
from benchmarks.serving.load import Level


def row(rate: float, *, full: bool = False, is_long: bool = False, met: float = 1.0) -> Row:
    answered = 50.0 if full else rate
    return Row(
        model="m",
        system="s",
        case=f"{rate}",
        samples={"answered_s": [answered], "offered_s": [rate], "attainment": [met]},
        facts={
            "offered_requests_s": rate,
            "is_saturated": float(full),
            "is_long": float(is_long),
        },
    )


def load(rows: list[Row], *, has_targets: bool = False) -> tuple[float, bool] | None:
    found = walk.next_rate(rows, 1.0, has_targets)
    return None if found is None else (found.load, found.is_long)


def test_up_by_doubling_then_between() -> None:
    assert load([]) == (1.0, False)
    assert load([row(1.0)]) == (2.0, False)
    assert load([row(32.0), row(64.0, full=True)]) == (45.3, True)
    assert load([row(32.0), row(45.3, is_long=True), row(64.0, full=True)]) == (53.8, True)
    near = [row(49.4, is_long=True), row(53.8, full=True)]
    assert load(near) is None


def test_down_by_halves() -> None:
    assert load([row(64.0, full=True)]) == (32.0, False)


def test_a_short_level_next_to_saturation_is_measured_again() -> None:
    assert load([row(50.0), row(54.0, full=True)]) == (50.0, True)


def test_a_higher_level_that_seemed_to_hold_does_not_count() -> None:
    rows = [row(32.0, is_long=True), row(35.0, full=True), row(45.0, is_long=True)]
    assert load(rows) is None
    assert walk.bracket(rows, walk.keeps_up) == (rows[0], rows[1])


def test_targets_are_looked_for_after_capacity() -> None:
    rows = [row(20.0), row(40.0, met=0.5, is_long=True), row(43.0, full=True)]
    assert load(rows) is None
    assert load(rows, has_targets=True) == (28.3, True)
    assert load([row(40.0, met=0.1, is_long=True), row(43.0, full=True)], has_targets=True) is None


def test_a_long_level_has_as_many_requests_as_chance_asks_for() -> None:
    short = walk.sized(Level(count=1, rate=50.0), 0.32, is_long=False, most_s=120)
    long = walk.sized(Level(count=1, rate=50.0), 0.32, is_long=True, most_s=120)
    # (1 + 2 sqrt(2 * 16)) / 0.05 in the window, half as many before it
    assert long.count == pytest.approx(1.5 * 246, abs=2)
    assert short.count == pytest.approx(1.5 * 3 * 50, abs=2)  # three seconds
    assert walk.sized(Level(count=1, rate=50.0), 9.0, is_long=True, most_s=2.0).count == 101


def test_capacity_is_what_a_full_server_answers_or_the_highest_level_bears() -> None:
    found = walk.capacity([row(32.0), row(45.0, is_long=True), row(64.0, full=True)])
    assert found.answers_s == 50.0
    assert str(found).startswith("capacity: 50 answers/s; kept up at 45.0 (45/s answered of 45/s")
    assert found.facts()["saturated_at"] == "64.0"
    collapsed = row(64.0, full=True)
    collapsed.samples["answered_s"][0] = 10.0
    assert walk.capacity([row(45.0), collapsed]).answers_s == 45.0
    assert walk.capacity([row(45.0)]).saturated is None


def test_a_level_bears_no_more_than_was_sent() -> None:
    lucky = row(45.0)
    lucky.samples["answered_s"][0] = 47.0
    assert walk.borne_s(lucky) == 45.0


def test_closed_levels_last_long_enough() -> None:
    assert walk.answers_each(10.0) == 8
    assert walk.answers_each(0.1) == 30
    assert walk.answers_each(0.001) == 64
