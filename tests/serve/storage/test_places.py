"""Places of the database: they show no password, and each has its patience."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.storage.places import (
    REPORT_S,
    Place,
    PostgresqlServer,
    SqliteFile,
    for_reports,
    unhurried,
)

FILE = SqliteFile(path=Path("/state/x.db"))
SERVER = PostgresqlServer(conninfo="postgresql://me:secret@db/x", name="x at db")


def test_they_are_named_without_the_password() -> None:
    assert (str(FILE), str(SERVER)) == ("The database /state/x.db", "The database x at db")
    assert "secret" not in repr(SERVER)
    assert str(PostgresqlServer(conninfo="x")) == "The database"


@pytest.mark.parametrize("place", [FILE, SERVER])
def test_reports_may_take_longer_and_connect_as_fast(place: Place) -> None:
    slow = for_reports(place).patience
    assert slow.answer_s == REPORT_S > place.patience.answer_s
    assert (slow.connect_s, slow.turn_s) == (place.patience.connect_s, place.patience.turn_s)
    assert unhurried(place).patience.answer_s > REPORT_S


def test_a_server_answers_within_a_quarter_of_a_second() -> None:
    assert SERVER.patience.answer_s == 0.25  # ADR 0013
    assert FILE.patience.answer_s == 5.0
