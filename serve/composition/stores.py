"""The stores, a database and counters that replicas share: opened where something needs them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serve.config import Config
from serve.observe.metrics import Metrics
from serve.storage.configured import needs_database, place_of

if TYPE_CHECKING:  # a start without a database needs none of its libraries
    from serve.storage.database import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores that are open.

    Attributes:
        database: None where nothing needs one.
        cache_url: of Valkey or Redis, as the client library reads it; holds a password. None
            where each process counts for itself.
    """

    database: Database | None = None
    cache_url: str | None = None


@asynccontextmanager
async def open_stores(config: Config, metrics: Metrics) -> AsyncIterator[Stores]:
    """Open what is needed, with tables that are up to date, and close it at the end.

    Raises:
        StartupError: a URL is none, or the database cannot be used.
    """
    cache_url = _cache_url(config)
    if not needs_database(config):
        yield Stores(cache_url=cache_url)
        return
    from serve.storage.database import open_database  # noqa: PLC0415

    place = place_of(config)
    database = await open_database(place)
    log.info("database opened", extra={"is_shared": database.is_shared})
    metrics.attach_database(lambda: database.is_available)
    try:
        yield Stores(database=database, cache_url=cache_url)
    finally:
        await database.close()


def _cache_url(config: Config) -> str | None:
    if config.cache_url_file is None:
        return None
    from serve.storage.urls import read_cache_url  # noqa: PLC0415

    return read_cache_url(config.cache_url_file).url
