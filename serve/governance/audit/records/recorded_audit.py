"""Recorded calls: the audit that a service writes (an Audit), over a log that may fail.

A call's ``begin`` is durable before it runs, and its ``end`` before its last byte. What became of
those whose write failed is read out of the log itself once it is back, so none ends twice:

==================  ==========================  =============================
``begin`` in log    the call                    ``end`` in log
==================  ==========================  =============================
yes                 runs                        when it is over
yes                 was over while it was away  written then, marked ``late``
yes                 was refused, for the write  ``not_run``
                    took too long
yes                 passed, for the same        ``unknown``
yes                 of a server that died       ``interrupted``
no                  was refused                 none
==================  ==========================  =============================
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from serve.errors import AuditUnavailable
from serve.governance.audit.content.sealing import Label
from serve.governance.audit.content.store import ContentStore, Note
from serve.governance.audit.content.subject_keys import SubjectKey
from serve.governance.audit.records import forms
from serve.governance.audit.records.canonical import Record, encoded
from serve.governance.audit.records.chunks import Chunks
from serve.governance.audit.records.contents import prompt_document
from serve.governance.audit.records.entry_log import EntryLog
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.gap import Gap
from serve.governance.audit.records.keeper import LogKeeper
from serve.governance.audit.records.open_calls import (
    OpenCalls,
    begun_and_not_ended,
    first_to_read,
)
from serve.governance.audit.records.trails import LOST, CallTrail
from serve.governance.audit.trail import Trail
from serve.governance.pass_through import NO_TRAIL
from serve.governance.principal import Principal
from serve.observe.record import RequestRecord
from serve.pipeline.events import Generation

log = logging.getLogger(__name__)


class RecordedAudit:
    """The audit of a service with a log (an Audit).

    Args:
        stamps: for all records of this process.
        gap: counts what passes unrecorded.
        records_calls: whether calls are recorded; acts always are.
        is_strict: streams are released piece by piece, each behind its record.
        passes: whether calls run also where they cannot be recorded.
        digest_of: the digest of the model of a name.

    Attributes:
        keeper: of the log; set before the first call.
        contents: where contents are hashed or kept; None where they are not.
        open: calls that have begun and not ended.
    """

    keeper: LogKeeper

    def __init__(
        self,
        stamps: Stamps,
        gap: Gap,
        *,
        records_calls: bool = True,
        is_strict: bool = False,
        passes: bool = False,
        digest_of: Callable[[str], str | None] = lambda _name: None,
    ) -> None:
        self._stamps = stamps
        self._gap = gap
        self._records_calls = records_calls
        self._is_strict = is_strict
        self._passes = passes
        self.digest_of = digest_of
        self.contents: ContentStore | None = None
        self.open = OpenCalls()
        self._chunks: Chunks | None = None
        self._is_first = True
        self._untold: list[bytes] = []  # gaps, until the log has grown by them
        self._size_told = 0
        self._later: set[asyncio.Task[None]] = set()

    def check(self) -> None:
        """Check that a call could be recorded. Raises AuditUnavailable where it must be."""
        if self._records_calls and not self._passes:
            self.keeper.check()

    async def begin(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Trail:
        """Write that a call is about to run. Raises AuditUnavailable."""
        if not self._records_calls:
            return NO_TRAIL
        try:
            self._check()
            key, note = await self._noted_prompt(principal, record, generation)
            begun = forms.begin(
                self._stamps,
                principal,
                record,
                generation,
                digest=None if record.model is None else self.digest_of(record.model),
                content=note,
            )
            await self._begin(record, encoded(begun))
        except AuditUnavailable:
            if not self._passes:
                raise
            self._gap.call_passed()
            return NO_TRAIL
        return CallTrail(
            record.request_id,
            self._end,
            chunks=self._chunks_of(record),
            contents=self.contents,
            key=key,
            passes=self._passes,
            lost=self._gap.piece_passed,
        )

    async def act(
        self,
        principal: Principal | None,
        record: RequestRecord,
        act: str,
        details: Mapping[str, Any],
    ) -> None:
        """Write an administrator's act before it is answered. Raises AuditUnavailable."""
        acted = forms.acted(self._stamps, principal, record, act, details)
        await self._write(acted, self._gap.act_passed)

    async def called(
        self,
        principal: Principal,
        record: RequestRecord,
        status: int,
        details: Mapping[str, Any],
    ) -> None:
        """Write a call that ran nothing in the engine. Raises AuditUnavailable."""
        if not self._records_calls:
            return
        digest = None if record.model is None else self.digest_of(record.model)
        done = forms.called(self._stamps, principal, record, status, details, digest=digest)
        await self._write(done, self._gap.call_passed)

    async def on_open(self, opened: EntryLog, number: int) -> Sequence[bytes]:
        """Say what a log lacks before it is in use (an OnOpen); nothing, once it has it."""
        size, first = opened.size, await asyncio.to_thread(opened.first_index)
        if self._is_first:
            start = await asyncio.to_thread(first_to_read, opened.read, size, first)
        else:
            start = max(first, self.open.least_index(size))
        begun = await asyncio.to_thread(begun_and_not_ended, opened.read, start, size)
        ends = [end for each, at in begun.items() if (end := self._missing(each, at)) is not None]
        records: list[Record] = []
        is_back = number == 0 and not self._is_first
        if is_back or (self._is_first and (opened.recovered or ends)):
            records.append(
                self._stamps.stamped(
                    "recovered",
                    event="written_again" if is_back else "started",
                    cut=opened.recovered or None,
                    ended=len(ends),
                    entries=size,
                )
            )
        if size >= self._size_told:
            self._untold = []
        if (gap := self._gap.take()) is not None:
            self._untold.append(encoded(gap))
        self._is_first = False
        entries = [*map(encoded, records), *self._untold, *ends]
        self._size_told = size + len(entries)
        if not entries:
            self.open.forget_settled()
        return entries

    async def _write(self, record: Record, passed: Callable[[], None]) -> None:
        """Write a record that stands alone. Raises AuditUnavailable, or counts what passes."""
        try:
            self._check()
            await self.keeper.append([encoded(record)])
        except AuditUnavailable:
            if not self._passes:
                raise
            passed()

    def _check(self) -> None:
        """Check that something can be recorded. Raises AuditUnavailable.

        What passes anyhow is recorded for as long as there is room, not only above the least.
        """
        if not (self._passes and self.keeper.is_available):
            self.keeper.check()

    def _missing(self, request_id: str, at: int) -> bytes | None:
        """The end of a call that the log has no end of; None where it is yet to come."""
        call = self.open.get(request_id)
        if call is None:
            return encoded(forms.ended_without(self._stamps, request_id, at, "interrupted"))
        if call.end is not None:
            return call.end(at)
        if call.state == "running":
            return None
        outcome: forms.Outcome = "unknown" if call.state == "passed" else "not_run"
        return encoded(forms.ended_without(self._stamps, request_id, at, outcome))

    async def _noted_prompt(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> tuple[SubjectKey | None, Note | None]:
        contents = self.contents
        if contents is None:
            return None, None
        label = Label(log=contents.log_name, request_id=record.request_id, kind="prompt", number=0)
        try:
            key = await contents.key_of(forms.subject_of(principal))
            (note,) = await contents.noted(key, [(label, prompt_document(generation))])
        except AuditUnavailable:
            if not self._passes:
                raise
            return None, LOST
        return key, {"subject_key": key.key_id, **note}

    async def _begin(self, record: RequestRecord, entry: bytes) -> None:
        """Write a ``begin``; who gives it up meanwhile gets an end. Raises AuditUnavailable."""
        call = self.open.add(record.request_id, self.keeper.size)
        writing = asyncio.ensure_future(self.keeper.append([entry]))
        try:
            record.audit_index = await asyncio.shield(writing)
        except asyncio.CancelledError:
            call.state = "given_up"
            self._do_later(self._give_up(record.request_id, writing))
            raise
        except AuditUnavailable:
            call.state = "passed" if self._passes else "given_up"  # the log will say if it has it
            raise

    async def _give_up(self, request_id: str, writing: asyncio.Future[int]) -> None:
        """End a call whose caller left while its ``begin`` was written."""
        try:
            index = await writing
            given_up = forms.ended_without(self._stamps, request_id, index, "not_run")
            await self.keeper.append([encoded(given_up)])
        except AuditUnavailable:
            return  # the log itself will say whether it has it
        self.open.remove(request_id)

    async def _end(self, record: RequestRecord, num_pieces: int | None, note: Note | None) -> None:
        """Write the end of a call that began. Raises AuditUnavailable."""
        call = self.open.get(record.request_id)
        if call is None or record.audit_index is None:
            return

        def entry(index: int, *, is_late: bool = False) -> bytes:
            return encoded(
                forms.end(
                    self._stamps,
                    record,
                    index=index,
                    chunks=num_pieces,
                    content=note,
                    is_late=is_late,
                )
            )

        try:
            await self.keeper.append([entry(record.audit_index)])
        except AuditUnavailable:
            call.end = lambda index: entry(index, is_late=True)
            if not self._passes:
                raise
            self._gap.end_passed()
        else:
            self.open.remove(record.request_id)

    def _chunks_of(self, record: RequestRecord) -> Chunks | None:
        """The way of its pieces. A whole answer has none: all of it leaves behind its end."""
        if not self._is_strict or not record.is_stream:
            return None
        if self._chunks is None:
            self._chunks = Chunks(self.keeper, self._stamps, self.contents)
        return self._chunks

    def _do_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
