"""A look at a database for an operator: what it is, what is in it, and what is wrong with it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete
from sqlalchemy.exc import DBAPIError

from serve.errors import StartupError
from serve.storage import schema
from serve.storage.backup import count_rows
from serve.storage.clock import now_ms
from serve.storage.engines import opened, reason_of
from serve.storage.migrating import newest, revision_of
from serve.storage.places import Place, unhurried

MAX_CLOCK_DIFFERENCE_MS = 5_000
MAX_FAULTS = 20
_DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
"""PostgreSQL's settings without which a power cut may take what was acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Findings of a look.

    Attributes:
        place: the database, without a password.
        kind: sqlite or postgresql, with its version.
        revision: of the tables; None where there are none.
        rows: of each table.
        faults: what is wrong, and what to do; empty where nothing is.
    """

    place: str
    kind: str
    revision: str | None
    rows: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def check(place: Place) -> Report:
    """Examine the database; reads all of a SQLite file, and changes nothing.

    Raises:
        StartupError: it cannot be used at all.
    """
    place = unhurried(place)
    with opened(place, is_reader=True) as engine, engine.connect() as connection:
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        report = Report(
            place=str(place).removeprefix("The database "),
            kind=f"{connection.dialect.name} {version}".strip(),
            revision=revision_of(connection),
        )
        if report.revision != newest():
            report.faults.append(
                f"its tables are of revision {report.revision or 'none'}, and this version works "
                f"with {newest()}: a start, or `storage migrate`, brings them up to date"
            )
            return report
        _look_at_clock(connection, report)
        look = _look_at_file if connection.dialect.name == "sqlite" else _look_at_settings
        try:
            look(connection, report)
            report.rows.update(count_rows(connection))
        except DBAPIError as error:
            report.faults.append(f"rows cannot be read: {reason_of(error)}")
    _look_at_writing(place, report)
    return report


def _look_at_clock(connection: Connection, report: Report) -> None:
    difference_ms = now_ms(connection) - int(time.time() * 1000)
    if abs(difference_ms) > MAX_CLOCK_DIFFERENCE_MS:
        report.faults.append(
            f"its clock is {difference_ms / 1000:+.1f} s from this machine's: limits, expiry and "
            "days follow the database's; set both by NTP"
        )


def _look_at_file(connection: Connection, report: Report) -> None:
    found = connection.exec_driver_sql(f"PRAGMA integrity_check({MAX_FAULTS})").scalars().all()
    report.faults.extend(f"integrity: {line}" for line in found if line != "ok")


def _look_at_settings(connection: Connection, report: Report) -> None:
    for name, wanted in _DURABLE.items():
        value = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
        is_durable = value in {wanted, "remote_apply", "remote_write", "local"}
        if not is_durable:
            report.faults.append(
                f"{name} is {value}: what was acknowledged may be lost with the server's power"
            )


def _look_at_writing(place: Place, report: Report) -> None:
    """Try a write, which is rolled back."""
    try:
        with opened(place) as engine, engine.connect() as connection, connection.begin() as trying:
            connection.execute(delete(schema.accounts).where(schema.accounts.c.account == ""))
            trying.rollback()
    except StartupError as error:
        report.faults.append(f"nothing can be written: {error}")
