from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="session")
def tiny_full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "full")


@pytest.fixture
def full(tiny_full: Path, tmp_path: Path) -> Path:
    """A copy of a tiny full model that may be changed."""
    return Path(shutil.copytree(tiny_full, tmp_path / "full"))
