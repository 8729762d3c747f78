"""The keeper of a log that is in use: it writes together what comes together, and brings it back.

::

    append ─┐                         ┌─ index
    append ─┼─ one write, 2 s at most ┼─ index          is away ── opened again each second
    append ─┘                         └─ index                       what was open is settled first

A write that takes longer than its deadline is one that failed: its callers are refused. It may
still become durable, so nothing is written again blindly: before the log is in use again,
``on_open`` reads it and says what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from serve import timeline
from serve.errors import AuditUnavailable
from serve.governance.audit.records.entry_log import EntryLog, LogAwayError, OpenLog

log = logging.getLogger(__name__)

DEADLINE_S: Final = 2.0
RETRY_AFTER_S: Final = 2
SLICE: Final = 512
"""Most entries in one write of what is settled."""
MOST_PASSES: Final = 100
TRIES: Final = 20
"""A log mends itself within seconds where it can; after so many tries it is opened anew."""

OnOpen = Callable[[EntryLog, int], Awaitable[Sequence[bytes]]]
"""Told of a log before it is in use (again); gives the entries to append first.

It is asked again until it gives none; the number says how often it was asked before. Where a log
comes back it gives one at least, for that is how it is known to be back.
"""


class WriteListener(Protocol):
    """A listener that is told of writes."""

    def audit_written(self, num_entries: int, seconds: float) -> None: ...


class LogKeeper:
    """One log, through its failures.

    Args:
        open_log: opens it.
        on_open: see OnOpen.
        listener: told of each write.
        deadline_s: seconds that a write may take.
        clock: monotonic seconds.

    Attributes:
        num_written: entries that this keeper has made durable.
        has_room: whether there is room on the disk; whoever looks after it says so.
    """

    def __init__(
        self,
        open_log: OpenLog,
        on_open: OnOpen,
        *,
        listener: WriteListener | None = None,
        deadline_s: float = DEADLINE_S,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._open_log = open_log
        self._on_open = on_open
        self._listener = listener
        self._deadline_s = deadline_s
        self._clock = clock
        self._log: EntryLog | None = None
        self._is_in_use = False
        self._stuck: asyncio.Future[int] | None = None
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[int]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._num_tries = 0
        self._acknowledged = 0  # entries that callers were told of
        self.num_written = 0
        self.has_room = True

    @property
    def is_available(self) -> bool:
        """Whether entries are taken."""
        return self._is_in_use

    @property
    def size(self) -> int:
        """Entries of the log, as far as is known."""
        return 0 if self._log is None else self._log.size

    def check(self) -> None:
        """Check that a call may begin.

        Raises:
            AuditUnavailable: the log is away, or its disk is nearly full.
        """
        if not self._is_in_use:
            raise _unavailable("cannot be written")
        if not self.has_room:
            raise _unavailable("has no room left on its disk")

    async def append(self, entries: Sequence[bytes]) -> int:
        """Append entries together. The index of the first, which is durable, as all of them are.

        Cancelling the caller does not take them back.

        Raises:
            AuditUnavailable: they are not known to be durable.
        """
        if not self._is_in_use:
            raise _unavailable("cannot be written")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await future

    async def open(self) -> None:
        """Open the log for the first time.

        Raises:
            LogAwayError: it cannot be opened, or what it lacks not be written.
        """
        await self._take(await self._open_log())

    async def come_back(self) -> bool:
        """Try once to bring a log back that is away. Whether it is in use now."""
        if self._is_in_use:
            return True
        stuck, self._stuck = self._stuck, None
        if stuck is not None and not stuck.done():
            self._stuck = stuck
            return False
        try:
            await self._take(self._log or await self._open_log())
        except LogAwayError as error:
            log.warning("the audit log is still away", extra={"reason": str(error)})
            self._num_tries += 1
            if self._stuck is None and self._num_tries >= TRIES:
                self._num_tries = 0
                await self._let_go()  # next time it is opened anew
            return False
        self._num_tries = 0
        log.info("the audit log is written again", extra={"entries": self.size})
        return True

    async def close(self) -> None:
        """Write what waits, and let go of the log."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=2 * self._deadline_s)
        self._is_in_use = False
        self._fail_all(self._waiting, "is closed")
        await self._let_go()

    async def _take(self, opened: EntryLog) -> None:
        """Settle what the log lacks, and use it. Raises LogAwayError."""
        self._log = opened
        if opened.size < self._acknowledged:
            raise LogAwayError(
                f"it has {opened.size} entries, and {self._acknowledged} were acknowledged: it was "
                "removed, or is another one"
            )
        for number in range(MOST_PASSES):
            if not (entries := await self._on_open(opened, number)):
                # Nothing has been awaited since: what it lacks later it lacks while in use.
                self._is_in_use = True
                return
            for start in range(0, len(entries), SLICE):
                await self._append_to(opened, entries[start : start + SLICE])
        raise LogAwayError("it lacks more and more")

    async def _append_to(self, opened: EntryLog, entries: Sequence[bytes]) -> None:
        """Append to a log that is not in use yet. Raises LogAwayError."""
        writing = asyncio.ensure_future(opened.append(entries))
        if not (await asyncio.wait({writing}, timeout=self._deadline_s))[0]:
            self._stuck = writing
            writing.add_done_callback(_look_at)
            raise LogAwayError(f"a write took more than {self._deadline_s:g} s")
        self._acknowledged = writing.result() + len(entries)
        self.num_written += len(entries)

    async def _let_go(self) -> None:
        closing, self._log = self._log, None
        if closing is not None:
            with contextlib.suppress(LogAwayError, OSError, TimeoutError):
                await asyncio.wait_for(closing.close(), self._deadline_s)

    async def _write(self) -> None:
        """Write all that waits, together; again while more came meanwhile."""
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                if self._log is None or not self._is_in_use:
                    self._fail_all(taken, "cannot be written")
                    continue
                await self._write_all(self._log, taken)
        finally:
            self._writing = None

    async def _write_all(
        self, opened: EntryLog, taken: Sequence[tuple[Sequence[bytes], asyncio.Future[int]]]
    ) -> None:
        entries = [entry for part, _ in taken for entry in part]
        began_at = self._clock()
        writing = asyncio.ensure_future(opened.append(entries))
        if not (await asyncio.wait({writing}, timeout=self._deadline_s))[0]:
            self._stuck = writing
            writing.add_done_callback(_look_at)
            self._went_away(f"a write took more than {self._deadline_s:g} s")
            self._fail_all(taken, "does not answer")
            return
        if (error := writing.exception()) is not None:  # a defect, too, leaves nobody waiting
            self._went_away(str(error) if isinstance(error, LogAwayError) else repr(error))
            self._fail_all(taken, "cannot be written")
            return
        index = writing.result()
        self.num_written += len(entries)
        if self._listener is not None:
            self._listener.audit_written(len(entries), self._clock() - began_at)
        for part, future in taken:
            if not future.done():
                future.set_result(index)
            index += len(part)
        self._acknowledged = index

    def _went_away(self, reason: str) -> None:
        self._is_in_use = False
        log.error("the audit log cannot be written", extra={"reason": reason})

    @staticmethod
    def _fail_all(taken: Sequence[tuple[Sequence[bytes], asyncio.Future[int]]], what: str) -> None:
        for _, future in taken:
            if not future.done():
                future.set_exception(_unavailable(what))


def _look_at(writing: asyncio.Future[int]) -> None:
    """Take note of how a late write ended, so that asyncio does not complain of it."""
    if not writing.cancelled():
        writing.exception()


def _unavailable(what: str) -> AuditUnavailable:
    return AuditUnavailable(
        f"The audit log {what}, and this server runs nothing that it does not record. Ask again "
        "later; the operator finds the reason in the server's log.",
        retry_after_s=RETRY_AFTER_S,
    )
