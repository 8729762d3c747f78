"""The lock of a folder: one process has it, and the next one when that is over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve.governance.audit.log.errors import LogInUse
from serve.governance.audit.log.folder_lock import locked


def test_one_has_it_and_who_comes_second_is_told_who(tmp_path: Path) -> None:
    held = locked(tmp_path)
    with pytest.raises(LogInUse, match=f"pid {os.getpid()}"):
        locked(tmp_path)
    os.close(held)
    os.close(locked(tmp_path))
