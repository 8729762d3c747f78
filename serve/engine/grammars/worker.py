"""The thread that compiles, and what happens when it does not come back.

Compiling is work of Rust that nothing can interrupt. A job that takes too long is left alone with
its thread, and another thread goes on with the queue.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

_Result = TypeVar("_Result")
_PATIENCE_S = 0.1


class TooSlowError(Exception):
    """A job took longer than it may, or too many such jobs have not ended yet."""


class Worker(Generic[_Result]):
    """One daemon thread, so that hostile work takes one core at most. Begun with the first job.

    Args:
        most_s: seconds that a job may take.
        most_stuck: so many jobs that have taken longer, and no more are begun.
    """

    def __init__(self, *, most_s: float, most_stuck: int) -> None:
        self._most_s = most_s
        self._most_stuck = most_stuck
        self._jobs: SimpleQueue[tuple[Future[_Result], Callable[[], _Result]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._present: tuple[Future[_Result], float] | None = None
        self._num_stuck = 0

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """The work's result.

        Raises:
            TooSlowError: see the class.
            Exception: whatever the work raises.
        """
        job: Future[_Result] = Future()
        with self._lock:
            if self._num_stuck >= self._most_stuck:
                raise TooSlowError
            if self._thread is None:
                self._begin()
        self._jobs.put((job, work))
        result = asyncio.wrap_future(job)
        while not result.done():
            await asyncio.wait({result}, timeout=_PATIENCE_S)
            if not result.done() and self._is_stuck(job):
                raise TooSlowError
        return result.result()

    def _begin(self) -> None:
        self._present = None
        self._thread = threading.Thread(target=self._serve, name="grammars", daemon=True)
        self._thread.start()

    def _is_stuck(self, job: Future[_Result]) -> bool:
        """Whether a job has taken too long; its thread is replaced then."""
        with self._lock:
            present = self._present
            if present is None or present[0] is not job:
                return False
            if time.monotonic() - present[1] < self._most_s:
                return False
            self._num_stuck += 1
            self._begin()
            return True

    def _serve(self) -> None:
        me = threading.current_thread()
        while True:
            job, work = self._jobs.get()
            if not job.set_running_or_notify_cancel():
                continue
            with self._lock:
                self._present = (job, time.monotonic())
            try:
                job.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever waits for the job gets it
                job.set_exception(error)
            with self._lock:
                if self._thread is not me:
                    self._num_stuck -= 1
                    return
                self._present = None
