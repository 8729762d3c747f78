"""Works that share a transaction: what is sent, what is run again, and whose fault a failure is."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import event, exc, text

from serve.storage.database import Database
from serve.storage.lane import Job
from serve.storage.places import SqliteFile
from serve.storage.transactions import Transactions, is_of_store
from tests.serve.storage.works import inserting, names


@pytest.fixture
def transactions(tmp_path, _migrated_file) -> Iterator[Transactions]:
    path = tmp_path / "intramural.db"
    shutil.copy(_migrated_file, path)
    database = Database(SqliteFile(path=path))
    yield Transactions(database._engines[0], SqliteFile(path=path).patience)
    for engine in database._engines:
        engine.dispose()


@pytest.fixture
def sent(transactions) -> list[str]:
    """The first words of what was sent."""
    words: list[str] = []

    @event.listens_for(transactions._engine, "before_cursor_execute")
    def _sent(_connection, _cursor, statement, *_rest):
        words.append(statement.split()[0])

    for name in ("savepoint", "rollback_savepoint", "commit", "rollback"):
        event.listen(transactions._engine, name, lambda *_, n=name: words.append(n))
    return words


def job_of(work) -> Job:
    return Job(work, asyncio.Future(loop=asyncio.new_event_loop()))


@pytest.fixture(autouse=True)
def _closed_loops() -> Iterator[None]:
    """Loops of futures that nobody waits for."""
    loops: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop
    patch = pytest.MonkeyPatch()
    patch.setattr(asyncio, "new_event_loop", lambda: loops.append(make()) or loops[-1])
    yield
    patch.undo()
    for loop in loops:
        loop.close()


def test_works_that_do_not_raise_need_no_savepoints(transactions, sent):
    jobs = [job_of(inserting(str(number))) for number in range(3)]
    transactions.run(jobs)
    assert [job.result for job in jobs] == ["0", "1", "2"]
    assert sent == ["BEGIN", "INSERT", "INSERT", "INSERT", "commit"]


def test_a_work_that_raises_alone_is_rolled_back(transactions, sent):
    job = job_of(inserting("a", fails=True))
    transactions.run([job])
    assert isinstance(job.error, ValueError)
    assert sent == ["BEGIN", "INSERT", "rollback"]


def test_a_work_that_raises_among_others_is_left_out(transactions, sent):
    jobs = [job_of(inserting("a")), job_of(inserting("b", fails=True)), job_of(inserting("a"))]
    transactions.run(jobs)
    kinds = [type(job.error) for job in jobs]
    assert kinds == [type(None), ValueError, exc.IntegrityError]
    assert sent.count("rollback") == 1
    assert sent.count("rollback_savepoint") == 2
    look = job_of(names)
    transactions.run([look])
    assert look.result == {"a"}


def error(kind: type[exc.DBAPIError], orig: BaseException) -> exc.DBAPIError:
    return kind("SELECT", {}, orig)


@pytest.mark.parametrize(
    ("raised", "is_stores"),
    [
        (error(exc.OperationalError, sqlite3.OperationalError("disk is full")), True),
        (error(exc.DatabaseError, sqlite3.DatabaseError("malformed")), True),
        (error(exc.InternalError, psycopg.errors.ReadOnlySqlTransaction()), True),
        (error(exc.InterfaceError, psycopg.InterfaceError("closed")), True),
        (error(exc.IntegrityError, sqlite3.IntegrityError("unique")), False),
        (error(exc.DataError, psycopg.DataError("out of range")), False),
        (error(exc.ProgrammingError, psycopg.errors.UndefinedTable()), False),
        (exc.NoResultFound(), False),
        (ValueError(), False),
    ],
)
def test_whose_fault_it_is(raised, is_stores):
    assert is_of_store(raised) is is_stores


def test_the_message_has_neither_sql_nor_values(transactions):
    def broken(connection):
        connection.execute(text("SELECT * FROM none WHERE secret = 's3cr3t'"))

    with pytest.raises(Exception, match=r"^the database failed \(OperationalError\)$"):
        transactions.run([job_of(broken)])
