"""A child is waited for, and ends with all that it started."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks import child as children
from benchmarks.child import Child, StartError, free_port, wait_ready
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


class Process:
    """A process that runs for so many looks at it."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def is_running(self) -> bool:
        self.looks -= 1
        return self.looks >= 0

    def log_end(self) -> str:
        return "last words"


async def test_a_child_is_asked_until_it_answers(monkeypatch) -> None:
    answers = [False, False, True]
    asked: list[str] = []
    monkeypatch.setattr(children, "_answers", lambda url: asked.append(url) or answers.pop(0))
    await wait_ready(Process(9), "http://x/readyz", pause_s=0)
    assert asked == ["http://x/readyz"] * 3


async def test_a_child_that_ends_or_takes_too_long_is_told_with_its_last_words(monkeypatch) -> None:
    monkeypatch.setattr(children, "_answers", lambda _: False)
    with pytest.raises(StartError, match="did not start: last words"):
        await wait_ready(Process(3), "http://x", pause_s=0)
    with pytest.raises(StartError, match="not ready within 0 s: last words"):
        await wait_ready(Process(9), "http://x", timeout_s=0)


async def test_nobody_at_an_address_is_no_answer() -> None:
    url = f"http://127.0.0.1:{free_port()}/readyz"
    with pytest.raises(StartError):
        await wait_ready(Process(2), url, pause_s=0)
