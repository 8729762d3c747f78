"""Group commit: what waits is written together, by one thread, and all who wait are told at once.

All that one turn of the event loop appends goes over as one group, so at 64 streams it is one
write, one sync and two wake-ups, however many records they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from serve.governance.audit.log.errors import LogUnavailable

log = logging.getLogger(__name__)

MAX_GROUP_BYTES = 64 << 20
"""From here on no more is added to a group."""

Commit = Callable[[list[bytes]], int]
"""Brings payloads to the disk and returns the index of the first; raises LogUnavailable."""
_Group = list[tuple[Sequence[bytes], "asyncio.Future[int]"]]


class GroupCommit:
    """A thread that commits what tasks of an event loop append.

    Args:
        commit: called on the thread alone.
        name: of the thread.
    """

    def __init__(self, commit: Commit, name: str) -> None:
        self._commit = commit
        self._name = name
        self._waiting: _Group = []
        self._is_under_way = self._is_closed = False
        self._defect = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: SimpleQueue[tuple[_Group, asyncio.AbstractEventLoop] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def append(self, payloads: Sequence[bytes]) -> int:
        """Wait until these are on the disk. Returns the index of the first.

        A caller that is cancelled takes nothing back.

        Raises:
            LogUnavailable: they are not.
        """
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        loop = self._adopted()
        future: asyncio.Future[int] = loop.create_future()
        self._waiting.append((payloads, future))
        if not self._is_under_way:
            self._is_under_way = True
            loop.call_soon(self._hand_over, loop)
        return await future

    async def close(self) -> None:
        """Finish what waits, and end the thread."""
        self._is_closed = True
        self._adopted()
        while self._is_under_way:
            pending = [future for _, future in self._waiting]
            await (asyncio.wait(pending) if pending else asyncio.sleep(0.001))
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def _adopted(self) -> asyncio.AbstractEventLoop:
        """The loop that runs. Who waited on an earlier one is gone with it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._waiting, self._is_under_way = loop, [], False
        return loop

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting:
            self._is_under_way = False
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        num = num_bytes = 0
        for payloads, _ in self._waiting:
            num += 1
            num_bytes += sum(map(len, payloads))
            if num_bytes >= MAX_GROUP_BYTES:
                break
        group, self._waiting = self._waiting[:num], self._waiting[num:]
        self._jobs.put((group, loop))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            group, loop = job
            first, failure = 0, self._defect
            try:
                if not failure:
                    first = self._commit([one for payloads, _ in group for one in payloads])
            except LogUnavailable as error:
                failure = str(error)
            except Exception as error:
                failure = self._defect = f"a defect of the log's thread: {type(error).__name__}"
                log.exception("a defect of the log's thread")
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._tell, group, first, failure, loop)

    def _tell(
        self, group: _Group, first: int, failure: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        index = first
        for payloads, future in group:
            if not future.done():
                if failure:
                    future.set_exception(LogUnavailable(failure))
                else:
                    future.set_result(index)
            index += len(payloads)
        if loop is self._loop:
            self._hand_over(loop)
