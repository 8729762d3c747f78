"""Counters in Valkey or Redis: for limits that replicas share, and that may be lost.

One script a verb, run by the server as a whole and by the server's own time. All keys have one
hash tag, so that they lie on one node of a cluster, and expire: nothing has to be swept.

A call waits for its turn among this process' others while those are answered: a queue is no outage.
From then on one deadline holds for all of it, a new connection included.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from serve.storage.circuit import Circuit
from serve.storage.counting import account_rules as rules
from serve.storage.counting import valkey_scripts
from serve.storage.counting.account_rules import Level, Usage
from serve.storage.counting.counters import Balance, Claim, Counters, Decision, StoreUnavailable
from serve.storage.valkey_server import TIMEOUT_S, ValkeyServer

QUEUE_S = 2.0
MAX_CONNECTIONS = 32
MAX_IDS = 200
"""Reservations that one script extends."""
REPLICA_MS = 60_000
"""How long a replica that reserves nothing is still counted."""
PREFIX = "{intramural}"


class ValkeyCounters(Counters):
    """Counters on a server. For one event loop.

    Args:
        url: as serve/storage/valkey_server.py takes it.
        prefix: of all keys, with a hash tag.
        timeout_s: of a call that has its turn.
        queue_s: that a call waits for its turn. A server that is silent opens the circuit, and
            whoever waits is refused at once.
        max_connections: calls that have their turn at once.
        circuit: after whose failures the server is left alone.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = PREFIX,
        timeout_s: float = TIMEOUT_S,
        queue_s: float = QUEUE_S,
        max_connections: int = MAX_CONNECTIONS,
        circuit: Circuit | None = None,
    ) -> None:
        self._server = ValkeyServer(
            url,
            "the counters' server",
            max_connections=max_connections,
            timeout_s=timeout_s,
            circuit=circuit,
        )
        self._scripts = valkey_scripts.load()
        self._prefix = prefix
        self._turns = asyncio.Semaphore(max_connections)
        self._queue_s = queue_s
        self._replica = uuid.uuid4().hex
        self._num_replicas = 1

    @property
    def num_replicas(self) -> int:
        """Replicas that reserved within a minute, when this one reserved last; at least 1."""
        return self._num_replicas

    @property
    def is_available(self) -> bool:
        """Whether the server answered of late."""
        return self._server.is_available

    async def reserve(
        self, reservation_id: str, claims: Sequence[Claim], *, lease_ms: int
    ) -> Decision:
        rules.check(reservation_id, claims, lease_ms)
        keys = [self._clock, f"{self._prefix}:replicas", self._reservation(reservation_id)]
        arguments: list[int | str] = [reservation_id, lease_ms, self._replica, REPLICA_MS]
        for claim in claims:
            enforced = int(claim.is_enforced)
            arguments += [claim.amount, claim.limit, claim.leak_ms or 0, enforced, claim.keep_ms]
        status, num_replicas, *numbers = await self._run("reserve", keys, claims, arguments)
        self._num_replicas = max(1, num_replicas)
        usages = _usages(numbers)
        if status > 0:
            return rules.refused(claims, usages, status - 1)
        if status == 0:
            usages = [
                Usage(usage.level, usage.reserved + claim.amount)
                for usage, claim in zip(usages, claims, strict=True)
            ]
        return rules.granted(claims, usages)

    async def settle(self, reservation_id: str, claims: Sequence[Claim]) -> bool:
        rules.check(reservation_id, claims)
        arguments: list[int | str] = [reservation_id, rules.TOMBSTONE_MS]
        for claim in claims:
            arguments += [claim.amount, claim.limit, claim.leak_ms or 0, claim.keep_ms]
        keys = [self._clock, self._reservation(reservation_id)]
        return bool(await self._run("settle", keys, claims, arguments))

    async def extend(self, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
        for reservation_id in reservation_ids:
            rules.check(reservation_id, (), lease_ms)
        for start in range(0, len(reservation_ids), MAX_IDS):
            ids = reservation_ids[start : start + MAX_IDS]
            keys = [self._clock, *(self._reservation(each) for each in ids)]
            await self._run("extend", keys, (), [lease_ms, *ids])

    async def balances(self, claims: Sequence[Claim]) -> tuple[Balance, ...]:
        rules.check_claims(claims)
        arguments = [number for claim in claims for number in (claim.limit, claim.leak_ms or 0)]
        numbers = await self._run("balances", [self._clock], claims, arguments)
        return rules.balances(claims, _usages(numbers))

    async def close(self) -> None:
        await self._server.close()

    @property
    def _clock(self) -> str:
        return f"{self._prefix}:clock"

    def _reservation(self, reservation_id: str) -> str:
        return f"{self._prefix}:reservation:{reservation_id}"

    async def _run(
        self,
        verb: str,
        keys: Sequence[str],
        claims: Sequence[Claim],
        arguments: Sequence[int | str],
    ) -> Any:
        all_keys = [*keys, *(f"{self._prefix}:account:{claim.account}" for claim in claims)]
        try:
            async with asyncio.timeout(self._queue_s):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreUnavailable("too many calls wait for the counters' server") from None
        try:
            return await self._server.run(self._scripts[verb], all_keys, arguments)
        finally:
            self._turns.release()


def _usages(numbers: Sequence[int]) -> list[Usage]:
    """Usages of the flat list that the scripts return: whole, part, reserved."""
    return [
        Usage(Level(numbers[index], numbers[index + 1]), numbers[index + 2])
        for index in range(0, len(numbers), 3)
    ]
