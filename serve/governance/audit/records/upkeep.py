"""Upkeep of the audit log, each second: back into use, room on its disk, changed files, heartbeats.

A heartbeat makes silence visible: a log that says nothing for longer was not written. It also says
how far back the oldest open call lies, so that a start need not read the whole log.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from serve import timeline
from serve.errors import AuditUnavailable
from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.keeper import LogKeeper
from serve.governance.audit.records.open_calls import OpenCalls
from serve.governance.audit.records.refusals import Refusals
from serve.governance.audit.records.watched_files import WatchedFiles

log = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0
HEARTBEAT_S: Final = 60.0
HEARTBEAT_ENTRIES: Final = 10_000
"""As many entries at most between two heartbeats."""


class AuditUpkeep:
    """Care of a log that is in use.

    Args:
        keeper: of the log.
        open_calls: of this process.
        refusals: that wait to be written.
        files: whose changes are recorded.
        folder: on whose disk the log grows.
        min_free_bytes: with less room no call begins.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        keeper: LogKeeper,
        open_calls: OpenCalls,
        refusals: Refusals,
        files: WatchedFiles,
        stamps: Stamps,
        *,
        folder: Path,
        min_free_bytes: int,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._keeper = keeper
        self._open_calls = open_calls
        self._refusals = refusals
        self._files = files
        self._stamps = stamps
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._clock = clock
        self._beat_at = clock()
        self._beat_entries = 0

    async def run(self) -> None:
        """Look after it until this is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.once()
            except Exception:
                log.exception("the audit log's upkeep failed, and goes on")

    async def once(self) -> None:
        """Do what is due now."""
        await self._look_at_space()
        if not await self._keeper.come_back():
            return
        try:
            await self._record_changes()
            if self._is_beat_due():
                await self.beat()
        except AuditUnavailable:
            return
        await self._refusals.flush()

    async def beat(self) -> None:
        """Write a heartbeat. Raises AuditUnavailable."""
        size = self._keeper.size
        beat = self._stamps.stamped(
            "heartbeat",
            open=len(self._open_calls),
            open_from=self._open_calls.least_index(size),
        )
        await self._keeper.append([encoded(beat)])
        self._beat_at, self._beat_entries = self._clock(), self._keeper.num_written

    def _is_beat_due(self) -> bool:
        if self._keeper.num_written - self._beat_entries >= HEARTBEAT_ENTRIES:
            return True
        return self._clock() - self._beat_at >= HEARTBEAT_S

    async def _record_changes(self) -> None:
        """Record files that changed. Raises AuditUnavailable; then they are told next time."""
        changed = await asyncio.to_thread(self._files.changed)
        if not changed:
            return
        try:
            record = self._stamps.stamped("config", event="file_changed", files=changed)
            await self._keeper.append([encoded(record)])
        except AuditUnavailable:
            self._files.forget(changed)
            raise

    async def _look_at_space(self) -> None:
        try:
            free = (await asyncio.to_thread(shutil.disk_usage, self._folder)).free
        except OSError:
            return  # a write will say what is wrong
        has_room = free >= self._min_free_bytes
        if has_room is not self._keeper.has_room:
            room = {"free_bytes": free, "min_free_bytes": self._min_free_bytes}
            if has_room:
                log.info("the audit log has room again", extra=room)
            else:
                log.error("the audit log has no room", extra=room)
        self._keeper.has_room = has_room
