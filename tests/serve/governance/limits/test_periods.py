"""Days and months of a zone: also where clocks change, and where midnight is skipped."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.governance.limits.periods import Calendar

HOUR_MS = 3_600_000
ZONES = ["UTC", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe"]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00+01:00", 25),
        ("America/Santiago", "2026-09-06T12:00-03:00", 23),  # midnight is skipped
        ("America/Havana", "2026-11-01T12:00-05:00", 25),
        ("UTC", "2026-11-29T12:00+00:00", 24),
    ],
)
def test_a_day_is_as_long_as_it_is(zone: str, noon: str, hours: int) -> None:
    calendar = Calendar(zone)
    end = calendar.ends_at_ms("day", ms(noon))
    begin = calendar.ends_at_ms("day", ms(noon) - 24 * HOUR_MS)
    assert end - begin == hours * HOUR_MS


@pytest.mark.parametrize("zone", ZONES)
@given(at_ms=st.integers(ms("2024-01-01T00:00Z"), ms("2034-01-01T00:00Z")))
def test_a_period_ends_where_the_next_begins(zone: str, at_ms: int) -> None:
    calendar = Calendar(zone)
    for period in ("day", "month"):
        end = calendar.ends_at_ms(period, at_ms)  # type: ignore[arg-type]
        name = calendar.name(period, at_ms)  # type: ignore[arg-type]
        assert at_ms < end
        assert calendar.name(period, end - 1) == name  # type: ignore[arg-type]
        assert calendar.name(period, end) > name  # type: ignore[arg-type]


def test_names_are_of_the_zone() -> None:
    at = ms("2026-12-31T23:30+00:00")
    assert Calendar("UTC").name("day", at) == "2026-12-31"
    assert Calendar("Europe/Berlin").name("day", at) == "2027-01-01"
    assert Calendar("Europe/Berlin").name("month", at) == "2027-01"
    assert Calendar("Europe/Berlin").told(at) == "2027-01-01T00:30+01:00"
