"""A database of this machine for each test; proofs take PostgreSQL's, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from serve.storage import schema
from serve.storage.database import Database
from serve.storage.places import SqliteFile


@pytest.fixture(scope="session")
def _file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tmp") / "x.db"
    engine = create_engine(f"sqlite:///{path}")
    schema.metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture
async def database(_file: Path, tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "intramural.db"
    path.write_bytes(_file.read_bytes())
    opened = Database(SqliteFile(path=path))
    yield opened
    await opened.close()
