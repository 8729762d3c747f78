"""SQLite's engine: write-ahead log, synced at every commit, one file of mode 0600.

Python's driver begins no transaction of its own here (``isolation_level=None``): a writer begins
with BEGIN IMMEDIATE, which waits for other processes, and never has to upgrade its lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from serve.storage.places import WAITS_FOR_TURN, SqliteFile

_FILE = "file"
WAL_RETRY_S = 0.01
"""Seconds between two tries to put a file into WAL that others are opening."""


def sqlite_engine(place: SqliteFile, *, is_reader: bool = False) -> Engine:
    """An engine with one connection. Opens nothing yet."""
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: _connect(place, is_reader=is_reader),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,  # an error's text shows no values
    )
    begin = "BEGIN" if is_reader else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def _note_file(_connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        record.info[_FILE] = _identity(place.path)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.info[_FILE] != _identity(place.path):
            raise OSError(0, "another file is in its place", str(place.path))
        connection.exec_driver_sql(begin, execution_options=WAITS_FOR_TURN)

    return engine


def _connect(place: SqliteFile, *, is_reader: bool) -> sqlite3.Connection:
    _make_private(place.path)
    connection = sqlite3.connect(
        place.path,
        timeout=place.patience.turn_s,
        isolation_level=None,
        check_same_thread=False,  # a lane's thread uses it, and whoever closes it
    )
    _use_wal(connection, place.patience.turn_s)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if is_reader:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _use_wal(connection: sqlite3.Connection, patience_s: float) -> None:
    """Put the file into WAL, which it stays in. SQLite does not wait for others in this one place.

    Raises:
        sqlite3.OperationalError: another connection holds the file for longer.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_S)
        else:
            return


def _identity(path: Path) -> tuple[int, int]:
    """The file that is there: a connection goes on with one that was moved away or deleted."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, closed to others; its log and index get the same mode.

    One that is there is not opened: closing any descriptor of a file lets go of all locks that the
    process has on it, those of SQLite's connections too. Another process' last connection would
    take itself for the only one then, and delete the log that ours still write.

    Raises:
        OSError: it cannot be made, or is open to others.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o600))
    if path.stat().st_mode & 0o077:
        raise OSError(0, "it is open to group or others (chmod 600)", str(path))
