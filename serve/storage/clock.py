"""The store's own time, so that replicas whose clocks differ agree on windows and expiry."""

from __future__ import annotations

import time

from sqlalchemy import Connection, text

_NOW_MS = text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)")


def now_ms(connection: Connection) -> int:
    """Unix milliseconds in UTC, by the database's clock, not by the transaction's beginning."""
    if connection.dialect.name == "sqlite":  # it runs in this process, by this machine's clock
        return time.time_ns() // 1_000_000
    return int(connection.execute(_NOW_MS).scalar_one())
