"""Strict recording: pieces of answers, none of which is released before its record is durable.

All pieces that are ready at once, of whichever calls, are one entry (or a few): at 64 streams that
is one write of the log where 64 would cost more than the tokens do. Nor is there more than one
write in PAUSE_S: while it lasts pieces gather, and tokens behind them in their streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from serve import timeline
from serve.errors import AuditUnavailable
from serve.governance.audit.content.sealing import Label
from serve.governance.audit.content.store import ContentStore
from serve.governance.audit.content.subject_keys import SubjectKey
from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.keeper import LogKeeper

MOST_PIECES: Final = 250
"""Of one entry: each takes some 200 bytes of its 65,535."""
TURNS: Final = 3
"""Turns of the event loop in which pieces gather: streams of one step of the engine come in two or
three, and each write costs as much as 30 pieces.
"""
PAUSE_S: Final = 0.020
"""Seconds from one write to the next. A model of 100 steps a second would write as often, and each
wakes two threads beside those that compute: 14 % of its tokens (docs/lab-notes.md). Where a step
takes longer than this, or a stream is alone and slow, nothing waits.
"""

Item = list[Any]
"""A piece in an entry: id of its call, number within it from 1, characters; and a note."""
Piece = tuple[Item, SubjectKey | None, bytes]
"""An item, and what is hashed or kept: the subject's key, and the document."""


class Chunks:
    """The pieces of all calls, on their way into the log.

    Args:
        keeper: of the log.
        stamps: for the entries.
        contents: where pieces are hashed or kept; None notes their sizes only.
        clock: monotonic seconds.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        keeper: LogKeeper,
        stamps: Stamps,
        contents: ContentStore | None,
        *,
        clock: Callable[[], float] = timeline.now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._keeper = keeper
        self._stamps = stamps
        self._contents = contents
        self._clock = clock
        self._sleep = sleep
        self._wrote_at = -PAUSE_S
        self._waiting: list[tuple[Piece | None, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, item: Item, key: SubjectKey | None, document: bytes) -> asyncio.Future[None]:
        """Take a piece. The future is done when it is in the log, or raises AuditUnavailable.

        Args:
            document: its bytes, where they are hashed or kept; empty where it has no text.
        """
        return self._queued((item, key, document))

    async def settled(self) -> None:
        """Wait until all pieces taken so far are in the log, or are known not to be."""
        future = self._queued(None)
        await asyncio.wait({future})
        future.exception()  # of those pieces, and told to whoever waits for them

    def _queued(self, piece: Piece | None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((piece, future))
        if self._writing is None:
            self._writing = self._loop.create_task(self._write())
        return future

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                taken, self._waiting = self._waiting, []
                failure: Exception | None = RuntimeError("pieces could not be written: a defect")
                try:
                    await self._write_all([piece for piece, _ in taken if piece is not None])
                    failure = None
                except AuditUnavailable as error:
                    failure = error
                finally:  # a defect, too, leaves nobody waiting
                    _settle([future for _, future in taken], failure)
        finally:
            self._writing = self._loop.create_task(self._write()) if self._waiting else None

    async def _gather(self) -> None:
        """Wait for other pieces that come now, and until a write is due."""
        if (left_s := self._wrote_at + PAUSE_S - self._clock()) > 0:
            await self._sleep(left_s)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._wrote_at = self._clock()

    async def _write_all(self, pieces: Sequence[Piece]) -> None:
        """Write pieces as entries. Raises AuditUnavailable."""
        if self._contents is not None:
            await self._note(self._contents, pieces)
        items = [item for item, _, _ in pieces]
        entries = [
            encoded(self._stamps.stamped("chunks", of=items[start : start + MOST_PIECES]))
            for start in range(0, len(items), MOST_PIECES)
        ]
        if entries:
            await self._keeper.append(entries)

    async def _note(self, contents: ContentStore, pieces: Sequence[Piece]) -> None:
        """Add notes to the items of those that have a document. Raises AuditUnavailable."""
        noted, documents = [], []
        for item, key, document in pieces:
            if key is not None and document:
                label = Label(
                    log=contents.log_name, request_id=item[0], kind="piece", number=item[1]
                )
                noted.append(item)
                documents.append((key, label, document))
        if not documents:
            return
        notes = await contents.noted_of_many(documents)
        for item, note in zip(noted, notes, strict=True):
            item.append(note)


def _settle(futures: Sequence[asyncio.Future[None]], failure: Exception | None) -> None:
    """Tell those who wait, each with an exception of its own."""
    for future in futures:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        elif isinstance(failure, AuditUnavailable):
            future.set_exception(AuditUnavailable(failure.message, retry_after_s=2))
        else:
            future.set_exception(failure)
