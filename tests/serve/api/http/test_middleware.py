"""Every request leaves exactly one record, and its answer is marked."""

from __future__ import annotations

import asyncio
import gc
import re
from pathlib import Path
from typing import Any

import pytest

from serve.governance.identity import keys
from tests.serve.api.house import (
    CHAT,
    MODEL,
    Caller,
    bearer,
    chat,
    house,
    pipeline_of,
    until,
)


async def test_many_and_large_headers_are_refused() -> None:
    async with house().client() as client:
        many = await client.get("/livez", headers={f"x-{i}": "1" for i in range(100)})
        large = await client.get("/livez", headers={"x": "1" * 16_384})
        long = await client.get("/v1/models/" + "x" * 16_384)
    for response in (many, large, long):
        assert response.status_code == 431
        assert response.json()["error"]["code"] == "headers_too_large"


# What is told


async def test_ids_are_ours_and_the_clients_comes_back() -> None:
    async with house().client() as client:
        answers = [await client.get("/livez", headers={"x-request-id": "mine.1"}) for _ in range(2)]
        other = await client.get("/livez", headers={"x-client-request-id": "mine-2"})
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch(r"req-[0-9a-f]{32}", one) for one in ids)
    assert answers[0].headers["x-client-request-id"] == "mine.1"
    assert other.headers["x-client-request-id"] == "mine-2"


@pytest.mark.parametrize("bad", ["x" * 65, "a b", "a\u00e9", "<script>", '"', "a,b", ""])
async def test_an_id_that_could_forge_a_line_does_not_come_back(bad: str) -> None:
    async with house().client() as client:
        response = await client.get("/livez", headers={"x-request-id": bad.encode("latin-1")})  # type: ignore[dict-item]
    assert "x-client-request-id" not in response.headers


async def test_every_answer_carries_the_safe_headers() -> None:
    async with house().client() as client:
        for path in ("/livez", "/nope", "/v1/models"):
            response = await client.get(path)
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["cache-control"] == "no-store"


async def test_an_answers_id_is_the_requests() -> None:
    async with house().client() as client:
        response = await client.post(CHAT, json=chat())
    assert response.json()["id"][9:] == response.headers["x-request-id"][4:]


async def test_every_request_leaves_one_record() -> None:
    home = house()
    async with home.client() as client:
        await client.post(CHAT, json=chat())
        await client.post(CHAT, json=chat(stream=True))
        await client.post(CHAT, json=chat(n=129))
        await client.get("/v1/models/demo")
        await client.get("/nope")
        await client.request("BREW", "/v1/models")
    whole, stream, refused, model, lost, brewed = home.records.all
    assert (whole.route, whole.status, whole.model, whole.is_stream) == (CHAT, 200, "demo", False)
    assert whole.timeline.usage.completion_tokens > 0
    assert whole.timeline.finish_reason == "stop"
    assert (stream.status, stream.is_stream, stream.error_code) == (200, True, None)
    assert (refused.status, refused.error_code, refused.model) == (400, "invalid_value", None)
    assert model.route == "/v1/models/{model}"
    assert (lost.route, lost.status, lost.error_code) == ("unmatched", 404, "not_found")
    assert (brewed.method, brewed.status, brewed.route) == ("OTHER", 405, "/v1/models")
    for record in home.records.all:
        assert record.key_id == "anonymous"
        assert record.timeline.finished_at is not None
        assert not record.is_disconnected


async def test_other_protocols_are_turned_away() -> None:
    home = house()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    await home.app({"type": "websocket", "path": "/v1/models"}, receive, send)
    await home.app({"type": "lifespan"}, receive, send)
    kinds = [message["type"] for message in sent]
    assert kinds == [
        "websocket.close",
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert home.records.all == []


async def test_a_server_that_stops_tells_those_who_wait() -> None:
    home = house(pipeline_of(tokens_per_s=1.0))
    caller = Caller(home.app, CHAT, chat())
    task = asyncio.create_task(caller.call())
    await until(lambda: home.pipeline.num_admitted > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caller.messages[0]["status"] == 503
    assert b"draining" in caller.body
    assert home.records.last.status == 503


async def test_the_arm_is_told_to_those_who_are_let_in(key_file: Path) -> None:
    let_in = bearer(keys.create(key_file))
    arm = "x-intramural-arm"
    async with house(keys=key_file, arm="blue-2").client() as client:
        assert (await client.get("/v1/models", headers=let_in)).headers[arm] == "blue-2"
        refused = await client.get("/v1/models/nope", headers=let_in)
        assert (refused.status_code, refused.headers[arm]) == (404, "blue-2")
        assert arm not in (await client.get("/v1/models")).headers
        assert arm not in (await client.get("/livez")).headers


NUM_IDS = 40_009
"""A number that no other list here has."""
IDS = ",".join(["1"] * NUM_IDS)


async def large_objects() -> list[int]:
    """Lists of the body's size that are left, once tasks and threads had time to end."""
    kept: list[int] = []
    for _ in range(200):
        await asyncio.sleep(0.001)
        objects = [one for one in gc.get_objects() if type(one) in {list, tuple}]
        kept = [len(one) for one in objects if len(one) == NUM_IDS]
        if not kept:
            break
    return kept


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/detokenize", f'{{"tokens": [{IDS}]}}', 400),
        ("/v1/completions", f'{{"model": "nobody", "prompt": [{IDS}]}}', 404),
        ("/v1/completions", f'{{"model": "{MODEL}", "prompt": [{IDS}], "n": "two"}}', 400),
        ("/v1/completions", f'{{"model": "{MODEL}", "prompt": [{IDS}]}}', 400),
    ],
)
async def test_a_refused_body_is_freed_without_the_collector(
    path: str, body: str, status: int
) -> None:
    home = house(pipeline_of(max_model_len=512))
    async with home.client(headers={"content-type": "application/json"}) as client:
        gc.collect()
        gc.disable()
        try:
            response = await client.post(path, content=body)
            kept = await large_objects()
        finally:
            gc.enable()
    assert response.status_code == status
    assert kept == []
