"""Refusals become answers: whatever is raised, and what its headers tell."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serve.api.http.problems import headers_of
from serve.errors import (
    BudgetStoreUnavailable,
    EngineDeadError,
    InsufficientQuota,
    RateLimited,
    RequestError,
)
from serve.pipeline.events import Started, TextDelta
from tests.serve.api.house import (
    CHAT,
    Caller,
    chat,
    house,
    pipeline_of,
)


async def test_wrong_routes_and_methods_are_answered_in_the_envelope() -> None:
    async with house().client() as client:
        lost = await client.get("/v1/nope")
        wrong = await client.get(CHAT)
        slash = await client.get("/v1/models/")
    assert (lost.status_code, lost.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["error"]["code"] == "method_not_allowed"
    assert slash.status_code == 404


class Broken:
    """A pipeline with a defect, whose message holds what no log and no client may see."""

    SECRET = "a prompt in an exception"

    def __init__(self, *events: Any) -> None:
        self.engine = pipeline_of().engine
        self.events = events

    def check(self, generation: Any) -> None:
        """Anything may run."""

    async def generate(self, request: Any) -> AsyncIterator[Any]:
        for event in self.events:
            yield event
        raise ValueError(self.SECRET)


async def test_a_defect_is_answered_without_detail_and_logged_without_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    home = house(Broken())
    with caplog.at_level(logging.DEBUG):
        async with home.client() as client:
            response = await client.post(CHAT, json=chat())
    assert response.status_code == 500
    assert response.headers["x-should-retry"] == "false"
    error = response.json()["error"]
    assert (error["code"], error["type"]) == ("internal_error", "server_error")
    assert response.headers["x-request-id"] in error["message"]
    assert Broken.SECRET not in response.text + caplog.text
    assert "ValueError" in caplog.text
    assert response.headers["x-request-id"] in caplog.text
    assert home.records.last.error_code == "internal_error"


async def test_a_defect_in_mid_stream_leaves_the_answer_visibly_incomplete(
    caplog: pytest.LogCaptureFixture,
) -> None:
    home = house(Broken(Started(prompt_tokens=1), TextDelta(index=0, text="x")))
    caller = Caller(home.app, CHAT, chat(stream=True))
    await caller.call()
    assert caller.messages[-1]["more_body"]
    assert b"[DONE]" not in caller.body
    assert Broken.SECRET not in caplog.text
    record = home.records.last
    assert (record.status, record.error_code) == (200, "internal_error")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_pipeline_that_ends_without_starting_is_a_defect(stream: bool) -> None:
    class Empty(Broken):
        async def generate(self, request: Any) -> AsyncIterator[Any]:
            for event in self.events:
                yield event

    async with house(Empty()).client() as client:
        response = await client.post(CHAT, json=chat(stream=stream))
    assert response.status_code == 500


async def test_refusals_for_now_say_when_to_come_back() -> None:
    home = house()
    home.pipeline.engine.die()
    async with home.client() as client:
        response = await client.post(CHAT, json=chat())
    assert response.status_code == 503
    assert response.json()["error"]["code"] == EngineDeadError.code
    assert int(response.headers["retry-after"]) >= 1
    assert 500 < int(response.headers["retry-after-ms"]) < 2000
    assert response.headers["x-should-retry"] == "true"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RateLimited("m", wait_ms=240), {"retry-after": "1", "x-should-retry": "true"}),
        (RateLimited("m", wait_ms=61_001), {"retry-after": "62", "x-should-retry": "true"}),
        (RateLimited("m", wait_ms=None), {"x-should-retry": "false"}),
        (InsufficientQuota("m"), {"x-should-retry": "false"}),
        (BudgetStoreUnavailable("m"), {"retry-after": "1", "x-should-retry": "true"}),
    ],
)
def test_refusals_by_limits_tell_whether_and_when_to_ask_again(
    error: RequestError, told: dict[str, str]
) -> None:
    headers = {name.decode(): value.decode() for name, value in headers_of(error)}
    wait_ms = headers.pop("retry-after-ms", None)
    assert headers == told
    if isinstance(error, RateLimited) and error.wait_ms is not None:
        assert error.wait_ms <= int(wait_ms or 0) <= 1.25 * error.wait_ms  # sooner is too soon
