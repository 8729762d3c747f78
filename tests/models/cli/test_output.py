"""A name that is no UTF-8 is shown, and does not end the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.models.folders import whole


def test_a_folder_whose_name_is_no_utf8(tmp_path):
    path = whole(Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xff\n\x1b[31m")))
    done = subprocess.run(
        [sys.executable, "-m", "models", "show", path, "--data-dir", tmp_path],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert b"m\\udcff\\n\\x1b[31m" in done.stdout
    assert done.stderr == b""
