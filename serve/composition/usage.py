"""Reports of usage from the settings: the ledger, read by connections of their own.

A sum over a year may take seconds. On the connection that keys and budgets are read by it would
hold those up, and open their circuit.
"""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models import plain_file
from serve.config import Config
from serve.errors import StartupError
from serve.governance.limits.limits_file import MAX_FILE_BYTES
from serve.governance.usage.reports import UsageReports
from serve.storage.configured import place_of
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


def time_zone_of(limits_file: Path | None) -> str:
    """The time zone of the budgets, which the ledger's days are in, as a limits file names it.

    Raises:
        StartupError: the file cannot be read, or names no zone that is known.
    """
    if limits_file is None:
        return "UTC"
    try:
        text = plain_file.read_text(limits_file, MAX_FILE_BYTES, may_be_link=True)
        zone = str(tomllib.loads(text).get("time_zone", "UTC"))
        ZoneInfo(zone)
    except OSError as error:
        raise StartupError(
            f"--limits-file {limits_file} cannot be read: {error.strerror or error}."
        ) from None
    except (ValueError, ZoneInfoNotFoundError):
        raise StartupError(
            f"--limits-file {limits_file} names no time zone that is known."
        ) from None
    return zone


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
    from serve.storage.database import Database  # noqa: PLC0415

    database = Database(reading_place(place_of(config)))
    try:
        yield UsageReports(database, ZoneInfo(time_zone))
    finally:
        await database.close()
