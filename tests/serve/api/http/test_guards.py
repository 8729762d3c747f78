"""Who and what is let in to the routes that are not public."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.routing import Route

from serve.api.app import DIALECTS, routes_of
from serve.api.http.guards import Policies
from serve.api.openai.chat import ChatCompletions
from serve.api.pages import site
from serve.api.policy import ANY_KEY, INFER, PUBLIC, Policy
from serve.governance.principal import ANONYMOUS, Principal
from tests.serve.api.house import (
    CHAT,
    House,
    bearer,
    chat,
    house,
    scope_of,
)

JSON = {"content-type": "application/json"}


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
    "0.0.0.0": 200,
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


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 400),
        ("application/json; charset=utf-8", 400),
        ('APPLICATION/JSON;charset="UTF-8"', 400),
        ("application/json; charset=utf8", 400),
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


async def test_a_declared_length_is_refused_before_a_byte_is_read() -> None:
    home = house(max_body_bytes=2000)
    scope = scope_of(CHAT, headers={"content-length": "2001"})
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    await home.app(scope, receive, send)
    assert sent[0]["status"] == 413


# The policy beside each route


async def _nothing(_request: Any) -> Any: ...


def policy_of(path: str, *routes: tuple[str, str, Policy]) -> Policy:
    policies = Policies(
        [(Route(path, _nothing, methods=[method]), policy) for method, path, policy in routes]
    )
    return policies.of(scope_of(path, method="GET"))


def test_a_policy_is_that_of_the_route_that_will_answer() -> None:
    files, batch = Policy(scope="batch", max_body_bytes=7), Policy(scope="batch")
    routes = (
        ("POST", "/v1/files", files),
        ("GET", "/v1/files", INFER),
        ("GET", "/v1/files/{name}", batch),
        ("GET", "/v1/files/new", PUBLIC),
    )
    assert policy_of("/v1/files", *routes) is INFER
    assert policy_of("/v1/files/a", *routes) is batch
    assert policy_of("/v1/files/new", *routes) is batch  # the router takes the first, too
    assert policy_of("/v1/files/a\n", *routes) is batch
    for path in ("/", "", "/v1/files/a/b", "/v1/files/", "//v1/files", "/V1/FILES", "*"):
        assert policy_of(path, *routes) is ANY_KEY


def test_every_route_of_the_product_has_its_policy() -> None:
    scopes = {(spec.method, spec.path): spec.policy.scope for spec in routes_of(house().state)}
    assert scopes == {
        ("POST", "/v1/chat/completions"): "infer",
        ("POST", "/v1/completions"): "infer",
        ("GET", "/v1/models"): "infer",
        ("GET", "/v1/usage"): None,
        ("GET", "/admin/usage"): "admin",
        ("POST", "/v1/feedback"): "infer",
        ("DELETE", "/v1/feedback/{answer_id}"): "infer",
        ("GET", "/admin/feedback"): "admin",
        ("GET", "/admin/feedback/counts"): "admin",
        ("GET", "/v1/models/{model:path}"): "infer",
        ("POST", "/v1/moderations"): "infer",
        ("POST", "/tokenize"): "infer",
        ("POST", "/detokenize"): "infer",
        ("GET", "/livez"): None,
        ("GET", "/readyz"): None,
        ("GET", "/startupz"): None,
        ("GET", "/health"): None,
        ("GET", "/version"): None,
        ("GET", "/metrics"): "metrics",
        ("GET", "/openapi.json"): None,
        ("POST", "/oauth/token"): None,
        **{("GET", path): None for path in site.FILES},
    }


async def test_a_line_break_at_the_end_of_a_path_opens_nothing() -> None:
    home = house()
    home.service._authenticators = (Known(replace(ANONYMOUS, scopes=frozenset({"batch"}))),)
    async with home.client() as client:
        for method, path in (("GET", "/metrics"), ("GET", "/v1/models"), ("POST", CHAT)):
            for end in ("", "%0A"):
                response = await client.request(method, path + end, json=chat())
                assert response.status_code == 403, path + end


async def test_a_public_route_has_a_bounded_body_too() -> None:
    async with house(max_body_bytes=1024).client() as client:
        response = await client.request("GET", "/livez", content=b" " * 1025, headers=JSON)
    assert response.status_code == 413


@pytest.mark.parametrize("policy", [PUBLIC, ANY_KEY])
def test_a_dialect_without_a_scope_is_refused_when_the_server_is_built(policy: Policy) -> None:
    class Open(ChatCompletions):
        pass

    Open.policy = policy
    with pytest.raises(ValueError, match="needs a scope"):
        house(dialects=(Open(),))


class Echo(ChatCompletions):
    """Chat under another path, with a policy that nothing else has."""

    path = "/echo"
    name = "echo"
    policy = Policy(scope="admin", max_body_bytes=300)


async def test_a_routes_own_bound_replaces_the_servers() -> None:
    home = house(dialects=(*DIALECTS, Echo()))
    long = chat("x" * 400)
    async with home.client() as client:
        own = await client.post("/echo", json=long)
        others = await client.post(CHAT, json=long)
        short = await client.post("/echo", json=chat())
    assert (own.status_code, others.status_code, short.status_code) == (413, 200, 200)
    assert "at most 300" in own.json()["error"]["message"]


async def test_a_scope_is_checked_before_the_body_is_read() -> None:
    home = house(dialects=(*DIALECTS, Echo()))
    principal = replace(ANONYMOUS, scopes=frozenset({"infer"}))
    home.service._authenticators = (Known(principal),)
    async with home.client() as client:
        refused = await client.post("/echo", content=b"no JSON", headers=JSON)
        allowed = await client.post(CHAT, json=chat())
    assert (refused.status_code, allowed.status_code) == (403, 200)
    assert refused.json()["error"]["code"] == "forbidden"
    assert "scope 'admin'" in refused.json()["error"]["message"]


class Known:
    """An authenticator that knows everyone as one principal."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def authenticate(self, _credentials: object) -> Principal:
        return self._principal


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"content-type": "text/plain"}, 'content type is "text/plain", not JSON in UTF-8: send'),
        ({"content-type": "x" * 80}, f'is "{"x" * 60}", not JSON'),
        ({}, "content type is not given: send 'Content-Type: application/json'."),
        (JSON | {"content-encoding": "gzip"}, '(Content-Encoding: "gzip"): send it as it is.'),
    ],
)
async def test_a_refused_kind_of_body_is_named(headers: dict[str, str], says: str) -> None:
    async with house().client() as client:
        answer = await client.post(CHAT, content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert says in answer.json()["error"]["message"]
