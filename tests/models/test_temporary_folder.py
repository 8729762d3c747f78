"""A folder of one process: removed at its end, or by the next if it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models import temporary_folder

PROGRAM = """\
import sys
from models import temporary_folder
print(temporary_folder.make("test"), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def started() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_next_process_removes_what_a_killed_one_left_and_no_more(temporary: Path) -> None:
    living, used = started()
    killed, left = started()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    foreign = temporary / "intramural-other-purpose"
    foreign.mkdir()
    assert left.is_dir()
    folder = temporary_folder.make("test")
    assert not left.exists()
    assert used.is_dir()
    assert foreign.is_dir()
    assert folder.stat().st_mode & 0o777 == 0o700
    living.communicate("")
    assert not used.exists(), "it ended in order"


def test_a_folder_that_is_being_made_is_left_alone(temporary: Path) -> None:
    young = temporary / "intramural-test-young"
    young.mkdir()
    temporary_folder.make("test")
    assert young.is_dir()
    assert not list(young.iterdir())
