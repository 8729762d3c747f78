"""Clients that leave: at any moment, stream or not, and always everything is freed.

The commonest leak of such servers is a slot that stays taken when the client leaves between the
handler and the first chunk, or before the first token. Here it is tried at every moment there is.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.types import Message

from serve.pipeline.events import Finished, Started, TextDelta
from tests.serve.api.house import (
    ANSWER,
    Caller,
    chat,
    events_of,
    house,
    is_free,
    pipeline_of,
    running,
    until,
)
from tests.serve.service.callers import Trail

CHAT = "/v1/chat/completions"
SLOW = {"tokens_per_s": 0.001}
STREAM = [True, False]


@pytest.mark.parametrize("stream", STREAM)
async def test_before_the_first_token(stream: bool) -> None:
    home = house(pipeline_of(**SLOW))
    caller = Caller(home.app, CHAT, chat(stream=stream))
    task = asyncio.create_task(caller.call())
    await until(lambda: home.pipeline.engine.load().num_running == 1)
    caller.leave()
    await task
    assert is_free(home.pipeline)
    record = home.records.last
    assert record.is_disconnected
    assert record.status == 499, "no answer had begun, a stream either"
    assert len(home.records.all) == 1


@pytest.mark.parametrize("stream", STREAM)
async def test_while_it_waits_for_the_engine(stream: bool) -> None:
    home = house(pipeline_of(**SLOW))
    callers = [Caller(home.app, CHAT, chat(stream=stream)) for _ in range(5)]
    tasks = [asyncio.create_task(caller.call()) for caller in callers]
    await until(lambda: home.pipeline.engine.load().num_waiting == 1)
    for caller in callers:
        caller.leave()
    await asyncio.gather(*tasks)
    assert is_free(home.pipeline)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("at", range(8))
async def test_after_any_message_of_a_stream(at: int, n: int) -> None:
    home = house(pipeline_of(tokens_per_s=2000))
    seen = 0

    def leave(_message: Message) -> bool:
        nonlocal seen
        seen += 1
        return seen > at

    caller = Caller(home.app, CHAT, chat(stream=True, n=n, max_tokens=500), until=leave)
    await caller.call()
    assert is_free(home.pipeline)
    assert len(caller.messages) < 30
    assert home.records.last.is_disconnected
    assert home.records.last.timeline.usage.completion_tokens < 100


class Scripted:
    """A pipeline that stops where a test wants it, and says whether it was closed.

    Args:
        hold_at: waits for ever before its event of this number.
    """

    def __init__(self, hold_at: int) -> None:
        self.engine = pipeline_of().engine
        self.hold_at = hold_at
        self.holds = asyncio.Event()
        self.is_closed = False

    def check(self, generation: Any) -> None:
        """Anything may run."""

    async def generate(self, request: Any) -> Any:
        events = [
            Started(prompt_tokens=1),
            *(TextDelta(index=0, text=str(i)) for i in range(3)),
            Finished(index=0, reason="stop"),
        ]
        try:
            for number, event in enumerate(events):
                if number == self.hold_at:
                    self.holds.set()
                    await asyncio.Event().wait()
                yield event
            self.holds.set()
        finally:
            await asyncio.sleep(0)  # cleaning up may need the loop
            self.is_closed = True


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("hold_at", range(5))
async def test_while_any_event_is_awaited(hold_at: int, stream: bool) -> None:
    pipeline = Scripted(hold_at)
    home = house(pipeline)
    caller = Caller(home.app, CHAT, chat(stream=stream))
    task = asyncio.create_task(caller.call())
    await pipeline.holds.wait()
    caller.leave()
    await task
    assert pipeline.is_closed
    assert home.records.last.status == (200 if stream and hold_at > 1 else 499)


async def test_while_the_socket_is_full() -> None:
    pipeline = Scripted(hold_at=99)
    home = house(pipeline)
    blocked = asyncio.Event()

    class Full(Caller):
        async def _send(self, message: Message) -> None:
            await super()._send(message)
            if len(self.messages) == 2:
                blocked.set()
                await asyncio.Event().wait()

    caller = Full(home.app, CHAT, chat(stream=True))
    task = asyncio.create_task(caller.call())
    await blocked.wait()
    assert len(caller.messages) == 2, "no event is pulled while the socket is full"
    caller.leave()
    await task
    assert pipeline.is_closed


@pytest.mark.parametrize("stream", STREAM)
async def test_when_it_leaves_before_its_body_is_complete(stream: bool) -> None:
    home = house()
    caller = Caller(home.app, CHAT, chat(stream=stream))
    caller._has_sent = True
    caller.leave()
    await caller.call()
    assert caller.messages == []
    assert (home.records.last.status, home.records.last.is_disconnected) == (499, True)


@pytest.mark.parametrize("stream", STREAM)
async def test_when_the_server_stops_at_the_same_time(stream: bool) -> None:
    """A cancellation from outside is never taken for a client that left."""
    pipeline = Scripted(hold_at=2)
    home = house(pipeline)
    caller = Caller(home.app, CHAT, chat(stream=stream))
    task = asyncio.create_task(caller.call())
    await pipeline.holds.wait()
    caller.leave()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pipeline.is_closed


async def test_a_stream_that_the_server_ends_says_so_in_band() -> None:
    pipeline = Scripted(hold_at=2)
    home = house(pipeline)
    caller = Caller(home.app, CHAT, chat(stream=True))
    task = asyncio.create_task(caller.call())
    await pipeline.holds.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    events = events_of(caller.body.decode())
    assert events[-2]["error"]["code"] == "draining"
    assert events[-1] == "[DONE]"
    assert home.records.last.error_code == "draining"


@pytest.mark.parametrize("stream", STREAM)
async def test_what_the_server_ends_is_no_client_that_left(stream: bool) -> None:
    trail, pipeline = Trail(), Scripted(hold_at=2)
    home = house(pipeline)
    home.service._audit = trail
    task = asyncio.create_task(Caller(home.app, CHAT, chat(stream=stream)).call())
    await pipeline.holds.wait()
    home.service.is_draining = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = home.records.last
    assert (record.error_code, record.is_disconnected) == ("draining", False)
    assert record.status == (200 if stream else 503)
    assert trail.lines[-1] == f"end {record.request_id} draining"


async def test_the_trail_knows_a_client_that_left() -> None:
    trail, pipeline = Trail(), Scripted(hold_at=2)
    home = house(pipeline)
    home.service._audit = trail
    caller = Caller(home.app, CHAT, chat(stream=True))
    task = asyncio.create_task(caller.call())
    await pipeline.holds.wait()
    caller.leave()
    await task
    record = home.records.last
    assert (record.error_code, record.is_disconnected) == (None, True)
    assert trail.lines[-1].endswith(" left")


async def test_a_client_that_stays_gets_everything() -> None:
    home = house()
    caller = Caller(home.app, CHAT, chat())
    await caller.call()
    assert ANSWER in caller.body.decode()
    assert not home.records.last.is_disconnected


async def _leave(client: httpx.AsyncClient, body: dict[str, Any], num_lines: int) -> None:
    if not body["stream"]:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(CHAT, json=body, timeout=httpx.Timeout(5, read=0.05))
        return
    async with client.stream("POST", CHAT, json=body) as response:
        lines = response.aiter_lines()
        for _ in range(num_lines):
            await anext(lines)


@pytest.mark.parametrize("stream", STREAM)
async def test_sixty_clients_leave_a_real_socket(stream: bool) -> None:
    """The same over uvicorn, in bursts, with more clients than there are slots."""
    pipeline = pipeline_of(tokens_per_s=200, max_waiting=60)
    home = house(pipeline)
    async with running(home) as (_, url):
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            for _ in range(3):
                body = chat(stream=stream, max_tokens=400)
                await asyncio.gather(*(_leave(client, body, i % 5) for i in range(20)))
        await until(lambda: is_free(pipeline) and len(home.records.all) == 60)
    assert all(record.is_disconnected for record in home.records.all)
