"""The store of keys that a command changes: a file, or the database of the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from serve.config import Config
from serve.governance.identity.key_store import FileKeys, KeyStore
from serve.governance.identity.pepper import Pepper


@asynccontextmanager
async def opened_key_store(
    config: Config, file: Path | None, pepper: Pepper | None
) -> AsyncIterator[KeyStore]:
    """The store, while the block runs.

    Args:
        file: None is the database, whose tables are made where they are not there.

    Raises:
        StartupError: it cannot be used.
    """
    if file is not None:
        yield FileKeys(file, pepper)
        return
    # Only where it is asked for: a command on a file starts at once.
    from serve.governance.identity.database_keys import DatabaseKeys  # noqa: PLC0415
    from serve.storage.configured import place_of  # noqa: PLC0415
    from serve.storage.database import open_database  # noqa: PLC0415
    from serve.storage.places import unhurried  # noqa: PLC0415

    database = await open_database(unhurried(place_of(config)))
    try:
        yield DatabaseKeys(database, pepper)
    finally:
        await database.close()
