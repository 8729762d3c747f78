"""What tests of commands share that measure real engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import roofline
from tests.tiny_models import write_tiny_model


@pytest.fixture
def _quick_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Limits of this machine in a blink, and a cache of our own."""
    monkeypatch.setattr(roofline, "_READ_BYTES", 1 << 20)
    monkeypatch.setattr(roofline, "_MATRIX", 256)
    monkeypatch.setattr(roofline, "_SECONDS", 0.001)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
