"""A lane: one thread that runs the works of many callers, in groups, and one that watches it.

The thread says beforehand when it expects the next answer of its store. Once that time has passed,
the watch tells all who wait that the store does not answer: also where the thread itself cannot be
woken, as on a disk that hangs. While the store answers others, a caller waits for its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from serve.storage.counting.counters import StoreUnavailable

log = logging.getLogger(__name__)

MAX_GROUP = 64
"""Works in one transaction."""
MAX_WAITING = 4096
"""Works that wait for the thread; another is refused."""
CLOSE_S = 5.0
"""Seconds for what was taken to be finished when the lane closes."""


class QueueIsFull(StoreUnavailable):
    """Too many calls wait. That says nothing of the store."""


Work = Callable[[Connection], Any]


class Expectation:
    """The time by which the thread will have been answered; infinite while it asks nothing."""

    def __init__(self) -> None:
        self.due = math.inf

    def expect(self, seconds: float) -> None:
        self.due = time.monotonic() + seconds

    def rest(self) -> None:
        self.due = math.inf


@dataclass(slots=True, eq=False)
class Job:
    """One work, and who waits for it.

    Attributes:
        future: resolved once the work is done, or was not answered (StoreUnavailable).
        is_abandoned: nobody waits for it any more.
        result: of the work.
        error: that the work raised, and is its caller's.
    """

    work: Work
    future: asyncio.Future[None]
    since: float = field(default_factory=time.monotonic)
    is_abandoned: bool = False
    result: Any = None
    error: Exception | None = None


class Lane:
    """A thread with a bounded queue, and its watch. Both start with the first call.

    Args:
        name: of the thread.
        run: runs jobs, at least one, and sets each one's result or error; raises StoreUnavailable
            when none of them was answered.
        expectation: which ``run`` keeps up to date.
        watch_s: seconds between two looks of the watch.
        queue_s: seconds that a caller waits at most for its turn.
        max_group: jobs that one ``run`` is given.
        max_waiting: jobs that wait for their turn.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Job]], None],
        expectation: Expectation,
        *,
        watch_s: float,
        queue_s: float,
        max_group: int = MAX_GROUP,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._run = run
        self._expectation = expectation
        self._watch_s = watch_s
        self._queue_s = queue_s
        self._max_group = max_group
        self._max_waiting = max_waiting
        self._waiting: deque[Job] = deque()
        self._running: Sequence[Job] = ()
        self._changed = threading.Condition()
        self._is_closing = False
        self._ended = threading.Event()
        self._worker = threading.Thread(target=self._work, name=name, daemon=True)
        self._watcher = threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True)

    async def call(self, work: Work) -> Job:
        """Run the work on the thread and return it with its result, or the error that it raised.

        Raises:
            QueueIsFull: too many wait.
            StoreUnavailable: it was not answered in time.
        """
        job = Job(work, asyncio.get_running_loop().create_future())
        self._take(job)
        try:
            await job.future
        finally:
            job.is_abandoned = True
        return job

    async def close(self) -> None:
        """Finish what was taken, and end the threads; one that hangs is left behind."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._worker.ident is not None:
            await asyncio.to_thread(self._worker.join, CLOSE_S)
            self._ended.set()
            await asyncio.to_thread(self._watcher.join)

    def _take(self, job: Job) -> None:
        with self._changed:
            if self._is_closing:
                raise StoreUnavailable("the database is closed")
            if len(self._waiting) >= self._max_waiting:
                raise QueueIsFull(f"{self._max_waiting:,} calls wait for the database already")
            self._waiting.append(job)
            self._changed.notify_all()
            if self._worker.ident is None:
                self._worker.start()
                self._watcher.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._running = ()
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    self._ended.set()
                    return
                jobs = self._running = self._next_group()
            if jobs:
                _tell(jobs, self._run_group(jobs))

    def _next_group(self) -> list[Job]:
        group: list[Job] = []
        while self._waiting and len(group) < self._max_group:
            job = self._waiting.popleft()
            if not job.is_abandoned:
                group.append(job)
        return group

    def _run_group(self, jobs: Sequence[Job]) -> str | None:
        """Run the jobs; the reason why none was answered, where that is so."""
        try:
            self._run(jobs)
        except StoreUnavailable as error:
            return str(error)
        except Exception:  # a defect ends no thread that all others wait for
            log.exception("database thread")
            return "the database failed"
        finally:
            self._expectation.rest()
        return None

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._running or self._is_closing)
                if not (self._waiting or self._running):
                    return
            if self._ended.wait(self._watch_s):
                return
            late = self._overdue()
            for job in late:
                job.is_abandoned = True
            _tell(late, "the database did not answer in time")

    def _overdue(self) -> list[Job]:
        """Those who are to be told that the store is silent, or that their turn did not come."""
        now = time.monotonic()
        with self._changed:
            if now > self._expectation.due:
                late = [*self._running, *self._waiting]
                self._waiting.clear()
                return late
            late = []
            while self._waiting and self._waiting[0].since < now - self._queue_s:
                late.append(self._waiting.popleft())
            return late


def _tell(jobs: Sequence[Job], reason: str | None) -> None:
    """Tell each loop of its jobs with one call.

    Args:
        jobs: some of which may have been told before.
        reason: why none of them was answered; None where all were.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.future.get_loop(), []).append(job)
    for loop, told in by_loop.items():
        with contextlib.suppress(RuntimeError):  # a loop that is closed waits for nothing
            loop.call_soon_threadsafe(_resolve, told, reason)


def _resolve(jobs: Sequence[Job], reason: str | None) -> None:
    for job in jobs:
        if job.future.done():  # its caller was cancelled, or told before
            continue
        if reason is None:
            job.future.set_result(None)
        else:
            job.future.set_exception(StoreUnavailable(reason))
