"""A backup while the server runs, and its restoring, from and to either kind of database.

All rows are read in one transaction that sees one state of the database: a snapshot of PostgreSQL,
or of SQLite's log. Writers do not wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Table, delete, func, insert, select

from models import durable, plain_file
from serve.errors import StartupError
from serve.storage import schema
from serve.storage.dump_format import DamagedDumpError, DumpReader, DumpWriter, Header, TableHead
from serve.storage.engines import opened
from serve.storage.migrating import migrate, newest, revision_of
from serve.storage.places import Place, unhurried

ROWS_AT_ONCE = 1000

ProgressOfRows = Callable[[str, int, int], None]
"""Called with a table's name, its rows that are done, and all of them; 0 where nobody counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The contents of a backup.

    Attributes:
        rows: of each table.
        num_bytes: of the file.
    """

    revision: str
    made_at: str
    source: str
    rows: Mapping[str, int]
    num_bytes: int


def back_up(place: Place, path: Path, progress: ProgressOfRows) -> Contents:
    """Write a backup, mode 0600: the file is there whole or not at all.

    Raises:
        StartupError: the database cannot be used or is of another revision, or the file is there.
        OSError: the file cannot be written.
    """
    if path.exists():
        raise StartupError(f"{path} is there already: name another file, or remove it.")
    place = unhurried(place)
    with opened(place, is_reader=True) as engine, engine.connect() as connection:
        _check_revision(place, connection)
        header = Header(
            revision=newest(),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            source=connection.dialect.name,
        )
        with _staged(path) as file:
            writer = DumpWriter(file, header)
            for table in schema.metadata.sorted_tables:
                _write_table(connection, table, writer, progress)
            rows = writer.finish()
    return Contents(
        revision=header.revision, made_at=header.made_at, source=header.source,
        rows=rows, num_bytes=path.stat().st_size,
    )  # fmt: skip


def restore(place: Place, path: Path, progress: ProgressOfRows, *, replaces: bool) -> Contents:
    """Fill a database from a backup, in one transaction; tables are made where there are none.

    Args:
        replaces: remove the rows that there are; without it they refuse the restoring.

    Raises:
        StartupError: the file is no backup, is damaged or of another revision, or the database
            cannot be used or has rows; it is as it was.
        OSError: the file cannot be read.
    """
    place = unhurried(place)
    try:
        with plain_file.opened(path, may_be_link=True) as file:
            reader = DumpReader(file)
            if reader.header.revision != newest():
                raise StartupError(
                    f"{path} is of revision {reader.header.revision} of the tables, and this "
                    f"version works with {newest()}. Restore it with the version that made it; a "
                    "newer one then brings the database up to date when it starts."
                )
            migrate(place)
            with opened(place) as engine, engine.begin() as connection:
                _empty(place, connection, replaces=replaces)
                rows = _fill(connection, reader, progress)
            num_bytes = os.fstat(file.fileno()).st_size
    except DamagedDumpError as error:
        raise StartupError(f"{path} cannot be restored: {error}.") from None
    header = reader.header
    return Contents(
        revision=header.revision, made_at=header.made_at, source=header.source,
        rows=rows, num_bytes=num_bytes,
    )  # fmt: skip


def count_rows(connection: Connection) -> dict[str, int]:
    """Rows of each table of ours."""
    return {table.name: _count(connection, table) for table in schema.metadata.sorted_tables}


def _write_table(
    connection: Connection, table: Table, writer: DumpWriter, progress: ProgressOfRows
) -> None:
    total = _count(connection, table)
    writer.begin_table(table.name, [column.name for column in table.columns])
    statement = select(table).order_by(*table.primary_key)
    done = 0
    streaming = {"yield_per": ROWS_AT_ONCE}
    with connection.execute(statement, execution_options=streaming) as result:
        for part in result.partitions():
            for row in part:
                writer.write_row(tuple(row))
            done += len(part)
            progress(table.name, done, total)


def _fill(
    connection: Connection, reader: DumpReader, progress: ProgressOfRows
) -> Mapping[str, int]:
    counts: dict[str, int] = dict.fromkeys(schema.metadata.tables, 0)
    for table, rows in _parts(reader):
        connection.execute(insert(table), rows)
        counts[table.name] += len(rows)
        progress(table.name, counts[table.name], 0)
    return counts


def _parts(reader: DumpReader) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Rows of one table at a time, at most so many at once."""
    head, rows = TableHead("", ()), list[dict[str, Any]]()
    for line in reader.lines():
        if isinstance(line, TableHead) or len(rows) == ROWS_AT_ONCE:
            if rows:
                yield schema.metadata.tables[head.table], rows
            rows = []
        if isinstance(line, TableHead):
            head = line
            _check_columns(head)
        elif len(line) != len(head.columns):
            raise DamagedDumpError(f"a row of {head.table} has {len(line)} values")
        else:
            rows.append(dict(zip(head.columns, line, strict=True)))
    if rows:
        yield schema.metadata.tables[head.table], rows


def _check_columns(head: TableHead) -> None:
    table = schema.metadata.tables.get(head.table)
    if table is None or sorted(head.columns) != sorted(column.name for column in table.columns):
        raise DamagedDumpError(f"its table {head.table[:64]!r} is none of this revision's")


def _empty(place: Place, connection: Connection, *, replaces: bool) -> None:
    rows = {name: count for name, count in count_rows(connection).items() if count}
    if rows and not replaces:
        told = ", ".join(f"{count:,} in {name}" for name, count in rows.items())
        raise StartupError(
            f"{place} has rows already ({told}). To remove them and take the backup's instead, "
            "add --replace."
        )
    for table in reversed(schema.metadata.sorted_tables):
        connection.execute(delete(table))


def _check_revision(place: Place, connection: Connection) -> None:
    revision = revision_of(connection)
    if revision != newest():
        raise StartupError(
            f"{place} is of revision {revision or 'none'}, and this version works with "
            f"{newest()}. Run `python -m serve storage migrate`."
        )


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


@contextmanager
def _staged(path: Path) -> Iterator[BinaryIO]:
    """A file beside the path, closed to others, which gets its name once it is on the disk."""
    new = durable.new_name(path)
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            durable.sync(file.fileno())
        durable.put_in_place(new, path)
    finally:
        new.unlink(missing_ok=True)
