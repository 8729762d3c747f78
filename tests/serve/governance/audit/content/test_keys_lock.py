"""The lock of subjects' keys: who waits too long is told who has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve.governance.audit.content.keys_lock import LOCK, keys_lock


def test_one_has_it_and_who_waits_too_long_is_told_who(tmp_path: Path) -> None:
    told = rf"changed by another process \(pid {os.getpid()}\)"
    with (
        keys_lock(tmp_path),
        pytest.raises(TimeoutError, match=told),
        keys_lock(tmp_path, patience_s=0),
    ):
        pass
    with keys_lock(tmp_path, patience_s=0):
        pass


def test_its_file_is_of_the_folders_owner(tmp_path: Path) -> None:
    """A lock that root made would lock the server out."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 4711, 4711)
    with keys_lock(tmp_path):
        assert (tmp_path / LOCK).stat().st_uid == tmp_path.stat().st_uid
