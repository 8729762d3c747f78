"""Strict recording: pieces of answers, none of which is released before its record is durable.

All pieces that are ready at once, of whichever calls, are one entry (or a few): at 64 streams that
is one write of the log where 64 would cost more than the tokens do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from serve.errors import AuditUnavailable
from serve.governance.audit.content.sealing import Label
from serve.governance.audit.content.store import ContentStore, Note
from serve.governance.audit.content.subject_keys import SubjectKey
from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.keeper import LogKeeper

MOST_PIECES: Final = 250
"""Of one entry: each takes some 200 bytes of its 65,535."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """An event that is about to be released.

    Attributes:
        number: of the call's pieces, from 1.
        chars: of its text.
        document: its bytes, where they are hashed or kept.
        key: of the subject, for these.
    """

    request_id: str
    number: int
    chars: int
    document: bytes = b""
    key: SubjectKey | None = None


class Chunks:
    """The pieces of all calls, on their way into the log.

    Args:
        keeper: of the log.
        stamps: for the entries.
        contents: where pieces are hashed or kept; None notes their sizes only.
    """

    def __init__(self, keeper: LogKeeper, stamps: Stamps, contents: ContentStore | None) -> None:
        self._keeper = keeper
        self._stamps = stamps
        self._contents = contents
        self._waiting: list[tuple[Piece, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, piece: Piece) -> None:
        """Wait until it is in the log. Raises AuditUnavailable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((piece, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await future

    async def _write(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                failure: AuditUnavailable | None = None
                try:
                    await self._write_all([piece for piece, _ in taken])
                except AuditUnavailable as error:
                    failure = error
                for _, future in taken:
                    if future.done():
                        continue
                    if failure is None:
                        future.set_result(None)
                    else:
                        future.set_exception(AuditUnavailable(failure.message, retry_after_s=2))
        finally:
            self._writing = None

    async def _write_all(self, pieces: Sequence[Piece]) -> None:
        """Write pieces as entries. Raises AuditUnavailable."""
        notes = await self._noted(pieces)
        items = [_item(piece, notes.get(number)) for number, piece in enumerate(pieces)]
        entries = [
            encoded(self._stamps.stamped("chunks", of=items[start : start + MOST_PIECES]))
            for start in range(0, len(items), MOST_PIECES)
        ]
        await self._keeper.append(entries)

    async def _noted(self, pieces: Sequence[Piece]) -> dict[int, Note]:
        """Notes of those that have a document, by their place among the pieces."""
        if self._contents is None:
            return {}
        numbers, documents = [], []
        for number, piece in enumerate(pieces):
            if piece.key is not None and piece.document:
                label = Label(
                    log=self._contents.log_name,
                    request_id=piece.request_id,
                    kind="piece",
                    number=piece.number,
                )
                numbers.append(number)
                documents.append((piece.key, label, piece.document))
        if not documents:
            return {}
        return dict(zip(numbers, await self._contents.noted_of_many(documents), strict=True))


def _item(piece: Piece, note: Note | None) -> list[Any]:
    item: list[Any] = [piece.request_id, piece.number, piece.chars]
    return item if note is None else [*item, note]
