"""Requests that wait, run out of time or leave while they wait: what clients see, what is freed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp

from serve.service import deadline, place
from serve.service.asked import Asked
from serve.service.place import Place
from tests.serve.api.house import (
    ANSWER,
    CHAT,
    Caller,
    House,
    chat,
    error_code_of,
    events_of,
    house,
    is_free,
    pipeline_of,
    until,
)

NEVER = 1e-6
"""Tokens a second."""
MS = "x-request-timeout-ms"
NUM_PLACES = 5  # four, and one of look-ahead


class Asking(Caller):
    """A caller with headers of its own."""

    def __init__(self, app: ASGIApp, headers: dict[str, str], **fields: Any) -> None:
        super().__init__(app, CHAT, chat(**fields))
        added = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._scope["headers"] = [*self._scope["headers"], *added]

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])


def is_empty(home: House) -> bool:
    queue = home.service.directory.default.queue
    return is_free(home.pipeline) and queue.num_held == queue.num_waiting == 0


@asynccontextmanager
async def full(home: House, num: int = NUM_PLACES) -> AsyncIterator[list[Caller]]:
    """Every place taken by callers that stay until the block ends, or they leave."""
    callers = [Caller(home.app, CHAT, chat(stream=True)) for _ in range(num)]
    tasks = [asyncio.create_task(caller.call()) for caller in callers]
    queue = home.service.directory.default.queue
    await until(lambda: queue.num_held + queue.num_waiting == num)
    try:
        yield callers
    finally:
        for caller in callers:
            caller.leave()
        async with asyncio.timeout(20):
            await asyncio.gather(*tasks)
    assert is_empty(home)


def hold_all(home: House) -> Place:
    """Take every place, without the engine."""
    asked = Asked(tenant="holder", request_class="interactive", tokens=1, width=NUM_PLACES)
    return home.service.directory.default.queue.join(asked)


def slow_house(**settings: Any) -> House:
    return house(pipeline_of(tokens_per_s=NEVER), **settings)


async def test_one_that_waits_is_not_in_the_engine_and_runs_in_its_turn() -> None:
    home = slow_house()
    queue = home.service.directory.default.queue
    async with full(home) as callers:
        late = Asking(home.app, {})
        task = asyncio.create_task(late.call())
        await until(lambda: queue.num_waiting == 1)
        load = home.pipeline.engine.load()
        assert (load.num_running, load.num_waiting) == (4, 1)
        callers[0].leave()
        await until(lambda: queue.num_waiting == 0)
        late.leave()
        await task
    assert home.records.last.timeline.wait_s is not None


@pytest.fixture
def told_seconds() -> list[float]:
    """How long the requests had, that ``deadlines`` saw."""
    return []


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch, told_seconds: list[float]) -> list[asyncio.Timeout]:
    """The deadlines of requests as they begin: they come when a test says so, at no time else."""
    made: list[asyncio.Timeout] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        told_seconds.append(seconds)
        made.append(asyncio.timeout(None))
        return made[-1]

    monkeypatch.setattr(deadline, "timeout", timeout)
    return made


async def stopped(late: Asking, made: list[asyncio.Timeout], when: Callable[[], bool]) -> None:
    """Call, and let its deadline come when that holds."""
    task = asyncio.create_task(late.call())
    await until(lambda: bool(made) and when())
    made[-1].reschedule(asyncio.get_running_loop().time())
    await task


@pytest.mark.parametrize("stream", [False, True])
async def test_at_its_deadline_a_request_is_stopped_with_a_true_status(
    deadlines: list[asyncio.Timeout], *, stream: bool
) -> None:
    home = slow_house()
    late = Asking(home.app, {MS: "90000"}, stream=stream)
    await stopped(late, deadlines, lambda: home.pipeline.engine.load().num_running == 1)
    assert late.status == 504
    assert error_code_of(late.body) == "deadline_exceeded"
    assert late.headers[b"x-should-retry"] == b"false"
    assert is_empty(home)
    assert home.records.last.is_disconnected is False
    assert b'deadlines_exceeded_total{stage="running"} 1.0' in home.metrics.render()[0]


async def test_a_stream_that_has_begun_ends_in_an_error_at_its_deadline(
    deadlines: list[asyncio.Timeout],
) -> None:
    home = house(pipeline_of(tokens_per_s=20.0))
    late = Asking(home.app, {MS: "90000"}, stream=True)
    await stopped(late, deadlines, lambda: len(late.messages) > 1)
    assert late.status == 200
    assert error_code_of(late.body) == "deadline_exceeded"
    assert late.messages[-1]["more_body"] is False
    assert is_empty(home)
    assert home.records.last.error_code == "deadline_exceeded"


async def test_the_server_s_own_cap_holds_whatever_a_client_allows(
    deadlines: list[asyncio.Timeout], told_seconds: list[float]
) -> None:
    home = slow_house()
    home.service.directory.default.queue._max_request_s = 3600.0
    late = Asking(home.app, {MS: "80000000"})
    await stopped(late, deadlines, lambda: home.pipeline.engine.load().num_running == 1)
    assert late.status == 504
    assert len(told_seconds) == 1
    assert 0 < told_seconds[0] <= 3600.0


async def test_a_deadline_ends_the_wait_and_nothing_reaches_the_engine(
    deadlines: list[asyncio.Timeout],
) -> None:
    home = slow_house()
    queue = home.service.directory.default.queue
    async with full(home):
        late = Asking(home.app, {MS: "90000"}, stream=True)
        await stopped(late, deadlines, lambda: queue.num_waiting == 1)
        assert late.status == 504
        assert home.records.last.timeline.submitted_at is None
        assert queue.num_waiting == 0
    text = home.metrics.render()[0]
    assert b'deadlines_exceeded_total{stage="waiting"} 1.0' in text


async def test_a_stream_is_told_its_place_while_it_waits_if_it_asks() -> None:
    home = slow_house()
    async with full(home) as callers:
        told = Asking(home.app, {"x-queue-updates": "true"}, stream=True)
        untold = Asking(home.app, {}, stream=True)
        tasks = [asyncio.create_task(caller.call()) for caller in (told, untold)]
        await until(lambda: len(told.messages) > 1)
        assert told.status == 200
        assert told.body == b": queued position=1 expected_wait_s=unknown\n\n"
        assert untold.messages == []
        for caller in (*callers, told, untold):
            caller.leave()
        await asyncio.gather(*tasks)


async def test_after_its_places_a_stream_is_as_every_other() -> None:
    home = house()
    held = hold_all(home)
    caller = Asking(home.app, {"x-queue-updates": "true"}, stream=True)
    task = asyncio.create_task(caller.call())
    await until(lambda: len(caller.messages) > 1)
    held.leave(0)
    await task
    comment, _, rest = caller.body.decode().partition("\n\n")
    assert comment.startswith(": queued position=1")
    *chunks, done = events_of(rest)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == ANSWER
    assert done == "[DONE]"
    assert is_empty(home)


async def test_what_goes_wrong_after_its_place_was_told_is_told_in_the_stream(
    deadlines: list[asyncio.Timeout],
) -> None:
    home = slow_house()
    async with full(home):
        late = Asking(home.app, {"x-queue-updates": "true", MS: "90000"}, stream=True)
        await stopped(late, deadlines, lambda: len(late.messages) > 1)
        assert late.status == 200
        assert error_code_of(late.body.partition(b"\n\n")[2]) == "deadline_exceeded"


async def test_a_server_that_shuts_down_finishes_what_waits() -> None:
    home = house()
    held = hold_all(home)
    callers = [Asking(home.app, {}, stream=True) for _ in range(10)]
    tasks = [asyncio.create_task(caller.call()) for caller in callers]
    await until(lambda: home.service.directory.default.queue.num_waiting == 10)
    home.service.is_draining = True
    home.pipeline.drain()
    held.leave(0)
    await home.pipeline.admission.wait_idle()
    await asyncio.gather(*tasks)
    assert {caller.status for caller in callers} == {200}
    assert is_empty(home)


async def test_figures_of_those_that_wait() -> None:
    home = slow_house()
    queue = home.service.directory.default.queue
    home.metrics.attach_queue(queue)
    home.metrics.attach_engine(home.pipeline.engine.load)
    async with full(home):
        late = Asking(home.app, {"x-request-class": "batch"}, max_tokens=9)
        task = asyncio.create_task(late.call())
        await until(lambda: queue.num_waiting == 1)
        text = home.metrics.render()[0].decode()
        assert 'intramural_queue_requests{class="batch"} 1.0' in text
        assert 'intramural_queue_requests{class="interactive"} 0.0' in text
        num_tokens = queue.load("batch")[1]
        assert f'intramural_queue_tokens{{class="batch"}} {float(num_tokens)}' in text
        assert "intramural_requests_waiting 2.0" in text  # one of them in the engine
        late.leave()
        await task


async def test_a_refusal_tells_how_long_the_queue_is() -> None:
    home = house(pipeline_of(max_waiting=1, tokens_per_s=NEVER))
    async with full(home):
        async with home.client() as client:
            refused = await client.post(CHAT, json=chat())
        assert refused.status_code == 503
        message = refused.json()["error"]["message"]
        assert "holds 5 of at most 5 sequences" in message
        assert "0 requests wait; this one would be number 1" in message
        assert 1 <= int(refused.headers["retry-after"]) <= 10


async def test_500_that_leave_at_random_moments_leave_no_place_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, "UPDATE_S", 0.0)
    home = house(pipeline_of(max_waiting=500, tokens_per_s=5000.0))
    randomness = random.Random(5)

    async def one() -> None:
        headers = {
            "x-request-class": randomness.choice(["interactive", "batch", "background"]),
            "x-queue-updates": randomness.choice(["true", "false"]),
        }
        if randomness.random() < 0.2:
            headers[MS] = str(randomness.randrange(1, 40))
        caller = Asking(home.app, headers, stream=True, n=randomness.choice([1, 1, 2, 4]))
        task = asyncio.create_task(caller.call())
        for _ in range(randomness.randrange(60)):
            await asyncio.sleep(0)
        caller.leave()
        await task

    async with asyncio.timeout(20):
        await asyncio.gather(*(one() for _ in range(500)))
    assert is_empty(home)
    assert not [r for r in home.records.all if r.error_code == "internal_error"]
    assert sum(record.is_disconnected for record in home.records.all) > 100
