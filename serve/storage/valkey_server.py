"""A Valkey or Redis server that runs scripts for us: in time, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as SlowAnswer

from serve.storage.circuit import Circuit
from serve.storage.counting.counters import StoreUnavailable

TIMEOUT_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and the name by which a server that has seen it knows it."""

    text: str

    @property
    def sha(self) -> str:
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class ValkeyServer:
    """One server. For one event loop.

    Args:
        url: redis://, rediss:// or unix://, with the password and a certificate's file where there
            are (``rediss://:password@host:6380/0?ssl_ca_certs=/path``).
        name: of the server in errors: ``the counters' server``.
        max_connections: calls at once; further ones wait, within their time.
        timeout_s: of a call, a new connection included.
        circuit: after whose failures the server is left alone.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        max_connections: int,
        timeout_s: float = TIMEOUT_S,
        circuit: Circuit | None = None,
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # Once more where a connection was lost: every script of ours may be run again.
            retry=Retry(NoBackoff(), 1, supported_errors=(LostConnection,)),
            protocol=2,
        )
        self.client: Redis = Redis.from_pool(pool)
        self._name = name
        self._timeout_s = timeout_s
        self._circuit = circuit or Circuit()

    @property
    def is_available(self) -> bool:
        """Whether the server answered of late."""
        return self._circuit.is_closed

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | int | str]
    ) -> Any:
        """A script's answer.

        Raises:
            StoreUnavailable: there is none. Whether the script ran is not known. The message has
                no address.
        """
        call = self._circuit.begin()
        if call is None:
            raise StoreUnavailable(f"{self._name} did not answer of late")
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._call(script, keys, arguments)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._circuit.fail(call)
            raise StoreUnavailable(self._told(error)) from error
        self._circuit.succeed(call)
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        await self.client.aclose(close_connection_pool=True)

    async def _call(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | int | str]
    ) -> Any:
        try:
            return await self.client.evalsha(script.sha, len(keys), *keys, *arguments)
        except NoScriptError:  # a server that was started or emptied since
            return await self.client.eval(script.text, len(keys), *keys, *arguments)

    def _told(self, error: Exception) -> str:
        if isinstance(error, TimeoutError | SlowAnswer):
            timeout_ms = self._timeout_s * 1000
            return f"{self._name} did not answer within {timeout_ms:.0f} ms"
        return f"{self._name} failed ({type(error).__name__})"
