"""What can refuse a request: limits and the trail, and that both learn how it ended."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from serve.api.openai.chat import ChatCompletions
from serve.errors import QueueFull
from serve.service.directory import Directory, Weights
from serve.service.requests import Service
from serve.timeline import Usage
from tests.serve.api.house import (
    ANSWER,
    Caller,
    Records,
    chat,
    house,
    is_free,
    pipeline_of,
)
from tests.serve.service.callers import (
    CHAT,
    LOCAL,
    Known,
    Ledger,
    Slow,
    Trail,
    in_process,
    outcome_of,
    service_of,
)


async def test_what_is_reserved_is_settled_with_what_was_used() -> None:
    ledger = Ledger()
    service, records = service_of(reservations=ledger)
    assert await in_process(service, chat(max_tokens=99)) == ANSWER
    assert ledger.lines == [("anonymous", "demo", 99), records.last.timeline.usage]
    assert records.last.timeline.usage.completion_tokens > 0


async def test_what_is_reserved_is_settled_where_the_request_is_refused_after_it() -> None:
    ledger = Ledger()
    service, _ = service_of(reservations=ledger, audit=Trail(refuses=True))
    with pytest.raises(QueueFull, match="trail"):
        await in_process(service, chat())
    assert ledger.lines[1:] == [Usage()]


async def test_a_limit_refuses_before_the_engine_and_the_trail() -> None:
    trail = Trail()
    service, records = service_of(reservations=Ledger(refuses=True), audit=trail)
    with pytest.raises(QueueFull, match="budget"):
        await in_process(service, chat())
    assert trail.lines == []
    assert records.last.timeline.first_token_at is None
    assert (records.last.status, records.last.error_code) == (503, "queue_full")


async def test_the_trail_has_a_beginning_and_an_end() -> None:
    trail = Trail()
    service, records = service_of(audit=trail)
    await in_process(service, chat())
    request_id = records.last.request_id
    assert trail.lines == [f"begin {request_id} anonymous", f"end {request_id} stop"]


ENDS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "dead in the middle": ({"die_after": 5}, chat(), "engine_dead"),
    "stopped": ({}, chat(stop=["log"]), "stop"),
}


@pytest.mark.parametrize("name", ENDS)
async def test_the_trail_knows_how_it_ended(name: str) -> None:
    fake, body, end = ENDS[name]
    trail, records = Trail(), Records()
    directory = Directory(("demo",), created=0)
    directory.publish(pipeline_of(max_waiting=2, **fake), Weights())
    service = Service(directory, (Known(),), listeners=(records,), audit=trail)
    await outcome_of(service, body)
    assert trail.lines[-1] == f"end {records.last.request_id} {end}"


async def test_what_is_refused_while_it_is_rendered_never_began() -> None:
    trail, ledger = Trail(), Ledger()
    directory = Directory(("demo",), created=0)
    directory.publish(pipeline_of(max_waiting=2, max_model_len=8), Weights())
    service = Service(directory, (Known(),), audit=trail, reservations=ledger)
    assert (await outcome_of(service, chat()))[1] == "context_length_exceeded"
    assert trail.lines == ledger.lines == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_while_it_is_settled_is_settled(stream: bool) -> None:
    home, ledger = house(), Slow()
    home.service._reservations = ledger
    caller = Caller(home.app, CHAT, chat(stream=stream))
    task = asyncio.create_task(caller.call())
    await ledger.began.wait()
    caller.leave()
    async with asyncio.timeout(20):
        await task
    assert ledger.lines[-1] == home.records.last.timeline.usage


async def test_the_trail_ends_where_the_reader_leaves_in_the_middle() -> None:
    trail, ledger = Trail(), Ledger()
    service, _ = service_of(audit=trail, reservations=ledger)
    with service.call(method="POST") as call:
        service.authenticate(call, LOCAL)
        generation = ChatCompletions().parse(chat()).generation()
        served = service.served(call, None)
        async with service.generate(call, served, generation) as events, aclosing(events):
            await anext(events)
    assert [line.split()[0] for line in trail.lines] == ["begin", "end"]
    assert len(ledger.lines) == 2
    assert served.pipeline is not None
    assert is_free(served.pipeline)  # type: ignore[arg-type]
