"""Group commit: what waits is written together, by one thread, and all who wait are told at once.

All that one turn of the event loop appends goes over as one group, so at 64 streams it is one
write, one sync and two wake-ups, however many records they are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from serve.governance.audit.log.errors import LogUnavailable

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
        self._waiting: _Group = []
        self._is_under_way = self._is_closed = False
        self._jobs: SimpleQueue[tuple[_Group, asyncio.AbstractEventLoop] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def append(self, payloads: Sequence[bytes]) -> int:
        """Wait until these are on the disk. Returns the index of the first.

        A caller that is cancelled takes nothing back.

        Raises:
            LogUnavailable: they are not.
        """
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._waiting.append((payloads, future))
        if not self._is_under_way:
            self._is_under_way = True
            loop.call_soon(self._hand_over, loop)
        return await future

    async def close(self) -> None:
        """Finish what waits, and end the thread."""
        self._is_closed = True
        while self._is_under_way:
            pending = [future for _, future in self._waiting]
            await (asyncio.wait(pending) if pending else asyncio.sleep(0.001))
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting:
            self._is_under_way = False
            return
        group, self._waiting = self._waiting, []
        self._jobs.put((group, loop))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            group, loop = job
            first, failure = 0, ""
            try:
                first = self._commit([one for payloads, _ in group for one in payloads])
            except LogUnavailable as error:
                failure = str(error)
            try:
                loop.call_soon_threadsafe(self._tell, group, first, failure, loop)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._is_under_way = False

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
        self._hand_over(loop)
