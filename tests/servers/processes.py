"""Server processes that a test starts in a folder of their own and ends by their id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_S = 30.0
STOP_S = 10.0


@contextmanager
def short_folder(user: str | None = None) -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket in it.

    Args:
        user: to whom it belongs, where this process is root's.
    """
    folder = Path(tempfile.mkdtemp(prefix="im-"))
    if user is not None and os.geteuid() == 0:
        shutil.chown(folder, user)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a server as the leader of a group of processes; its output goes to a file."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_until(is_up: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a server to answer; RuntimeError with its output where it ends or never does."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        if is_up():
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start:\n{(folder / 'log').read_text()[-2000:]}")


def stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a server that was started here."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
