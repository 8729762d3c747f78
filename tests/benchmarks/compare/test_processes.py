"""A child ends with all that it started."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.compare.processes import Child
from models.memory.host_memory import read_text


async def test_all_that_a_child_started_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import signal, subprocess, sys, time; signal.signal(15, lambda *_: sys.exit());"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    log = tmp_path / "child.log"
    child = Child([sys.executable, "-c", program], log)
    deadline = time.monotonic() + 30
    while not child.last_words() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    grandchild = int(child.last_words())
    assert child.is_running
    await child.close()
    assert not child.is_running
    while time.monotonic() < deadline:  # its new parent reaps it in its own time
        try:
            os.kill(grandchild, 0)
        except ProcessLookupError:
            return
        if "\nState:\tZ" in read_text(Path(f"/proc/{grandchild}/status")):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the grandchild lives on")
