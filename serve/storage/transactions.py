"""Works of many callers in one transaction, from which one that raises is left out."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)

from serve.storage.counting.counters import StoreUnavailable
from serve.storage.engines import reason_of
from serve.storage.lane import Expectation, Job
from serve.storage.places import Patience
from serve.storage.postgresql import SilentServer
from serve.storage.together import Together

log = logging.getLogger(__name__)


class Transactions:
    """One engine's transactions.

    Attributes:
        expectation: when the next answer of the database is due.
    """

    def __init__(self, engine: Engine, patience: Patience) -> None:
        self._engine = engine
        self.expectation = Expectation()
        self._patience = patience
        _expect_answers(engine, patience, self.expectation)

    def run(self, jobs: Sequence[Job]) -> None:
        """Run the jobs' works in one transaction, and return once it is committed.

        Those of one kind are done together (together.py) and the others one after the other: in
        no order that callers could tell, as none of them was answered before another asked. Where
        one of several raises, all is rolled back and run again, each in a savepoint: so groups in
        which none raises, nearly all, need none, which to a server is two round trips less for each
        work. Where the connection turns out to be lost and nothing was committed, they run again on
        another: a server that was restarted costs nobody anything.

        Raises:
            StoreUnavailable: nothing was committed, or that is not known.
        """
        run_all, may_reconnect = _run_bare, True
        while jobs:
            outcome = self._try(jobs, run_all, may_reconnect=may_reconnect)
            if outcome == "committed" or (outcome == "raised" and len(jobs) == 1):
                return
            if outcome == "raised":
                run_all = _run_in_savepoints
            else:
                may_reconnect = False
                jobs = [job for job in jobs if not job.is_abandoned]

    def _try(
        self,
        jobs: Sequence[Job],
        run_all: Callable[[Connection, Sequence[Job]], None],
        *,
        may_reconnect: bool,
    ) -> Literal["committed", "raised", "lost"]:
        is_committing = False
        try:
            self.expectation.expect(self._patience.connect_s)
            with self._engine.connect() as connection, connection.begin() as transaction:
                run_all(connection, jobs)
                is_committing = True
                self.expectation.expect(self._patience.answer_s)
                transaction.commit()
        except _RaisedError:
            return "raised"
        except (SQLAlchemyError, OSError) as error:
            self._engine.dispose()  # the next transaction has a connection of its own
            is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
            is_silent = isinstance(getattr(error, "orig", None), SilentServer)
            if is_lost and may_reconnect and not (is_silent or is_committing):
                return "lost"
            log.warning("the database failed", extra={"reason": reason_of(error)})
            raise StoreUnavailable(_told(error)) from None
        return "committed"


class _RaisedError(Exception):
    """A work raised, and the transaction has to be rolled back."""


def _run_bare(connection: Connection, jobs: Sequence[Job]) -> None:
    """Run works; what one raises ends the transaction."""
    for together in _by_kind(jobs):
        if len(together) == 1:
            _run(connection, together[0])
        else:
            _run_together(connection, together)
        if any(job.error is not None for job in together):
            raise _RaisedError


def _run_in_savepoints(connection: Connection, jobs: Sequence[Job]) -> None:
    """Run works each by itself; what one raises is rolled back alone."""
    for job in jobs:
        with connection.begin_nested() as savepoint:
            _run(connection, job)
            if job.error is not None:
                savepoint.rollback()


def _by_kind(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs whose works are done together, and those that are alone."""
    kinds: dict[Any, list[Job]] = {}
    for job in jobs:
        kind = job.work.do if isinstance(job.work, Together) else job
        kinds.setdefault(kind, []).append(job)
    return list(kinds.values())


def _run_together(connection: Connection, jobs: Sequence[Job]) -> None:
    """Run works of one kind by one call; what it raises is no one's in particular."""
    works = [job.work for job in jobs]
    do = cast("Together[Any, Any]", works[0]).do
    try:
        results = do(connection, [cast("Together[Any, Any]", work).item for work in works])
    except Exception as error:
        if is_of_store(error):
            raise
        raise _RaisedError from None
    for job, result in zip(jobs, results, strict=True):
        job.result, job.error = result, None


def _run(connection: Connection, job: Job) -> None:
    """Run one work; what it raises is its own, unless it was the database that failed."""
    job.result = job.error = None
    try:
        job.result = job.work(connection)
    except Exception as error:
        if is_of_store(error):
            raise
        job.error = error


def is_of_store(error: BaseException) -> bool:
    """Whether the database failed, and not the work: it is away, slow, full, read-only, broken."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if isinstance(error, OperationalError | InternalError | InterfaceError):
        return True
    return type(error.orig) is sqlite3.DatabaseError  # malformed, or no database at all


def _expect_answers(engine: Engine, patience: Patience, expectation: Expectation) -> None:
    turn_s = patience.turn_s + patience.answer_s

    @event.listens_for(engine, "before_cursor_execute")
    def _before(
        _connection: Connection, _cursor: Any, _sql: str, _values: Any, context: Any, _many: bool
    ) -> None:
        waits = context is not None and "waits_for_turn" in context.execution_options
        expectation.expect(turn_s if waits else patience.answer_s)


def _told(error: Exception) -> str:
    """The error for whoever asked: neither an address nor SQL, which may hold values."""
    return f"the database failed ({type(getattr(error, 'orig', None) or error).__name__})"
