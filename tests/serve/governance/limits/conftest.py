"""A database of this machine for each test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serve.storage.database import Database
from serve.storage.places import SqliteFile


@pytest.fixture
async def database(_migrated_file: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A database that is open, with our tables, on SQLite alone."""
    path = tmp_path / "intramural.db"
    shutil.copy(_migrated_file, path)
    opened = Database(SqliteFile(path=path))
    yield opened
    await opened.close()
