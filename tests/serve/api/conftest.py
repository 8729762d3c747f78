"""A server with keys, and a key of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.governance.identity import keys
from tests.serve.api.house import House, house


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def locked(key_file: Path) -> tuple[House, str]:
    key = keys.create(key_file, name="ci")
    return house(keys=key_file), key
