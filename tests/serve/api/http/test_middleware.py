"""The door: who gets in, what is bounded, and that every request leaves exactly one record."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Mount, Route

from serve.api.app import create_protected_app, routes_of
from serve.errors import EngineDeadError
from serve.governance import keys
from serve.pipeline.events import Started, TextDelta
from tests.serve.api.house import Caller, House, chat, house, pipeline_of, scope_of, until

PUBLIC = {"/livez", "/readyz", "/startupz"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get")
CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def locked(key_file: Path) -> tuple[House, str]:
    key = keys.create(key_file, name="ci")
    return house(keys=key_file), key


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# Who gets in


def test_the_public_list_is_three_probes() -> None:
    assert {r.path for r in routes_of(house().state) if r.policy.is_public} == PUBLIC


async def test_every_route_and_method_wants_the_key(locked: tuple[House, str]) -> None:
    home, _ = locked
    routes = [r for r in create_protected_app(routes_of(home.state)).routes if isinstance(r, Route)]
    paths = {route.path_format.replace("{model}", "demo") for route in routes}
    assert len(paths) >= 9
    async with home.client() as client:
        for path in sorted(paths | {"/", "/nope", "/docs", "/redoc", "/v1", "//livez", "/livez/"}):
            for method in METHODS:
                response = await client.request(method, path)
                assert response.status_code == 401, (method, path)
                assert response.headers["www-authenticate"] == "Bearer"


async def test_only_the_probes_methods_are_public(locked: tuple[House, str]) -> None:
    home, _ = locked
    async with home.client() as client:
        for path in PUBLIC:
            for method in METHODS:
                response = await client.request(method, path)
                assert response.status_code == (200 if method.upper() in {"GET", "HEAD"} else 401)


async def test_the_key_opens(locked: tuple[House, str]) -> None:
    home, key = locked
    async with home.client(headers=bearer(key)) as client:
        assert (await client.post(CHAT, json=chat())).status_code == 200
        assert home.records.last.key_id == key[3:15]
        assert (await client.get("/v1/models", headers={"host": "any.example"})).status_code == 200


async def test_a_refused_caller_sends_no_body_and_leaves_no_id(locked: tuple[House, str]) -> None:
    home, _ = locked
    async with home.client(headers=bearer("sk-wrong")) as client:
        response = await client.post(CHAT, content=b"not JSON at all")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    record = home.records.last
    assert (record.key_id, record.route, record.status) == (None, "unmatched", 401)


async def test_two_credentials_are_none(locked: tuple[House, str]) -> None:
    home, key = locked
    headers = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {key}")]
    async with home.client() as client:
        assert (await client.get("/v1/models", headers=headers)).status_code == 401


HOSTS = {
    "localhost": 200,
    "localhost:8000": 200,
    "LOCALHOST": 200,
    "127.0.0.1": 200,
    "127.0.0.1:65535": 200,
    "[::1]:80": 200,
    "evil.example": 403,
    "localhost.evil.example": 403,
    "evil.example:8000": 403,
    "localhost@evil.example": 403,
    "localhost:8000@evil.example": 403,
    "127.0.0.1.nip.io": 403,
    "127.1": 403,
    "0.0.0.0": 403,
    "localhost:": 403,
    "localhost:x": 403,
    "::1": 403,
    "": 403,
    "localhost\t": 403,
    "169.254.169.254": 403,
}


@pytest.mark.parametrize("host", HOSTS)
async def test_without_keys_only_loopback_hosts_are_served(host: str) -> None:
    async with house().client() as client:
        response = await client.get("/v1/models", headers={"host": host})
        assert response.status_code == HOSTS[host]
        assert (await client.get("/livez", headers={"host": host})).status_code == 200


async def test_a_web_page_cannot_post_without_asking_first() -> None:
    async with house().client() as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; x=y"):
            response = await client.post(CHAT, content=b"{}", headers={"content-type": kind})
            assert response.status_code == 415
            assert "access-control-allow-origin" not in response.headers


# What is bounded


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 400),
        ("application/json; charset=utf-8", 400),
        ('APPLICATION/JSON;charset="UTF-8"', 400),
        ("application/json; charset=utf-16", 415),
        ("application/json; boundary=x", 415),
        ("application/jsonp", 415),
        ("text/json", 415),
        ("", 415),
    ],
)
async def test_bodies_are_json_by_their_type(kind: str, status: int) -> None:
    async with house().client() as client:
        response = await client.post(CHAT, content=b"{}", headers={"content-type": kind})
        assert response.status_code == status


async def test_compressed_bodies_are_refused() -> None:
    async with house().client() as client:
        for encoding in ("gzip", "identity", "br", "x"):
            headers = JSON | {"content-encoding": encoding}
            assert (await client.post(CHAT, content=b"{}", headers=headers)).status_code == 415


async def _in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_large_bodies_are_refused_by_their_length_and_by_their_size() -> None:
    async with house(max_body_bytes=2000).client() as client:
        declared = await client.post(CHAT, content=b" " * 2001, headers=JSON)
        streamed = await client.post(
            CHAT, content=_in_pieces(b" " * 1500, b" " * 501), headers=JSON
        )
        fitting = await client.post(CHAT, content=_in_pieces(b" " * 1500, b" " * 500), headers=JSON)
    assert (declared.status_code, streamed.status_code, fitting.status_code) == (413, 413, 400)
    assert "at most 2000" in declared.json()["error"]["message"]


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "", "9" * 30])
async def test_lengths_that_are_none_are_refused(length: str) -> None:
    home = house()
    scope = scope_of(CHAT)
    scope["headers"].append((b"content-length", length.encode()))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await home.app(scope, lambda: asyncio.sleep(60), send)  # type: ignore[arg-type, return-value]
    assert sent[0]["status"] == 400


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
        await client.post(CHAT, json=chat(n=9))
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


def test_nothing_but_one_mount_stands_beside_the_probes() -> None:
    def inner(app: Any) -> Iterator[Any]:
        while app is not None:
            yield app
            app = getattr(app, "_app", None)

    router = list(inner(house().app))[-1]
    assert [type(route) for route in router.routes] == [Route, Route, Route, Mount]
    assert router.routes[-1].path == ""
    assert router.default is router.routes[-1].app


async def test_the_arm_is_told_to_those_who_are_let_in(key_file: Path) -> None:
    let_in = bearer(keys.create(key_file))
    arm = "x-intramural-arm"
    async with house(keys=key_file, arm="blue-2").client() as client:
        assert (await client.get("/v1/models", headers=let_in)).headers[arm] == "blue-2"
        refused = await client.get("/v1/models/nope", headers=let_in)
        assert (refused.status_code, refused.headers[arm]) == (404, "blue-2")
        assert arm not in (await client.get("/v1/models")).headers
        assert arm not in (await client.get("/livez")).headers
