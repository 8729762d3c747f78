"""A SQLite file: private, durable, and told apart when the disk is full, read-only or damaged."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

from serve.errors import StartupError
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database, open_database
from serve.storage.engines import opened
from serve.storage.migrating import migrate
from serve.storage.places import SqliteFile
from serve.storage.sqlite import sqlite_engine
from tests.house.tree import ROOT
from tests.serve.storage.works import inserting, names

WRITER = """
import asyncio, sys
from pathlib import Path
from serve.storage.database import Database
from serve.storage.places import SqliteFile
from tests.serve.storage.works import inserting

async def write(database, prefix):
    for number in range(100_000):
        name = await database.write(inserting(f"{prefix}-{number}"))
        print(name, flush=True)

async def main():
    database = Database(SqliteFile(path=Path(sys.argv[1])))
    await asyncio.gather(*(write(database, f"{sys.argv[2]}-{n}") for n in range(16)))

asyncio.run(main())
"""


@pytest.fixture
def file(tmp_path, _migrated_file) -> SqliteFile:
    """A database with our tables."""
    path = tmp_path / "intramural.db"
    shutil.copy(_migrated_file, path)
    return SqliteFile(path=path)


@pytest.fixture
async def database(file) -> AsyncIterator[Database]:
    database = Database(file)
    await database.write(inserting("first"))
    yield database
    await database.close()


async def refused(database: Database, name: str) -> None:
    with pytest.raises(StoreUnavailable):
        await database.write(inserting(name))


def close_circuits(database: Database) -> None:
    """As when their pauses are over."""
    for circuit in database._circuits:
        if circuit._next_trial is not None:
            circuit._next_trial = 0.0


def test_every_file_of_it_is_closed_to_others(tmp_path):
    before = os.umask(0)
    try:
        place = SqliteFile(path=tmp_path / "state" / "intramural.db")
        migrate(place)
        with opened(place) as engine, engine.begin() as connection:
            inserting("one")(connection)
            files = list(place.path.parent.iterdir())
            assert {path.name for path in files} == {
                f"intramural.db{end}" for end in ("", "-wal", "-shm")
            }
            assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        assert place.path.parent.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_a_file_that_is_open_to_others_is_refused(file):
    file.path.chmod(0o640)
    with pytest.raises(StartupError, match=r"cannot be used: it is open to group .*chmod 600"):
        migrate(file)


def test_what_is_committed_is_synced(file):
    with opened(file) as engine, engine.connect() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        asked = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert asked == ["wal", 2, 1]


async def test_works_are_committed_together(database):
    commits = []
    event.listen(database._engines[0], "commit", lambda _: commits.append(1))
    await asyncio.gather(*(database.write(inserting(str(n))) for n in range(128)))
    assert len(commits) <= 4
    assert len(await database.read(names)) == 129


async def test_a_full_disk_refuses_what_does_not_fit_and_goes_on(database):
    engine = database._engines[0]

    @event.listens_for(engine, "begin")
    def no_room(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    big = [f"big-{number}-" + "x" * 400 for number in range(600)]
    told = await asyncio.gather(
        *(database.write(inserting(n)) for n in big), return_exceptions=True
    )
    kept = {each for each in told if isinstance(each, str)}
    assert StoreUnavailable in {type(each) for each in told}
    assert not database.is_available
    assert await database.read(names) == {"first"} | kept
    event.remove(engine, "begin", no_room)
    engine.dispose()
    close_circuits(database)
    await database.write(inserting("second"))
    assert database.is_available


async def test_a_read_only_file_is_told_and_read(database):
    engine = database._engines[0]

    @event.listens_for(engine, "begin")
    def read_only(connection):
        connection.exec_driver_sql("PRAGMA query_only = ON")

    for _ in range(5):
        await refused(database, "lost")
    assert not database.is_available
    assert await database.read(names) == {"first"}
    event.remove(engine, "begin", read_only)
    close_circuits(database)
    await database.write(inserting("second"))
    assert await database.read(names) == {"first", "second"}


async def test_a_file_that_another_process_holds_is_waited_for(file):
    """Its writes come after; with patience that is shorter, they are refused."""
    database = Database(file)
    other = sqlite3.connect(file.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(database.write(inserting("second")))
    await asyncio.sleep(0.02)
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    assert await writing == "second"
    await database.close()


@pytest.mark.parametrize("content", [b"not a database, but text\n" * 400, b"SQLite format 3\x00!"])
async def test_a_file_that_is_no_database_ends_the_start(tmp_path, content):
    path = tmp_path / "intramural.db"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StartupError, match=r"intramural\.db cannot be used: .*(database|disk)"):
        await open_database(SqliteFile(path=path))


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_file_that_is_replaced_while_it_is_open(file, tmp_path, is_deleted):
    """A connection would go on with the former one: nobody would see what is written to the new."""
    opened_before = Database(file)
    await opened_before.write(inserting("before"))
    assert await opened_before.read(names) == {"before"}
    for path in tmp_path.glob("intramural.db*"):
        path.rename(path.with_name("former" + path.name))
    if not is_deleted:
        shutil.copy(tmp_path / "formerintramural.db", file.path)
    for ask in (opened_before.read(names), opened_before.write(inserting("lost"))):
        with pytest.raises(StoreUnavailable):
            await ask
    if is_deleted:
        with pytest.raises(StoreUnavailable):
            await opened_before.read(names)
    else:
        await opened_before.write(inserting("after"))
        assert "after" in await opened_before.read(names)
    await opened_before.close()


async def test_a_file_that_is_damaged_while_it_is_open(file):
    """What cannot be read is told, not made up."""
    database = Database(file)
    await database.write(inserting("first"))
    await database.close()
    with file.path.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * (file.path.stat().st_size - 4096))
    database = Database(file)
    with pytest.raises(StoreUnavailable):
        await database.read(names)
    await refused(database, "second")
    await database.close()


def killed_while_writing(file: SqliteFile, number: int, *, after: int) -> set[str]:
    """Names that a process acknowledged before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file.path), str(number)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().rpartition("\n")[0]
    process.stdout.close()
    process.wait(30)
    return {line.strip() for line in [*lines, *rest.split("\n")] if line.strip()}


