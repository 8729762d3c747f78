"""A look at a database finds what is wrong with it, and changes nothing."""

from __future__ import annotations

import random

from serve.storage.checking import check
from serve.storage.engines import opened
from serve.storage.migrating import migrate, newest
from serve.storage.places import SqliteFile
from tests.serve.storage.rows import fill


def test_a_sound_database(migrated_place):
    with opened(migrated_place) as engine, engine.begin() as connection:
        fill(connection, 4)
    report = check(migrated_place)
    assert report.revision == newest()
    assert set(report.rows.values()) == {4}
    is_file = isinstance(migrated_place, SqliteFile)
    assert report.kind.startswith("sqlite 3." if is_file else "postgresql 1")
    told = [fault.partition(" is ")[0] for fault in report.faults]
    assert told == ([] if is_file else ["fsync", "full_page_writes", "synchronous_commit"])
    assert check(migrated_place) == report


def test_an_empty_database_lacks_its_tables(database_place):
    report = check(database_place)
    assert report.revision is None
    assert "of revision none" in report.faults[0]


def test_a_file_whose_pages_are_damaged(tmp_path):
    place = SqliteFile(path=tmp_path / "intramural.db")
    migrate(place)
    with opened(place) as engine, engine.begin() as connection:
        fill(connection, 500)
    raw = bytearray(place.path.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 8192] = random.Random(1).randbytes(8192)
    place.path.write_bytes(raw)
    (fault, *_) = check(place).faults
    assert fault.startswith(("integrity: ", "rows cannot be read: "))
