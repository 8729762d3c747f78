"""Days and months of budgets: calendar ones, in the zone that the limits file names.

A day is 23 or 25 hours long where clocks change; it ends at the zone's next midnight all the same.
Where midnight itself is skipped the day begins at the first moment that there is.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

Period = Literal["day", "month"]


class Calendar:
    """Days and months of one time zone.

    Args:
        zone: IANA's name, such as ``Europe/Berlin``.

    Raises:
        ValueError: there is no such zone. The message goes on from the name of what holds it.
    """

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._zone = _zone_of(zone)

    def day(self, at_ms: int) -> str:
        """The day, ``2026-11-29``, of a moment in Unix milliseconds."""
        return self._date(at_ms).isoformat()

    def name(self, period: Period, at_ms: int) -> str:
        """The day (``2026-11-29``) or month (``2026-11``) of a moment in Unix milliseconds."""
        day = self.day(at_ms)
        return day if period == "day" else day[:7]

    def ends_at_ms(self, period: Period, at_ms: int) -> int:
        """The moment at which a moment's period ends and the next begins, in Unix milliseconds."""
        today = self._date(at_ms)
        if period == "day":
            following = today + timedelta(days=1)
        else:
            following = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
        return _start_ms(following, self._zone)

    def told(self, at_ms: int) -> str:
        """A moment for people, to the minute, with the offset of the zone."""
        return datetime.fromtimestamp(at_ms / 1000, self._zone).isoformat(timespec="minutes")

    def _date(self, at_ms: int) -> date:
        return datetime.fromtimestamp(at_ms // 1000, self._zone).date()


@lru_cache(maxsize=16)
def _start_ms(day: date, zone: tzinfo) -> int:
    """The first moment of a day: midnight, or what follows a midnight that is skipped."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone, fold=0)
    start = midnight.astimezone(UTC)
    while start.astimezone(zone).date() < day:
        start += timedelta(minutes=1)
    while (start - timedelta(minutes=1)).astimezone(zone).date() == day:
        start -= timedelta(minutes=1)
    return round(start.timestamp()) * 1000


def _zone_of(name: str) -> tzinfo:
    if name == "UTC":  # known also where the machine has no data of zones
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        pass
    except KeyError:
        pass
    raise ValueError(
        f"is {name!r}, which is no time zone here: use a name of IANA's, such as Europe/Berlin, "
        "and install the system's tzdata if it has none"
    )
