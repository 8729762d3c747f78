"""Errors of the drivers, in words for an operator: with what is wrong, and without values."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError, OperationalError

from serve.errors import StartupError
from serve.storage import schema
from serve.storage.engines import opened, reason_of
from serve.storage.places import SqliteFile
from tests.serve.storage.works import inserting


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationalError("SELECT 's'", {}, sqlite3.OperationalError("is full")), "is full"),
        (OperationalError("", {}, Exception("first line.\nsecond")), "first line"),
        (OperationalError("", {}, Exception("red \x1b[31m")), r"red \x1b[31m"),
        (PermissionError(13, "Permission denied", "/state/intramural.db"), "Permission denied"),
    ],
)  # fmt: skip
def test_words_of_drivers(error, words):
    assert reason_of(error) == words


def test_what_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "file").touch()
    place = SqliteFile(path=tmp_path / "file" / "intramural.db")
    with (
        pytest.raises(StartupError, match=r"The database .*/file/intramural\.db cannot be used"),
        opened(place) as engine,
        engine.connect(),
    ):
        pass


async def test_an_error_shows_no_values(database):
    await database.write(inserting("s3cr3t"))
    with pytest.raises(IntegrityError) as told:
        await database.write(inserting("s3cr3t"))
    assert "s3cr3t" not in str(told.value).replace("Key (account)=(s3cr3t)", "")


async def test_a_row_that_does_not_fit_is_its_works_fault(database):
    def work(connection) -> None:
        connection.execute(insert(schema.accounts).values(account="a"))

    with pytest.raises(IntegrityError):
        await database.write(work)
    assert database.is_available
