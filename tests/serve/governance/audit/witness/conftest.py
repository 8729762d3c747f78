"""No waiting for the disk in the tests of witnesses."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def no_disk(monkeypatch) -> None:
    """Syncs are counted where they matter (test_state.py); nothing here cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda _descriptor: None)
