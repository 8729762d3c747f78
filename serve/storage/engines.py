"""SQLAlchemy's engine of a place: one connection, to a file or a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from models.rules.names import printable
from serve.errors import StartupError
from serve.storage.places import Place, PostgresqlServer
from serve.storage.postgresql import postgresql_engine
from serve.storage.sqlite import sqlite_engine


def engine_of(place: Place, *, is_reader: bool = False) -> Engine:
    """An engine with one connection, which is opened when it is first used."""
    if isinstance(place, PostgresqlServer):
        return postgresql_engine(place, is_reader=is_reader)
    return sqlite_engine(place, is_reader=is_reader)


@contextmanager
def opened(place: Place, *, is_reader: bool = False) -> Iterator[Engine]:
    """An engine for a command or a start, let go of at the end.

    Raises:
        StartupError: the database cannot be used, with the driver's reason.
    """
    engine = engine_of(place, is_reader=is_reader)
    try:
        yield engine
    except (DBAPIError, OSError) as error:
        raise StartupError(f"{place} cannot be used: {reason_of(error)}.") from None
    finally:
        engine.dispose()


def reason_of(error: Exception) -> str:
    """The first line of the driver's words. They name hosts, files and users, and no password."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror
    words = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return printable(words.rstrip("."))
