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
    while not child.log_end() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    grandchild = int(child.log_end())
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


async def test_a_conversation_is_read_and_its_errors_go_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    variables = {"GREETING": "hello"}
    command = ["/bin/sh", "-c", 'read word; echo "$GREETING $word"; echo complaint >&2']
    child = Child(command, log, variables=variables, is_conversation=True)
    answer, _ = await asyncio.to_thread(child.process.communicate, b"there\n")
    await child.close()
    assert answer == b"hello there\n"
    assert child.log_end() == "complaint"


async def test_last_words_are_the_end_of_what_it_printed(tmp_path: Path) -> None:
    child = Child(["/bin/sh", "-c", "printf 'first\\nlast \\377\\n'"], tmp_path / "child.log")
    await asyncio.to_thread(child.process.wait)
    assert child.log_end(7) == "last \ufffd"
    assert not child.is_running
    await child.close()
    await child.close()


def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/nowhere/program"], tmp_path / "child.log")