def test_a_process_that_is_killed_loses_nothing_that_was_acknowledged(file, is_proving):
    done = set()
    for number in range(10 if is_proving else 1):
        done |= killed_while_writing(file, number, after=100 + 37 * number)
    with opened(file) as engine, engine.connect() as connection:
        assert done <= names(connection)
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_a_disk_that_is_full_or_read_only(tmp_path, is_proving):
    """A real one: a small file system of its own, where this user may mount one."""
    if not is_proving:
        pytest.skip("mounts a file system; run by `make prove`")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        asyncio.run(full_then_read_only(disk))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


async def full_then_read_only(disk: Path) -> None:
    place = SqliteFile(path=disk / "intramural.db")
    database = await open_database(place)
    kept = set()
    for number in range(10_000):
        try:
            kept.add(await database.write(inserting(f"{number}-" + "x" * 400)))
        except StoreUnavailable:
            break
    assert 20 < len(kept) < 9_000
    assert kept <= await database.read(names)
    remount(disk, "size=4m")
    close_circuits(database)
    await database.write(inserting("room again"))
    await database.close()
    remount(disk, "ro")
    database = Database(place)
    with pytest.raises(StoreUnavailable):
        await database.write(inserting("read-only"))
    await database.close()
    remount(disk, "rw")
    database = Database(place)
    assert kept | {"room again"} <= await database.read(names)
    await database.close()


OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0)
connection.close()
"""


def inode_of(path: Path) -> int:
    return path.stat().st_ino


async def test_another_process_that_closes_it_leaves_its_log(database, file):
    """SQLite's last connection deletes the log: the other one must see that it is not the last."""
    await database.read(names)  # by a connection of its own
    log = Path(f"{file.path}-wal")
    before = inode_of(log)
    command = [sys.executable, "-c", OTHER, str(file.path)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b"True\n"
    assert inode_of(log) == before


def test_many_may_be_the_first_to_open_a_file(tmp_path: Path) -> None:
    """SQLite says at once that it is busy where two put a file into WAL together."""
    together = threading.Barrier(8)

    def opened_once(place: SqliteFile) -> str:
        engine = sqlite_engine(place)
        together.wait(30)
        with engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        engine.dispose()
        return str(mode)

    with ThreadPoolExecutor(8) as pool:
        for number in range(60):
            place = SqliteFile(path=tmp_path / f"{number}.db")
            assert set(pool.map(opened_once, [place] * 8)) == {"wal"}
