"""The trail of one call: what is told while it runs, and its end.

A document's number within its call is its nonce (content/sealing.py): the prompt is 0, pieces are
counted from 1, and the answer comes behind the last of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from serve.errors import AuditUnavailable
from serve.governance.audit.content.sealing import Label
from serve.governance.audit.content.store import ContentStore, Note
from serve.governance.audit.content.subject_keys import SubjectKey
from serve.governance.audit.records.chunks import Chunks
from serve.governance.audit.records.contents import (
    add_to,
    answer_document,
    num_chars,
    piece_document,
)
from serve.observe.record import RequestRecord
from serve.pipeline.answer import Answer
from serve.pipeline.events import Event, Queued, Started

log = logging.getLogger(__name__)

LOST: Final[Note] = {"lost": True}
"""What an end says of an answer that could not be kept."""

WriteEnd = Callable[[RequestRecord, int | None, Note | None], Awaitable[None]]
"""Writes the end of the call: its record, the number of pieces, and what is said of the answer."""


class CallTrail:
    """The trail of a call that has begun (a Trail).

    Args:
        request_id: of the call.
        write_end: writes its end.
        chunks: where each event is recorded before it is released; None where none is.
        contents: where its answer is hashed or kept; with the subject's key.
        passes: whether what cannot be recorded is released nevertheless.
        lost: told of each piece of which that is true.
    """

    def __init__(
        self,
        request_id: str,
        write_end: WriteEnd,
        *,
        chunks: Chunks | None = None,
        contents: ContentStore | None = None,
        key: SubjectKey | None = None,
        passes: bool = False,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._request_id = request_id
        self._write_end = write_end
        self._chunks = chunks
        self._contents = contents
        self._key = key
        self._passes = passes
        self._lost = lost
        self._answer = Answer()
        self._num_pieces = 0
        self._is_cut_short = False
        self.waits = chunks is not None
        self.wants_events = chunks is not None or contents is not None

    async def tell(self, event: Event) -> None:
        """Write an event that is about to be released. Raises AuditUnavailable."""
        if isinstance(event, Queued | Started):
            return
        if self._contents is not None:
            add_to(self._answer, event)
        if self._chunks is None:
            return
        self._num_pieces += 1
        document = b"" if self._key is None else piece_document(event)
        item = [self._request_id, self._num_pieces, num_chars(event)]
        try:
            await self._chunks.add(item, self._key, document)
        except AuditUnavailable:
            if not self._passes:
                raise
            self._lost()
        except asyncio.CancelledError:
            self._is_cut_short = True
            raise

    async def end(self, record: RequestRecord) -> None:
        """Write how it ended. Raises AuditUnavailable."""
        note: Note | None = None
        failure: AuditUnavailable | None = None
        if self._chunks is not None and self._is_cut_short:
            await self._chunks.settled()  # its end is behind its pieces, or they are nobody's
        if self._contents is not None and self._key is not None:
            try:
                note = await self._note(self._contents, self._key)
            except AuditUnavailable as error:
                note, failure = LOST, error
        await self._write_end(record, self._num_pieces if self._chunks else None, note)
        if failure is not None and not self._passes:
            raise failure

    async def _note(self, contents: ContentStore, key: SubjectKey) -> Note:
        label = Label(
            log=contents.log_name,
            request_id=self._request_id,
            kind="answer",
            number=self._num_pieces + 1,
        )
        (note,) = await contents.noted(key, [(label, answer_document(self._answer.choices))])
        return note
