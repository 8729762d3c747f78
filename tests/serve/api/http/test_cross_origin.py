"""Cross-origin requests: pages of allowed origins read every answer, all others none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.api.house import CHAT, House, bearer, chat, house, running

PAGE = "http://localhost:5173"
OTHER = "https://chat.example.org"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}


def with_origins(*origins: str, **settings: Any) -> House:
    return house(allowed_origins=origins or (PAGE, OTHER), **settings)


def cors(response: httpx.Response) -> dict[str, str]:
    return {k: v for k, v in response.headers.items() if k.startswith("access-control-")}


@pytest.mark.parametrize("origin", [PAGE, OTHER])
async def test_a_preflight_is_answered_before_the_key(
    locked: tuple[House, str],
    key_file: Path,
    origin: str,
) -> None:
    home = with_origins(keys=key_file)
    async with home.client() as client:
        for path in (CHAT, "/v1/models", "/nope", "/livez"):
            answer = await client.options(path, headers=PREFLIGHT | {"origin": origin})
            assert (answer.status_code, answer.content) == (204, b"")
            assert cors(answer) == {
                "access-control-allow-origin": origin,
                "access-control-allow-methods": "GET, HEAD, POST, DELETE",
                "access-control-allow-headers": "authorization,content-type,x-stainless-os",
                "access-control-max-age": "600",
            }
            assert "Origin" in answer.headers["vary"]
            assert answer.headers["x-request-id"]
    assert home.records.last.status == 204, "a preflight is recorded as all else"
    assert home.records.last.key_id is None


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("authorization", "authorization"),
        ("X-Stainless-Arch, x-stainless-lang", "X-Stainless-Arch, x-stainless-lang"),
        ("", "authorization, content-type"),
        ("a b", "authorization, content-type"),
        ("a,,b", "authorization, content-type"),
        ("a;b", "authorization, content-type"),
        (None, "authorization, content-type"),
    ],
)
async def test_a_page_may_send_any_header_that_has_a_name(asked: str | None, allowed: str) -> None:
    headers = {k: v for k, v in PREFLIGHT.items() if not k.endswith("headers")}
    if asked is not None:
        headers["access-control-request-headers"] = asked
    async with with_origins().client() as client:
        answer = await client.options(CHAT, headers=headers)
    assert answer.headers["access-control-allow-headers"] == allowed


@pytest.mark.parametrize(("asked", "given"), [("true", "true"), ("false", None), (None, None)])
async def test_a_private_network_is_named_where_it_is_asked_for(
    asked: str | None, given: str | None
) -> None:
    extra = {} if asked is None else {"access-control-request-private-network": asked}
    async with with_origins().client() as client:
        answer = await client.options(CHAT, headers=PREFLIGHT | extra)
    assert answer.headers.get("access-control-allow-private-network") == given


@pytest.mark.parametrize(
    "origin",
    [
        *("http://localhost:5174", "https://localhost:5173", "http://localhost:5173.evil.example"),
        *("http://localhost:5173/", "HTTP://LOCALHOST:5173", "null", "", "*", "http://localhost"),
        *("http://evil.example", "http://localhost:5173, http://localhost:5173"),
    ],
)
async def test_an_origin_that_is_not_listed_gets_nothing(
    locked: tuple[House, str],
    key_file: Path,
    origin: str,
) -> None:
    for home, status in ((with_origins(), 405), (with_origins(keys=key_file), 401)):
        async with home.client() as client:
            preflight = await client.options(CHAT, headers=PREFLIGHT | {"origin": origin})
            answer = await client.get("/livez", headers={"origin": origin})
        assert (preflight.status_code, cors(preflight)) == (status, {})
        assert (answer.status_code, cors(answer)) == (200, {})
        assert answer.headers["vary"] == "Origin", "a cache must not give it to another page"


async def test_two_origins_are_none() -> None:
    async with with_origins().client() as client:
        answer = await client.get("/livez", headers=[("origin", PAGE), ("origin", PAGE)])
    assert cors(answer) == {}


async def test_without_the_setting_nothing_is_said() -> None:
    async with house().client() as client:
        preflight = await client.options(CHAT, headers=PREFLIGHT)
        answer = await client.get("/livez", headers={"origin": PAGE})
    assert (preflight.status_code, answer.status_code) == (405, 200)
    assert cors(preflight) == cors(answer) == {}
    assert "vary" not in answer.headers


async def test_options_that_is_no_preflight_is_as_ever() -> None:
    async with with_origins().client() as client:
        answer = await client.options(CHAT, headers={"origin": PAGE})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert cors(answer)["access-control-allow-origin"] == PAGE


async def test_every_answer_can_be_read_refusals_and_streams_too(
    locked: tuple[House, str], key_file: Path
) -> None:
    home = with_origins(keys=key_file, max_header_bytes=2000)
    own = {"origin": PAGE, **bearer(locked[1])}
    json = {"content-type": "application/json"}
    async with home.client() as client:
        answers = {
            200: await client.post(CHAT, json=chat(max_tokens=2), headers=own),
            401: await client.post(CHAT, json=chat(), headers={"origin": PAGE}),
            404: await client.get("/nope", headers=own),
            405: await client.get(CHAT, headers=own),
            415: await client.post(CHAT, content=b"x", headers=own),
            400: await client.post(CHAT, content=b"{", headers=own | json),
            431: await client.get("/livez", headers=own | {"x-long": "x" * 3000}),
        }
        stream = await client.post(CHAT, json=chat(max_tokens=2, stream=True), headers=own)
        home.pipeline.engine.die("It stopped.")
        answers[503] = await client.post(CHAT, json=chat(), headers=own)
        home.service.directory.find = broken  # type: ignore[method-assign]
        answers[500] = await client.post(CHAT, json=chat(), headers=own)
    assert stream.text.endswith("data: [DONE]\n\n")
    for status, answer in [*answers.items(), (200, stream)]:
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"x-request-id", "retry-after", "retry-after-ms", "x-should-retry"} <= set(exposed)
        assert {"x-ratelimit-limit-requests", "x-ratelimit-reset-tokens"} <= set(exposed)
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


def broken(_name: str | None) -> Any:
    raise RuntimeError("planted")


async def test_any_origin_is_any_but_for_the_key(locked: tuple[House, str], key_file: Path) -> None:
    home = with_origins("*", keys=key_file)
    async with home.client() as client:
        for origin in ("https://anywhere.example", "null"):
            refused = await client.get("/v1/models", headers={"origin": origin})
            answer = await client.get("/v1/models", headers={"origin": origin, **bearer(locked[1])})
            assert (refused.status_code, answer.status_code) == (401, 200)
            assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_listed_page_asks_by_a_loopback_host_only() -> None:
    async with with_origins().client() as client:
        answer = await client.get("/v1/models", headers={"origin": PAGE, "host": "evil.example"})
    assert answer.status_code == 403
    assert '"evil.example"' in answer.json()["error"]["message"]


async def test_over_a_socket_a_preflight_keeps_its_connection() -> None:
    home = with_origins()
    async with running(home) as (_, url), asyncio.timeout(20), httpx.AsyncClient() as client:
        for _ in range(2):
            preflight = await client.options(url + CHAT, headers=PREFLIGHT)
            assert (preflight.status_code, preflight.content) == (204, b"")
            assert "content-length" not in preflight.headers, "of no content (RFC 9110, 8.6)"
            assert "transfer-encoding" not in preflight.headers
            answer = await client.post(
                url + CHAT, json=chat(max_tokens=2), headers={"origin": PAGE}
            )
            assert answer.headers["access-control-allow-origin"] == PAGE
