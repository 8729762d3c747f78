"""The database: a file of this machine (SQLite), or a server that replicas share (PostgreSQL).

What is written by many is committed together: one thread gathers the works that wait, runs them in
one transaction, and tells nobody before the commit is durable. Writers of all
processes take turns, so that a work may read and then write without a race. Reads have connections
of their own, one for what is quick and one for reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine

from serve.errors import StartupError
from serve.storage.circuit import Circuit
from serve.storage.clock import now_ms
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.engines import engine_of
from serve.storage.lane import MAX_GROUP, Lane, QueueIsFull
from serve.storage.migrating import migrate
from serve.storage.places import Patience, Place, PostgresqlServer, for_reports
from serve.storage.transactions import Transactions

T = TypeVar("T")


class Database:
    """A database that is open. Safe for many tasks and threads, and many processes.

    Args:
        place: its file or server, whose tables are there already; ``open_database`` makes them.
    """

    def __init__(self, place: Place) -> None:
        self.is_shared = isinstance(place, PostgresqlServer)
        slow = for_reports(place)
        self._engines = [
            engine_of(place),
            engine_of(place, is_reader=True),
            engine_of(slow, is_reader=True),
        ]
        self._circuits = [Circuit(), Circuit(), Circuit()]
        self._lanes = [
            _lane("writes", self._engines[0], place.patience),
            _lane("reads", self._engines[1], place.patience),
            _lane("reports", self._engines[2], slow.patience, max_group=1),
        ]

    @property
    def is_available(self) -> bool:
        """Whether it answered of late: neither writes nor reads are refused."""
        writes, reads, _reports = self._circuits
        return writes.is_closed and reads.is_closed

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a work in a transaction, and return its result once that is durable.

        Works of many callers share a transaction; one that raises is rolled back alone. A work is
        short and does nothing but read and write by its connection, as it may be run again: where
        another of its transaction raised, or the connection was lost before the commit.

        Raises:
            StoreUnavailable: whether it was written is not known.
        """
        return await _guarded(self._circuits[0], self._lanes[0], work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a work that only reads, in a transaction that sees one state of the database.

        Raises:
            StoreUnavailable: it was not answered.
        """
        return await _guarded(self._circuits[1], self._lanes[1], work)

    async def report(self, work: Callable[[Connection], T]) -> T:
        """Run a work that reads much, as `read` does; it may take 30 s and holds up no other.

        Raises:
            StoreUnavailable: it was not answered.
        """
        return await _guarded(self._circuits[2], self._lanes[2], work)

    async def close(self) -> None:
        """Finish what was taken, and let go of the connections."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))
        for engine in self._engines:
            await asyncio.to_thread(engine.dispose)


async def open_database(place: Place) -> Database:
    """Open a database whose tables are made, or brought up to date, first.

    Raises:
        StartupError: it cannot be used, or is of a newer version of this program.
    """
    await asyncio.to_thread(migrate, place)
    database = Database(place)
    try:  # so that no request waits for the first connections
        await database.write(now_ms)
        await database.read(now_ms)
    except StoreUnavailable as error:
        await database.close()
        raise StartupError(f"{place} cannot be used: {error}.") from None
    return database


def _lane(name: str, engine: Engine, patience: Patience, *, max_group: int = MAX_GROUP) -> Lane:
    transactions = Transactions(engine, patience)
    return Lane(
        f"database-{name}",
        transactions.run,
        transactions.expectation,
        watch_s=patience.answer_s / 8,
        queue_s=patience.queue_s,
        max_group=max_group,
    )


async def _guarded(circuit: Circuit, lane: Lane, work: Callable[[Connection], T]) -> T:
    call = circuit.begin()
    if call is None:
        raise StoreUnavailable("the database did not answer of late, and is left alone for a while")
    try:
        job = await lane.call(work)
    except QueueIsFull:  # which opens no circuit: the store answers
        raise
    except StoreUnavailable:
        circuit.fail(call)
        raise
    circuit.succeed(call)
    if job.error is not None:
        raise job.error
    result: T = job.result
    return result
