"""Probes of stores for `doctor`: one look each, which changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import redis

from serve.storage.counting.counters import StoreUnavailable
from serve.storage.engines import opened
from serve.storage.migrating import newest, revision_of
from serve.storage.places import Place, PostgresqlServer, SqliteFile, unhurried
from serve.storage.urls import CacheServer

TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """A database that answers.

    Attributes:
        revision: of its tables; None without tables of ours.
        newest: the revision that this version of the program works with.
    """

    is_shared: bool
    revision: str | None
    newest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """A server of counters that answers.

    Attributes:
        product: ``valkey`` or ``redis``.
        version: numbers, such as (8, 0, 1).
        policy: what it does when its memory is full; ``noeviction`` forgets nothing.
        max_bytes: of its memory; 0 is no bound.
    """

    product: str
    version: tuple[int, ...]
    policy: str
    max_bytes: int


def probe_database(place: Place) -> DatabaseState | None:
    """The state of a database; None where its file is not there yet.

    Raises:
        StartupError: it cannot be used.
    """
    if isinstance(place, SqliteFile) and not place.path.exists():
        return None
    with opened(unhurried(place), is_reader=True) as engine, engine.connect() as connection:
        return DatabaseState(
            is_shared=isinstance(place, PostgresqlServer),
            revision=revision_of(connection),
            newest=newest(),
        )


def probe_cache(server: CacheServer) -> CacheState:
    """The state of a server of counters.

    Raises:
        StoreUnavailable: it does not answer, or lets nobody in. The message has no password.
    """
    client = redis.Redis.from_url(
        server.url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )
    try:
        told: dict[str, Any] = client.info("server") | client.info("memory")
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailable(f"it does not answer ({type(error).__name__})") from None
    finally:
        client.close()
    product = "valkey" if "valkey_version" in told else "redis"
    version = str(told.get(f"{product}_version", ""))
    return CacheState(
        product=product,
        version=tuple(int(part) for part in version.split(".") if part.isdecimal()),
        policy=str(told.get("maxmemory_policy", "")),
        max_bytes=int(told.get("maxmemory", 0)),
    )
