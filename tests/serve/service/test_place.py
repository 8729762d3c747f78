"""What a place in the queue tells, and that it is given back once."""

from __future__ import annotations

import pytest

from serve.errors import QueueFull
from serve.pipeline.events import Queued
from serve.service import place as places_of
from serve.service.asked import Asked
from serve.service.engine_queue import EngineQueue


def queue_of_one() -> EngineQueue:
    return EngineQueue(max_running=1, look_ahead=0, max_tokens=150)


def asked(tenant: str = "a") -> Asked:
    return Asked(tenant=tenant, request_class="interactive", tokens=50)


async def test_a_place_is_told_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_of, "UPDATE_S", 0.0)
    monkeypatch.setattr(places_of, "KEEP_ALIVE_S", 1e9)
    queue = queue_of_one()
    first, second, third = (queue.join(asked()) for _ in range(3))
    updates = third.updates()
    assert await anext(updates) == Queued(position=2, expected_wait_s=None)
    first.leave(0)
    assert await anext(updates) == Queued(position=1, expected_wait_s=None)
    second.leave(0)
    assert await anext(updates, None) is None


async def test_a_place_that_stays_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_of, "UPDATE_S", 0.0)
    monkeypatch.setattr(places_of, "KEEP_ALIVE_S", 0.0)
    queue = queue_of_one()
    queue.join(asked())
    updates = queue.join(asked()).updates()
    assert await anext(updates) == await anext(updates) == Queued(position=1, expected_wait_s=None)


async def test_what_had_to_make_room_is_told_while_it_waits() -> None:
    queue = queue_of_one()
    queue.join(asked())
    waiting = [queue.join(asked()) for _ in range(3)]
    assert queue.join(asked("b")).is_waiting
    assert not waiting[2].is_waiting
    with pytest.raises(QueueFull, match="others have less waiting"):
        await waiting[2].wait()
    with pytest.raises(QueueFull):
        await anext(waiting[2].updates())


async def test_it_is_given_back_once() -> None:
    queue = queue_of_one()
    first, second = queue.join(asked()), queue.join(asked())
    first.leave(10)
    first.leave(10)
    assert queue.num_held == 1
    await second.wait()
    second.leave(10)
    assert queue.num_held == 0
