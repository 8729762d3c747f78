"""The store's own time, so that replicas whose clocks differ agree on windows and expiry."""

from __future__ import annotations

from sqlalchemy import Connection, text

_NOW_MS = {
    "sqlite": text("SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"),
    "postgresql": text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"),
}


def now_ms(connection: Connection) -> int:
    """Unix milliseconds in UTC, by the database's clock, not by the transaction's beginning."""
    return int(connection.execute(_NOW_MS[connection.dialect.name]).scalar_one())
