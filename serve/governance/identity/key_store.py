"""Key stores, which the ``keys`` commands change: a file here, the database in database_keys.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from serve.governance.identity import keys as key_files
from serve.governance.identity.key_changes import Keys
from serve.governance.identity.key_file import read_entries
from serve.governance.identity.pepper import Pepper


class KeyStore(Protocol):
    """A place of keys, as the ``keys`` commands use it."""

    async def read(self) -> Keys:
        """All entries, oldest first. Raises StartupError."""
        ...

    async def change(
        self,
        edit: Callable[[Keys], Keys],
        *,
        may_be_new: bool = False,
        keeps_hashes: bool = False,
    ) -> None:
        """Change all keys at once: other writers wait, readers see the old or the new ones.

        Args:
            edit: pure; it may be called again.
            may_be_new: the store may be made for it.
            keeps_hashes: they stay as they are, and no pepper is needed.

        Raises:
            StartupError: as of ``edit``, or the store cannot be used.
        """
        ...


class FileKeys:
    """Keys of a file (key_file.py)."""

    def __init__(self, path: Path, pepper: Pepper | None) -> None:
        self._path = path
        self._pepper = pepper

    async def read(self) -> Keys:
        """All entries. They are told whatever the pepper: nobody is let in by them."""
        return read_entries(self._path)

    async def change(
        self,
        edit: Callable[[Keys], Keys],
        *,
        may_be_new: bool = False,
        keeps_hashes: bool = False,
    ) -> None:
        """Replace the file."""
        key_files.change(
            self._path, edit, self._pepper, may_be_new=may_be_new, keeps_hashes=keeps_hashes
        )
