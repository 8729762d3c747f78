"""Callers and what knows them, built from the settings: keys, short tokens, signed tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serve.config import Config
from serve.errors import StartupError
from serve.governance.identity.authenticators import ApiKeys, Authenticator, Loopback
from serve.governance.identity.keys import KeyRing
from serve.governance.identity.pepper import Pepper, opened_pepper
from serve.governance.identity.short_tokens import ShortTokens

if TYPE_CHECKING:  # a start without a database needs none of its libraries
    from serve.governance.identity.database_ring import DatabaseKeyRing
    from serve.storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All that knows callers.

    Attributes:
        authenticators: in the order in which they are asked.
        keys: those in force; None where there are none.
        tokens: short tokens for the keys.
        loops: each keeps something fresh until it is cancelled.
    """

    authenticators: tuple[Authenticator, ...]
    keys: KeyRing | DatabaseKeyRing | None = None
    tokens: ShortTokens | None = None
    loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()

    def reload(self) -> None:
        """Read a key file again; a database is read each second anyhow."""
        if isinstance(self.keys, KeyRing):
            self.keys.reload()


@asynccontextmanager
async def open_identity(config: Config, database: Database | None) -> AsyncIterator[Identity]:
    """Open what knows callers, and keep it fresh while the block runs.

    Raises:
        StartupError: as build_identity, or the database's keys were stored under another pepper.
    """
    identity = build_identity(config, database)
    if identity.keys is not None and not isinstance(identity.keys, KeyRing):
        await identity.keys.refresh()
    tasks = [asyncio.create_task(loop()) for loop in identity.loops]
    try:
        yield identity
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def build_identity(config: Config, database: Database | None) -> Identity:
    """Build what knows callers by these settings. Nothing is asked of the network yet.

    Args:
        database: the one that is open, where the settings say that keys are in it.

    Raises:
        StartupError: a file cannot be used, or the keys do not fit it.
    """
    pepper = opened_pepper(config.key_pepper_file)
    keys = _keys(config, database, pepper)
    chain: list[Authenticator] = []
    loops: list[Callable[[], Coroutine[Any, Any, None]]] = []
    tokens = None
    if keys is not None:
        tokens = ShortTokens(keys, pepper)
        chain += [ApiKeys(keys), tokens]
        loops.append(keys.run)
    if config.jwt_file is not None:
        from serve.governance.identity.jwt_settings import read_jwt_settings  # noqa: PLC0415
        from serve.governance.identity.jwt_tokens import JwtTokens, jwks_source  # noqa: PLC0415

        settings = read_jwt_settings(config.jwt_file)
        source = jwks_source(settings)
        chain.append(JwtTokens(settings, source))
        loops.append(source.run)
    return Identity(
        authenticators=tuple(chain) or (Loopback(),), keys=keys, tokens=tokens, loops=tuple(loops)
    )


def _keys(
    config: Config, database: Database | None, pepper: Pepper | None
) -> KeyRing | DatabaseKeyRing | None:
    models = frozenset((*config.model_names, *config.adapters))
    if config.api_keys == "database":
        if database is None:
            raise StartupError("--api-keys database needs the database, and none is open.")
        from serve.governance.identity.database_ring import DatabaseKeyRing  # noqa: PLC0415

        return DatabaseKeyRing(database, pepper=pepper, models=models)
    if config.api_key_file is not None:
        return KeyRing(
            config.api_key_file,
            pepper=pepper,
            models=models,
        )
    return None
