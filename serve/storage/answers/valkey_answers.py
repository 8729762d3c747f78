"""Answers in Valkey or Redis, for replicas that share them: bytes under names, both opaque here.

The server's memory that they take is bounded by the script that keeps them, and they lie under a
hash tag of their own: on one node of a cluster, which may be another than the counters'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as SlowAnswer

from serve.storage.answers.valkey_scripts import FIND, KEEP, Script
from serve.storage.circuit import Circuit
from serve.storage.counting.counters import StoreUnavailable

TIMEOUT_S: Final = 0.25
MAX_CONNECTIONS: Final = 16
PREFIX: Final = "{intramural-answers}"
OVERHEAD_BYTES: Final = 400


class ValkeyAnswers:
    """Answers on a server. For one event loop.

    Args:
        url: as the counters' (serve/storage/counting/valkey_counters.py).
        max_bytes: of all values, with ``OVERHEAD_BYTES`` each.
        max_entries: values.
        max_age_s: seconds after which a value is none.
        timeout_s: of a call, its turn among this process' others included.
        circuit: after whose failures the server is left alone.
    """

    def __init__(
        self,
        url: str,
        *,
        max_bytes: int,
        max_entries: int,
        max_age_s: float,
        prefix: str = PREFIX,
        timeout_s: float = TIMEOUT_S,
        circuit: Circuit | None = None,
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1, supported_errors=(LostConnection,)),
            protocol=2,
        )
        self._client = Redis.from_pool(pool)
        self._keys = [f"{prefix}:{part}" for part in ("values", "uses", "ends", "bytes")]
        self._bounds = (int(max_age_s * 1000), max_bytes, max_entries, OVERHEAD_BYTES)
        self._timeout_s = timeout_s
        self._circuit = circuit or Circuit()
        self._num_entries = self._num_bytes = self._num_evictions = 0

    async def find(self, name: bytes) -> bytes | None:
        """The value of a name; None where there is none, or it is too old.

        Raises:
            StoreUnavailable: it was not answered.
        """
        value = await self._run(FIND, [name])
        return None if value is None else bytes(value)

    async def keep(self, name: bytes, value: bytes) -> None:
        """Keep a value; the ones unused for longest make room for it.

        Raises:
            StoreUnavailable: whether it was kept is not known.
        """
        told = await self._run(KEEP, [name, value, *self._bounds])
        self._num_entries, self._num_bytes, num_evicted = map(int, told)
        self._num_evictions += num_evicted

    def figures(self) -> Mapping[str, float]:
        """Figures of the server, as this process kept an answer last; its own evictions."""
        return {
            "response_cache_entries": self._num_entries,
            "response_cache_bytes": self._num_bytes,
            "response_cache_evictions_total": self._num_evictions,
            "response_cache_available": self._circuit.is_closed,
        }

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose(close_connection_pool=True)

    async def _run(self, script: Script, arguments: Sequence[bytes | int]) -> Any:
        call = self._circuit.begin()
        if call is None:
            raise StoreUnavailable("the response cache's server did not answer of late")
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._call(script, arguments)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._circuit.fail(call)
            raise StoreUnavailable(_told(error, self._timeout_s)) from error
        self._circuit.succeed(call)
        return answer

    async def _call(self, script: Script, arguments: Sequence[bytes | int]) -> Any:
        keys = self._keys
        try:
            return await self._client.evalsha(script.sha, len(keys), *keys, *arguments)
        except NoScriptError:  # a server that was started or emptied since
            return await self._client.eval(script.text, len(keys), *keys, *arguments)


def _told(error: Exception, timeout_s: float) -> str:
    """The error for whoever asked, without an address."""
    if isinstance(error, TimeoutError | SlowAnswer):
        return f"the response cache's server did not answer within {timeout_s * 1000:.0f} ms"
    return f"the response cache's server failed ({type(error).__name__})"
