"""Settlements: to the database, by way of the spool where it is away, and never lost between.

::

    settle ── database takes it ──────────────────────── done
         └─── is away ── spool, on the disk ── done
                              └── every second: to the database, which knows what it has already
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from serve.governance.limits.spool import Spool
from serve.storage.counting.counters import Claim, Counters, StoreUnavailable
from serve.storage.ledger import Settlement

log = logging.getLogger(__name__)

BATCH = 200
MAX_KEPT = 10_000
"""Settlements, and reservations to give back, that are kept in memory where no disk takes them."""


class Entering(Protocol):
    """A ledger (serve.storage.ledger.Ledger)."""

    async def enter(self, settlements: Sequence[Settlement], /) -> None: ...


class Settlements:
    """All ends of requests on their way to the stores.

    Args:
        ledger: enters rows and settles budgets.
        spool: for what it does not take.
    """

    def __init__(self, ledger: Entering, spool: Spool) -> None:
        self._ledger = ledger
        self._spool = spool
        self._kept: deque[Settlement] = deque()
        self._releases: deque[tuple[Counters, str, tuple[Claim, ...]]] = deque(maxlen=MAX_KEPT)
        self._is_sending = asyncio.Lock()
        self._has_charges = not spool.is_empty
        self._num_keeping = 0
        self._waits: set[asyncio.Timeout] = set()
        self._is_hurried = False
        self.is_store_away = False

    @property
    def num_waiting(self) -> int:
        """Requests whose usage the database does not have yet."""
        return self._spool.num_rows + len(self._kept) + self._num_keeping

    @property
    def is_full(self) -> bool:
        """Whether usage of new requests could be lost."""
        return self._spool.is_full or bool(self._kept)

    @property
    def owes_budgets(self) -> bool:
        """Whether budgets in the database lack what this server has used of them."""
        return self._has_charges and self.num_waiting > 0

    async def settle(self, settlement: Settlement) -> None:
        """Enter a request's end. What the database does not take is kept for later."""
        try:
            async with self._waiting():
                await self._ledger.enter([settlement])
        except (StoreUnavailable, TimeoutError) as error:
            self._note_away(str(error) or "the server ends")
            await self._keep(settlement)
        except Exception:
            log.exception("usage was not entered", extra={"request_id": settlement.row.request_id})
            await self._keep(settlement)
        else:
            self._note_back()

    async def release(
        self, counters: Counters, reservation_id: str, claims: Sequence[Claim]
    ) -> None:
        """Settle claims that need no row; tried again later where the store is away."""
        if not await self._has_released(counters, reservation_id, claims):
            self._releases.append((counters, reservation_id, tuple(claims)))

    async def retry(self) -> None:
        """Send what is kept, as far as the stores take it."""
        if not (self._releases or self.num_waiting):
            return
        async with self._is_sending:
            for _ in range(len(self._releases)):
                release = self._releases[0]
                is_done = await self._has_released(*release)
                # One that came meanwhile may have pushed it out.
                if self._releases and self._releases[0] is release:
                    self._releases.popleft()
                    if not is_done:
                        self._releases.append(release)
            try:
                await self._send_kept()
                while batch := self._spool.oldest(BATCH):
                    await self._enter_all(batch)
                    self._spool.sent(len(batch))
            except StoreUnavailable as error:
                self._note_away(str(error))
                return
            except OSError as error:
                log.error("the usage spool cannot be emptied", extra={"reason": error.strerror})  # noqa: TRY400
                return
            if self.num_waiting == 0:
                self._has_charges = False

    def hurry(self) -> None:
        """Wait for no store any more: what one has not taken by now goes to the spool."""
        self._is_hurried = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)

    async def close(self) -> None:
        """Send what can be sent, and let go of the spool."""
        if not self._is_hurried:
            await self.retry()
        if self._kept:
            log.error("usage is lost that no disk took", extra={"rows": len(self._kept)})
        await self._spool.close()

    @contextlib.asynccontextmanager
    async def _waiting(self) -> AsyncIterator[None]:
        """Wait for a store in the block, until it is hurried. Raises TimeoutError then."""
        async with asyncio.timeout(0 if self._is_hurried else None) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    async def _has_released(
        self, counters: Counters, reservation_id: str, claims: Sequence[Claim]
    ) -> bool:
        """Settle claims; False is to be tried again. A defect may not keep the row from its end."""
        try:
            async with self._waiting():
                await counters.settle(reservation_id, claims)
        except (StoreUnavailable, TimeoutError):
            return False
        except Exception:
            log.exception("a reservation was not given back", extra={"reservation": reservation_id})
        return True

    async def _keep(self, settlement: Settlement) -> None:
        self._has_charges = self._has_charges or bool(settlement.claims)
        self._num_keeping += 1  # owed from now on, not only once it is on the disk
        try:
            await self._spool.append(settlement)
        except OSError:
            if len(self._kept) >= MAX_KEPT:
                lost = self._kept.popleft()
                log.error("usage is lost", extra={"request_id": lost.row.request_id})  # noqa: TRY400
            self._kept.append(settlement)
        finally:
            self._num_keeping -= 1

    async def _enter_all(self, batch: Sequence[Settlement]) -> None:
        """Enter a batch. One that the ledger can never take is set aside, and holds up no other.

        Raises:
            StoreUnavailable, OSError: it is to be tried again.
        """
        try:
            await self._ledger.enter(batch)
        except StoreUnavailable:
            raise
        except Exception:
            if len(batch) == 1:
                log.exception("usage is set aside", extra={"request_id": batch[0].row.request_id})
                self._spool.set_aside(batch[0])
                return
            for settlement in batch:
                await self._enter_all([settlement])

    async def _send_kept(self) -> None:
        """First what no disk has. Raises StoreUnavailable."""
        while self._kept:
            settlement = self._kept[0]
            try:
                await self._spool.append(settlement)
            except OSError:
                await self._enter_all([settlement])
            self._kept.popleft()

    def _note_away(self, reason: str) -> None:
        if not self.is_store_away:
            log.warning("the database is away: usage goes to the spool", extra={"reason": reason})
        self.is_store_away = True

    def _note_back(self) -> None:
        if self.is_store_away:
            log.info("the database is back", extra={"usage_that_waits": self.num_waiting})
        self.is_store_away = False
