"""Signals: the first ends in order, the second at once, and a hang-up reloads."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from serve.composition.signals import Stop, heed_signals


@pytest.fixture
async def heard(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Stop, list[str]]]:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    reloads: list[str] = []
    yield heed_signals(lambda: reloads.append("reload")), reloads
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.remove_signal_handler(number)


async def test_a_signal_ends_and_is_kept(heard: tuple[Stop, list[str]]) -> None:
    stop, reloads = heard
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        await stop.wait()
    assert (stop.number, reloads) == (signal.SIGTERM, [])


async def test_a_hang_up_reloads_and_ends_nothing(heard: tuple[Stop, list[str]]) -> None:
    stop, reloads = heard
    os.kill(os.getpid(), signal.SIGHUP)
    for _ in range(100):
        await asyncio.sleep(0)
        if reloads:
            break
        await asyncio.sleep(0.01)
    assert (reloads, stop.is_set()) == (["reload"], False)


def test_a_second_signal_ends_at_once() -> None:
    stop = Stop()
    stop.on_signal(signal.SIGINT)
    with pytest.raises(SystemExit) as end:
        stop.on_signal(signal.SIGTERM)
    assert end.value.code == 128 + signal.SIGTERM
    assert stop.number == signal.SIGINT
