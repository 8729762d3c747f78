"""Places that a database can be in, and how long each may take.

A server over the network has 250 ms for each answer (ADR 0013): in a cluster it answers within a
few, and while it does not, requests wait. A file on this machine's disk has 5 s: there is no
network to lose, a slow disk may take a second for one sync, and while a command such as ``keys``
writes, the file is locked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FILE_NAME = "intramural.db"
"""The database's, in the state folder."""

WAITS_FOR_TURN: Mapping[str, Any] = {"waits_for_turn": True}
"""SQLAlchemy's option of a statement that waits for others who write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that a database may take.

    Attributes:
        answer_s: for one statement, and for a commit.
        connect_s: for a new connection.
        turn_s: for the turn of this process among the replicas that write.
        idle_s: for whoever has the turn and sends nothing; the server then ends the connection.
        queue_s: for a call that waits behind others, while those are answered.
    """

    answer_s: float
    connect_s: float
    turn_s: float
    idle_s: float = 1.0
    queue_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteFile:
    """A database in a file of this machine."""

    path: Path
    patience: Patience = Patience(answer_s=5.0, connect_s=5.0, turn_s=5.0)

    def __str__(self) -> str:
        return f"The database {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlServer:
    """A database that replicas share.

    Attributes:
        conninfo: of libpq, or a URL; with the password, and not shown.
        name: for messages; without it.
    """

    conninfo: str = field(repr=False)
    name: str = ""
    patience: Patience = Patience(answer_s=0.25, connect_s=0.25, turn_s=2.0)

    def __str__(self) -> str:
        return f"The database {self.name}".rstrip()


REPORT_S = 30.0
"""Seconds for a read that somebody asked a report of."""
_UNHURRIED = Patience(answer_s=600.0, connect_s=5.0, turn_s=60.0, idle_s=60.0)

Place = SqliteFile | PostgresqlServer


def unhurried(place: Place) -> Place:
    """The place with time for a command or a migration, for which no request waits."""
    return replace(place, patience=_UNHURRIED)


def for_reports(place: Place) -> Place:
    """The place with time for reports; connections take no longer than others."""
    return replace(place, patience=replace(place.patience, answer_s=REPORT_S, idle_s=REPORT_S))
