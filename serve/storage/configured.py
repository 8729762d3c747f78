"""The database that settings ask for: whether there is one, and where."""

from __future__ import annotations

from serve.config import Config
from serve.storage.places import FILE_NAME, Place, SqliteFile


def needs_database(config: Config) -> bool:
    """Whether anything that these settings turn on keeps what it must not lose."""
    return config.keeps_ledger


def place_of(config: Config) -> Place:
    """The database of these settings: a server that replicas share, or a file of this machine.

    Raises:
        StartupError: the file with the server's URL cannot be read, or holds none.
    """
    if config.database_url_file is not None:
        # Only where it is asked for: it imports PostgreSQL's library.
        from serve.storage.urls import read_database_url  # noqa: PLC0415

        return read_database_url(config.database_url_file)
    return SqliteFile(path=config.state_dir / FILE_NAME)
