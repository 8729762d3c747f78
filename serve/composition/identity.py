"""Who may ask, built from the settings: keys, short tokens for them, and signed tokens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from serve.config import Config
from serve.errors import StartupError
from serve.governance.authenticators import ApiKeys, Authenticator, Loopback
from serve.governance.database_ring import DatabaseKeyRing
from serve.governance.jwt_settings import read_jwt_settings
from serve.governance.jwt_tokens import JwtTokens, jwks_source
from serve.governance.keys import KeyRing
from serve.governance.pepper import opened_pepper
from serve.governance.short_tokens import ShortTokens
from serve.storage.database import Database


@dataclass(slots=True, kw_only=True)
class Identity:
    """All that knows callers.

    Attributes:
        authenticators: in the order in which they are asked.
        keys: those in force; None where there are none.
        tokens: short tokens for the keys.
    """

    authenticators: tuple[Authenticator, ...]
    keys: KeyRing | DatabaseKeyRing | None = None
    tokens: ShortTokens | None = None
    _loops: tuple[Callable[[], Awaitable[None]], ...] = ()
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Read the database's keys, and keep all keys fresh from now on.

        Raises:
            StartupError: they were stored under another pepper.
        """
        if isinstance(self.keys, DatabaseKeyRing):
            await self.keys.refresh()
        self._tasks = [asyncio.ensure_future(_run(loop)) for loop in self._loops]

    async def close(self) -> None:
        """End what runs in the background."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def reload(self) -> None:
        """Read a key file again; a database is read each second anyhow."""
        if isinstance(self.keys, KeyRing):
            self.keys.reload()


def build_identity(config: Config, database: Database | None) -> Identity:
    """Who may ask, by these settings. Nothing is asked of the network yet.

    Args:
        database: where the settings say that keys are in it.

    Raises:
        StartupError: a file cannot be used, or the keys do not fit it.
    """
    pepper = opened_pepper(config.key_pepper_file)
    models = frozenset((*config.model_names, *config.adapters))
    keys: KeyRing | DatabaseKeyRing | None = None
    chain: list[Authenticator] = []
    loops: list[Callable[[], Awaitable[None]]] = []
    tokens = None
    if config.api_keys == "database":
        if database is None:
            raise StartupError("--api-keys database needs the database.")
        keys = DatabaseKeyRing(database, pepper=pepper, models=models)
        loops.append(keys.run)
    elif config.api_key_file is not None:
        keys = KeyRing(config.api_key_file, pepper=pepper, models=models)
    if keys is not None:
        tokens = ShortTokens(keys, pepper)
        chain += [ApiKeys(keys), tokens]
    if config.jwt_file is not None:
        settings = read_jwt_settings(config.jwt_file)
        source = jwks_source(settings)
        chain.append(JwtTokens(settings, source))
        loops.append(source.run)
    return Identity(
        authenticators=tuple(chain) or (Loopback(),),
        keys=keys,
        tokens=tokens,
        _loops=tuple(loops),
    )


async def _run(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()
