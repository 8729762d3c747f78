"""Probes, version, figures and the description of the API."""

from __future__ import annotations

import pytest

from tests.serve.api.house import House, chat, house

MODEL_ROUTES = [
    ("POST", "/v1/chat/completions", chat()),
    ("POST", "/v1/completions", {"model": "demo", "prompt": "x"}),
    ("POST", "/tokenize", {"prompt": "x"}),
    ("POST", "/detokenize", {"tokens": [1]}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/demo", None),
]


async def test_while_it_loads_it_lives_and_says_how_far_it_is() -> None:
    home = house(is_loaded=False)
    home.state.startup("load_weights", 5, 10)
    async with home.client() as client:
        live, ready, start = [await client.get(p) for p in ("/livez", "/readyz", "/startupz")]
    assert live.status_code == 200
    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
    assert start.status_code == 503
    assert start.json()["status"] == "starting"
    assert start.json()["phases"][0]["done"] == 5
    assert ready.headers["retry-after"]
    assert start.headers["retry-after"]


async def test_a_start_that_failed_is_not_a_start() -> None:
    home = house(is_loaded=False)
    home.state.startup.fail("the folder /secret/path is empty")
    async with home.client() as client:
        start = await client.get("/startupz")
    assert (start.status_code, start.json()["status"]) == (503, "failed")
    assert "/secret" not in start.text, "what went wrong is for the operator"


@pytest.mark.parametrize(("method", "path", "body"), MODEL_ROUTES)
async def test_while_it_loads_model_routes_say_come_back(
    method: str, path: str, body: object
) -> None:
    async with house(is_loaded=False).client() as client:
        response = await client.request(method, path, json=body)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
    assert response.headers["retry-after"]


async def test_while_it_loads_the_rest_answers() -> None:
    async with house(is_loaded=False).client() as client:
        for path in ("/version", "/metrics", "/openapi.json"):
            assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_is_readiness_without_a_key(locked: tuple[House, str], method: str) -> None:
    home, _ = locked
    async with home.client() as client:
        well = await client.request(method, "/health", headers={"host": "serve.example:8000"})
        home.service.is_leaving = True
        leaving = await client.request(method, "/health")
        home.service.is_leaving = False
        home.pipeline.engine.die("It stopped.")
        dead = await client.request(method, "/health")
    async with house(is_loaded=False).client() as client:
        loading = await client.request(method, "/health")
    assert [r.status_code for r in (well, leaving, dead, loading)] == [200, 503, 503, 503]
    for response in (leaving, dead, loading):
        assert response.headers["retry-after"]


async def test_readiness_follows_the_engine_and_the_drain() -> None:
    home = house()
    async with home.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        home.service.is_draining = True
        draining = await client.get("/readyz")
        refused = await client.post("/v1/chat/completions", json=chat())
        home.service.is_draining = False
        home.pipeline.engine.die("It stopped.")
        dead = await client.get("/readyz")
        assert (await client.get("/livez")).status_code == 200
    for response, code in ((draining, "draining"), (refused, "draining"), (dead, "engine_dead")):
        assert response.status_code == 503
        assert response.json()["error"]["code"] == code
        assert response.headers["retry-after"]


async def test_a_server_that_is_leaving_is_not_ready_and_still_works() -> None:
    home = house()
    home.service.is_leaving = True
    async with home.client() as client:
        ready = await client.get("/readyz")
        answer = await client.post("/v1/chat/completions", json=chat())
    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "draining")
    assert answer.status_code == 200
    assert "x-intramural-arm" not in answer.headers, "none was named"
