"""A command of ours in a process of its own: its events, its failures, and its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import pytest

from serve.errors import StartupError
from serve.provenance import child

PRINT = "import json, os, sys\ndef event(**facts): print(json.dumps(facts), flush=True)\n"


async def run(program: str, environment: Mapping[str, str] | None = None) -> list[Any]:
    """The events of a program that is given ``event(name=value)`` to print one."""
    events: list[Any] = []
    words = ("-I", "-S", "-c", PRINT + program)
    await child.run(words, environment=environment or {}, on_event=events.append)
    return events


async def test_events_come_in_order_and_other_lines_are_passed_over() -> None:
    program = "event(n=1)\nprint('noise')\nprint('[2]')\nprint('\\xff')\nprint()\nevent(n=3)"
    assert await run(program) == [{"n": 1}, {"n": 3}]


async def test_the_last_error_event_is_the_message_and_no_event() -> None:
    program = (
        "event(n=1)\nevent(event='error', message='first')\n"
        "event(event='error', message='the disk is full')\nraise SystemExit(2)"
    )
    events: list[Any] = []
    with pytest.raises(StartupError, match=r"^the disk is full$"):
        await child.run(("-c", PRINT + program), environment={}, on_event=events.append)
    assert events == [{"n": 1}]


async def test_a_process_that_ends_well_may_have_told_of_an_error() -> None:
    assert await run("event(event='error', message='tried again')\nevent(n=1)") == [{"n": 1}]


async def test_one_that_says_nothing_is_an_error_too() -> None:
    with pytest.raises(StartupError, match="without a word: python -I -S -c"):
        await run("raise SystemExit(1)")


async def test_one_that_was_killed_is_an_error() -> None:
    with pytest.raises(StartupError, match="without a word"):
        await run("os.kill(os.getpid(), 9)")


async def test_it_has_this_environment_and_no_input() -> None:
    program = "event(names=sorted(os.environ), input=sys.stdin.read(), group=os.getpgrp())"
    ((facts),) = await run(program, {"HF_TOKEN": "x", "LC_ALL": "C.UTF-8"})
    assert facts["names"] == ["HF_TOKEN", "LC_ALL"]
    assert facts["input"] == ""
    assert facts["group"] != os.getpgrp(), "Ctrl-C at the terminal does not reach it"


@pytest.mark.parametrize("is_stubborn", [False, True])
async def test_a_server_that_is_stopped_ends_it(
    monkeypatch: pytest.MonkeyPatch, is_stubborn: bool
) -> None:
    monkeypatch.setattr(child, "TERMINATION_TIMEOUT_S", 0.01 if is_stubborn else 30)
    program = "import signal, time\n"
    if is_stubborn:
        program += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    program += "event(pid=os.getpid())\ntime.sleep(60)"
    started = asyncio.get_running_loop().create_future()
    words = ("-I", "-S", "-c", PRINT + program)
    task = asyncio.create_task(child.run(words, environment={}, on_event=started.set_result))
    pid = (await asyncio.wait_for(started, 30))["pid"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
