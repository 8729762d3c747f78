"""The ring of keys that the database holds: a copy in memory, refreshed each second.

No request waits for the database. While it is away the keys that are known hold for MAX_STALE_S
after the last good reading (ADR 0013); then everybody is refused with 503, as nobody could know
which key was revoked meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from serve import timeline
from serve.errors import KeyStoreUnavailable, StartupError
from serve.governance.identity.database_keys import keys_of
from serve.governance.identity.key_entry import StoredKey, StoredSecret, peppered
from serve.governance.identity.key_table import KeyTable, unserved_models, utc_now
from serve.governance.identity.pepper import Pepper
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database
from serve.storage.key_rows import KeysState, Rows, rows_unless

logger = logging.getLogger(__name__)

REFRESH_INTERVAL_S: Final = 1.0
MAX_STALE_S: Final = 60.0


class DatabaseKeyRing(KeyTable):
    """Authenticates callers against the database's keys.

    Args:
        database: where they are.
        pepper: under which they were stored.
        models: names that are served; keys may name others, which other servers have.
        clock: monotonic seconds; tests replace it.
        wall_clock: for expiry; tests replace it.
    """

    def __init__(
        self,
        database: Database,
        *,
        pepper: Pepper | None = None,
        models: frozenset[str] | None = None,
        clock: Callable[[], float] = timeline.now,
        wall_clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(pepper=pepper, wall_clock=wall_clock)
        self._database = database
        self._models = models
        self._clock = clock
        self._read_at: float | None = None
        self._state: KeysState | None = None
        self._is_in_force = False

    @property
    def is_in_force(self) -> bool:
        """Whether the keys are those of the database, at the last look at it."""
        return self._is_in_force

    def verified(self, key: str) -> tuple[StoredKey, StoredSecret]:
        """Answer as KeyTable does. Raises KeyStoreUnavailable where the keys are too old."""
        self._check_age()
        return super().verified(key)

    def enabled(self, key_id: str) -> StoredKey:
        """Answer as KeyTable does. Raises KeyStoreUnavailable where the keys are too old."""
        self._check_age()
        return super().enabled(key_id)

    async def run(self) -> None:
        """Refresh the keys each second until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            try:
                await self.refresh()
            except StartupError as error:
                self._failed(str(error))
            except Exception as error:  # noqa: BLE001  without this task nobody would get in
                self._failed(type(error).__name__)

    async def refresh(self) -> None:
        """Read the keys where they have changed. A database that is away is logged.

        Raises:
            StartupError: the keys were stored under another pepper.
        """
        asked_at = self._clock()  # before: what changes while it is read counts as unseen
        try:
            state, rows = await self._database.read(rows_unless(self._state))
        except StoreUnavailable as error:
            self._failed(str(error))
            return
        if rows is not None:
            await asyncio.to_thread(self._take, rows)  # of thousands this takes a while
            logger.info("API keys read: %d keys", len(self))
        self._state, self._read_at, self._is_in_force = state, asked_at, True

    def _take(self, rows: Rows) -> None:
        keys, bad = keys_of(rows)
        for key_id in bad:
            logger.error(
                "the API key %s in the database is no entry of ours: it is refused", key_id
            )
        if self._models is not None:
            for key_id, model in unserved_models(keys, self._models):
                logger.warning("the API key %s names a model not served here: %s", key_id, model)
        self.replace(peppered(keys, self._pepper))

    def _failed(self, reason: str) -> None:
        if self._is_in_force or self._read_at is None:
            logger.error("API keys not read, those known hold for %g s: %s", MAX_STALE_S, reason)
        self._is_in_force = False

    def _check_age(self) -> None:
        if self._read_at is None or self._clock() - self._read_at > MAX_STALE_S:
            raise KeyStoreUnavailable(
                f"The database of API keys has not answered for more than {MAX_STALE_S:g} s, so "
                "nobody can be let in. Ask again.",
                retry_after_s=5,
            )
