"""Refusals: calls that were over before they began, and callers whom nobody knows (a listener).

Nobody waits for these records. They are written by a task, as ``capped`` has them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from serve.errors import AuditUnavailable
from serve.governance.audit.records import forms
from serve.governance.audit.records.capped import Capped, LossListener
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.keeper import LogKeeper
from serve.observe.record import PROBES, RequestRecord

MOST_REFUSED: Final = 500
MOST_FAILED: Final = 100
"""Records in a window of ten seconds."""
AT_ONCE: Final = 128
LOGIN_ERRORS: Final = frozenset(
    {"invalid_api_key", "invalid_client", "forbidden", "too_many_failures"}
)
"""Errors of calls whose caller is not known, and who wanted to be."""
REFUSED_STATUS: Final = 400


class Refusals:
    """Records refusals of finished requests (a RequestListener).

    Args:
        keeper: of the log.
        stamps: for the records.
        records_calls: whether refused calls are recorded; failed logins always are.
        listener: told of records that are lost.
    """

    def __init__(
        self,
        keeper: LogKeeper,
        stamps: Stamps,
        *,
        records_calls: bool = True,
        listener: LossListener | None = None,
    ) -> None:
        self._keeper = keeper
        self._stamps = stamps
        self._records_calls = records_calls
        self._refused = Capped("refused", stamps, most=MOST_REFUSED, listener=listener)
        self._failed = Capped("login_failed", stamps, most=MOST_FAILED, listener=listener)
        self._writing: asyncio.Task[None] | None = None

    def request_finished(self, record: RequestRecord) -> None:
        """Take note of a request that was refused. Never raises, and never waits."""
        if record.audit_index is not None or record.route in PROBES:
            return
        if record.timeline.submitted_at is not None:
            return  # it ran, while the log was away: the gap counts it
        if record.key_id is None:
            if record.error_code not in LOGIN_ERRORS:
                return
            self._failed.add(forms.login_failed(self._stamps, record))
        elif self._records_calls and record.status >= REFUSED_STATUS:
            self._refused.add(forms.refused(self._stamps, record))
        else:
            return
        if self._writing is None and self._keeper.is_available:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def flush(self) -> None:
        """Write what waits, as far as the log takes it."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await self._write()

    async def finish(self) -> None:
        """Write all, counts included: the server ends."""
        self._failed.finish()
        self._refused.finish()
        await self.flush()

    async def _write(self) -> None:
        try:
            for capped in (self._failed, self._refused):
                while entries := capped.take(AT_ONCE):
                    try:
                        await self._keeper.append(entries)
                    except AuditUnavailable:
                        capped.put_back(entries)
                        return
        finally:
            self._writing = None
