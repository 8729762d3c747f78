"""Reports of usage from the settings: the ledger, read by connections of their own.

A sum over a year may take seconds. On the connection that keys and budgets are read by it would
hold those up, and open their circuit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from serve.composition.stores import place_of
from serve.config import Config
from serve.governance.usage_reports import UsageReports
from serve.storage.database import Database
from serve.storage.places import Place

REPORT_S: Final = 20.0
"""Seconds that a report may take, and as many that it may wait for others."""


def reading_place(place: Place) -> Place:
    """The same database, with a reader's patience."""
    patience = replace(
        place.patience,
        answer_s=REPORT_S,
        connect_s=max(place.patience.connect_s, 2.0),
        queue_s=2 * REPORT_S,
    )
    return replace(place, patience=patience)


@asynccontextmanager
async def open_usage(
    config: Config, *, time_zone: str, is_kept: bool
) -> AsyncIterator[UsageReports | None]:
    """Reports of the ledger while the block is open; None where none is kept.

    Args:
        time_zone: of the ledger's days.
        is_kept: whether there is a ledger, whose tables are made.
    """
    if not is_kept:
        yield None
        return
    database = Database(reading_place(place_of(config)))
    try:
        yield UsageReports(database, ZoneInfo(time_zone))
    finally:
        await database.close()
