"""Backups: from either database into either, while it is written to, and never in half."""

from __future__ import annotations

import gzip
import threading

import pytest

from serve.errors import StartupError
from serve.storage.backup import back_up, count_rows, restore
from serve.storage.engines import opened
from serve.storage.migrating import VERSION_TABLE, migrate
from serve.storage.places import SqliteFile
from tests.serve.storage.rows import all_rows, fill
from tests.serve.storage.works import inserting, names


def quiet(table: str, done: int, total: int) -> None:
    """Show no progress."""


def within(place, work, *, is_reader: bool = False):
    with opened(place, is_reader=is_reader) as engine, engine.begin() as connection:
        return work(connection)


@pytest.fixture
def other(tmp_path) -> SqliteFile:
    """A database that is not there yet."""
    return SqliteFile(path=tmp_path / "other" / "intramural.db")


def test_all_rows_are_carried_and_back_again(migrated_place, other, tmp_path):
    within(migrated_place, lambda connection: fill(connection, 25))
    before = within(migrated_place, all_rows)
    made = back_up(migrated_place, tmp_path / "one.gz", quiet)
    assert set(made.rows.values()) == {25}
    assert (tmp_path / "one.gz").stat().st_mode & 0o777 == 0o600

    restored = restore(other, tmp_path / "one.gz", quiet, replaces=False)
    assert restored == made
    assert within(other, all_rows) == before

    back_up(other, tmp_path / "two.gz", quiet)
    within(migrated_place, inserting("after the backup"))
    with pytest.raises(StartupError, match=r"has rows already \(.*26 in accounts.*--replace"):
        restore(migrated_place, tmp_path / "two.gz", quiet, replaces=False)
    restore(migrated_place, tmp_path / "two.gz", quiet, replaces=True)
    assert within(migrated_place, all_rows) == before


def test_it_shows_one_moment_while_others_write(migrated_place, tmp_path):
    """What is written after the first table was read is in none of the tables of the backup."""
    within(migrated_place, lambda connection: fill(connection, 3))
    written = threading.Event()

    def write_once(table: str, done: int, total: int) -> None:
        if not written.is_set():
            written.set()
            within(migrated_place, lambda connection: connection.exec_driver_sql(
                "DELETE FROM ledger"
            ))  # fmt: skip
            within(migrated_place, inserting("later"))

    made = back_up(migrated_place, tmp_path / "one.gz", write_once)
    assert written.is_set()
    assert set(made.rows.values()) == {3}
    assert within(migrated_place, count_rows)["ledger"] == 0


def test_a_backup_is_there_whole_or_not_at_all(migrated_place, tmp_path):
    within(migrated_place, lambda connection: fill(connection, 3))

    def stop(table: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(migrated_place, tmp_path / "one.gz", stop)
    assert not list(tmp_path.glob("*.gz")) + list(tmp_path.glob(".*"))
    (tmp_path / "one.gz").touch()
    with pytest.raises(StartupError, match="is there already"):
        back_up(migrated_place, tmp_path / "one.gz", quiet)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b'"accounts","columns":["account"', b'"accounts","columns":["other"', "'accounts' is"),
        (b'"revision":"0002"', b'"revision":"0000"', "of revision 0000 of the tables"),
        (b'"account-000001",', b"", "a row of accounts has 4 values"),
        (b'"account-000001"', b'"account-000009"', "SHA-256"),
    ],
)
def test_a_damaged_backup_changes_nothing(other, tmp_path, before, after, said):
    source = SqliteFile(path=tmp_path / "source.db")
    migrate(source)
    within(source, lambda connection: fill(connection, 3))
    back_up(source, tmp_path / "one.gz", quiet)
    text = gzip.decompress((tmp_path / "one.gz").read_bytes())
    assert before in text
    (tmp_path / "bad.gz").write_bytes(gzip.compress(text.replace(before, after, 1)))
    migrate(other)
    within(other, inserting("kept"))
    with pytest.raises(StartupError, match=said):
        restore(other, tmp_path / "bad.gz", quiet, replaces=True)
    assert within(other, names) == {"kept"}


def test_a_database_of_another_revision_is_not_backed_up(other, tmp_path):
    migrate(other)
    within(other, lambda connection: connection.exec_driver_sql(f"DELETE FROM {VERSION_TABLE}"))
    with pytest.raises(StartupError, match="of revision none, and this version works with"):
        back_up(other, tmp_path / "one.gz", quiet)
