"""PostgreSQL's engine: every wait has an end, at the client and at the server.

A server that answers slowly cancels the statement itself, a little before the client gives up. One
that no longer answers at all, behind a connection that still seems open, is given up by the client.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo as conninfos
from psycopg.errors import _WaitTimeout
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from serve.storage.places import WAITS_FOR_TURN, PostgresqlServer

T = TypeVar("T")

WRITER_LOCK = 0x696E7472616D7572
"""The advisory lock of whoever writes: "intramur" in ASCII."""
SERVER_SHARE = 0.8
"""Part of the time for an answer after which the server itself cancels a statement."""


class SilentServer(psycopg.OperationalError):
    """The server did not answer in time. Its connection is closed."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for no answer longer than ``answer_s``.

    Attributes:
        answer_s: seconds; None waits without end.
    """

    answer_s: float | None = None

    def wait(
        self,
        gen: Generator[Any, Any, T],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> T:
        try:
            return super().wait(gen, interval, self.answer_s if timeout is None else timeout)
        except _WaitTimeout:
            self.close()
            raise SilentServer("the server did not answer in time") from None


def postgresql_engine(place: PostgresqlServer, *, is_reader: bool = False) -> Engine:
    """An engine with one connection. Opens nothing yet."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connect(place, is_reader=is_reader),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,  # an error's text shows no values
        use_native_hstore=False,  # or each engine would ask the server for that type
        isolation_level="REPEATABLE READ" if is_reader else "READ COMMITTED",
    )
    if not is_reader:

        @event.listens_for(engine, "begin")
        def _take_turn(connection: Connection) -> None:
            take_turn(connection, place)

    return engine


def take_turn(connection: Connection, place: PostgresqlServer) -> None:
    """Wait for this process' turn to write; it ends with the transaction."""
    turn_ms, answer_ms = _ms(place.patience.turn_s), _ms(place.patience.answer_s * SERVER_SHARE)
    bounded: BoundedConnection = connection.connection.driver_connection  # type: ignore[assignment]
    answer_s, bounded.answer_s = bounded.answer_s, place.patience.turn_s + place.patience.answer_s
    try:
        connection.exec_driver_sql(
            f"SET LOCAL statement_timeout = {turn_ms}; "
            f"SELECT pg_advisory_xact_lock({WRITER_LOCK}); "
            f"SET LOCAL statement_timeout = {answer_ms}",
            execution_options=WAITS_FOR_TURN,
        )
    finally:
        bounded.answer_s = answer_s


def _connect(place: PostgresqlServer, *, is_reader: bool) -> BoundedConnection:
    patience = place.patience
    options = {
        "statement_timeout": _ms(patience.answer_s * SERVER_SHARE),
        "lock_timeout": _ms(patience.turn_s),
        "idle_in_transaction_session_timeout": _ms(patience.idle_s),
        "default_transaction_read_only": "on" if is_reader else "off",
        "timezone": "UTC",
    }
    connection = BoundedConnection.connect(
        conninfos.make_conninfo(
            place.conninfo,
            application_name="intramural",
            options=" ".join(f"-c {name}={value}" for name, value in options.items()),
            connect_timeout=2,  # the least that the driver takes; callers do not wait as long
            tcp_user_timeout=_ms(patience.turn_s),
            keepalives_idle=10,
            keepalives_interval=3,
            keepalives_count=3,
        )
    )
    connection.answer_s = patience.answer_s
    return connection


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
