"""Answers in Valkey or Redis, for replicas that share them: bytes under names, both opaque here.

The server's memory that they take is bounded by the script that keeps them, and they lie under a
hash tag of their own: on one node of a cluster, which may be another than the counters'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from serve.storage.answers.valkey_scripts import FIND, KEEP
from serve.storage.circuit import Circuit
from serve.storage.valkey_server import TIMEOUT_S, ValkeyServer

MAX_CONNECTIONS: Final = 16
PREFIX: Final = "{intramural-answers}"
OVERHEAD_BYTES: Final = 400


class ValkeyAnswers:
    """Answers on a server. For one event loop.

    Args:
        url: as serve/storage/valkey_server.py takes it.
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
        self._server = ValkeyServer(
            url,
            "the response cache's server",
            max_connections=MAX_CONNECTIONS,
            timeout_s=timeout_s,
            circuit=circuit,
        )
        self._keys = [f"{prefix}:{part}" for part in ("values", "uses", "ends", "bytes")]
        self._bounds = (int(max_age_s * 1000), max_bytes, max_entries, OVERHEAD_BYTES)
        self._num_entries = self._num_bytes = self._num_evictions = 0

    async def find(self, name: bytes) -> bytes | None:
        """The value of a name; None where there is none, or it is too old.

        Raises:
            StoreUnavailable: it was not answered.
        """
        value = await self._server.run(FIND, self._keys, [name])
        return None if value is None else bytes(value)

    async def keep(self, name: bytes, value: bytes) -> None:
        """Keep a value; the ones unused for longest make room for it.

        Raises:
            StoreUnavailable: whether it was kept is not known.
        """
        told = await self._server.run(KEEP, self._keys, [name, value, *self._bounds])
        self._num_entries, self._num_bytes, num_evicted = map(int, told)
        self._num_evictions += num_evicted

    def figures(self) -> Mapping[str, float]:
        """Figures of the server, as this process kept an answer last; its own evictions."""
        return {
            "response_cache_entries": self._num_entries,
            "response_cache_bytes": self._num_bytes,
            "response_cache_evictions_total": self._num_evictions,
            "response_cache_available": self._server.is_available,
        }

    async def close(self) -> None:
        """Let go of the connections."""
        await self._server.close()
