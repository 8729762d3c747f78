"""A lane: one thread that runs the works of many callers, in groups, and callers who wait for it.

A caller waits while the thread is answered by its store, and no longer: the thread says beforehand
when it expects the next answer, and a store that is silent beyond that has failed whoever waits,
also where the thread itself cannot be woken, as on a disk that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from serve.storage.counters import StoreUnavailable

log = logging.getLogger(__name__)

MAX_GROUP = 64
"""Works in one transaction."""
MAX_WAITING = 4096
"""Works that wait for the thread; another is refused."""
CLOSE_S = 10.0
"""Seconds for what was taken to be finished when the lane closes."""

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
    """A thread with a bounded queue. It starts with the first call.

    Args:
        name: of the thread.
        run: runs jobs, at least one, and sets each one's result or error; raises StoreUnavailable
            when none of them was answered.
        expectation: which ``run`` keeps up to date.
        silence_s: seconds of silence by which all that waited as long have failed too.
        queue_s: seconds that a caller waits at most.
        max_group: jobs that one ``run`` is given.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Job]], None],
        expectation: Expectation,
        *,
        silence_s: float,
        queue_s: float,
        max_group: int = MAX_GROUP,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._run = run
        self._expectation = expectation
        self._silence_s = silence_s
        self._queue_s = queue_s
        self._max_group = max_group
        self._max_waiting = max_waiting
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    async def call(self, work: Work) -> Job:
        """Run the work on the thread and return it with its result, or the error that it raised.

        Raises:
            StoreUnavailable: it was not answered in time, or too many wait.
        """
        job = Job(work, asyncio.get_running_loop().create_future())
        self._take(job)
        try:
            await self._answer(job)
        finally:
            job.is_abandoned = True
        return job

    async def close(self) -> None:
        """Finish what was taken, and end the thread; one that hangs is left behind."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_S)

    def _take(self, job: Job) -> None:
        with self._changed:
            if self._is_closing:
                raise StoreUnavailable("the database is closed")
            if len(self._waiting) >= self._max_waiting:
                raise StoreUnavailable(f"{self._max_waiting:,} calls wait for the database already")
            self._waiting.append(job)
            self._changed.notify()
            if self._thread.ident is None:
                self._thread.start()

    async def _answer(self, job: Job) -> None:
        last = job.since + self._queue_s
        while True:
            due = min(self._expectation.due, last)
            left = due - time.monotonic()
            await asyncio.wait({job.future}, timeout=max(left, 0.001))
            if job.future.done():
                job.future.result()
                return
            if time.monotonic() >= min(self._expectation.due, last):
                raise StoreUnavailable("the database did not answer in time")

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_closing:
                    self._changed.wait()
                jobs = list(self._next_group())
                if not jobs and not self._waiting and self._is_closing:
                    return
            if jobs:
                self._run_group(jobs)

    def _next_group(self) -> Sequence[Job]:
        group: list[Job] = []
        while self._waiting and len(group) < self._max_group:
            job = self._waiting.popleft()
            if not job.is_abandoned:
                group.append(job)
        return group

    def _run_group(self, jobs: list[Job]) -> None:
        reason: str | None = None
        try:
            self._run(jobs)
        except StoreUnavailable as error:
            reason = str(error)
            jobs += self._as_silent()
        except Exception:  # a defect ends no thread that all others wait for
            log.exception("database thread")
            reason = "the database failed"
        finally:
            self._expectation.rest()
        _tell(jobs, reason)

    def _as_silent(self) -> list[Job]:
        """Those who have waited as long as the store was silent."""
        since = time.monotonic() - self._silence_s
        with self._changed:
            late = list(itertools.takewhile(lambda job: job.since <= since, self._waiting))
            for _ in late:
                self._waiting.popleft()
        return late


def _tell(jobs: Sequence[Job], reason: str | None) -> None:
    """Tell each loop of its jobs with one call.

    Args:
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
        if job.future.done():  # its caller was cancelled
            continue
        if reason is None:
            job.future.set_result(None)
        elif not job.is_abandoned:
            job.future.set_exception(StoreUnavailable(reason))
