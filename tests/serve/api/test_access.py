"""Who may what, over the whole table of routes: no key, every scope, and odd ways to ask."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from serve.api.app import routes_of
from serve.api.operations import oauth
from serve.api.pages import site
from serve.api.routes import RouteSpec
from serve.governance.identity import keys
from serve.governance.identity.credentials import Credentials
from serve.governance.identity.jwks import PublicKey, public_keys
from serve.governance.identity.jwt_settings import JwtSettings
from serve.governance.identity.jwt_tokens import JwtTokens
from serve.governance.principal import ALL_SCOPES, ANONYMOUS, Principal, Scope
from tests.serve.api.house import CHAT, MODEL, House, bearer, house, running
from tests.serve.governance.token_makers import AUDIENCE, ISSUER, NOW, jwks, token

PROBES = ("/livez", "/readyz", "/startupz", "/health")
PUBLIC = {
    *(("GET", path) for path in (*PROBES, *site.FILES)),
    ("POST", "/oauth/token"),
}
"""All that answers without a key; beside it, preflights of --allowed-origins. Add with care."""


def path_of(route: RouteSpec) -> str:
    return route.path.replace("{model:path}", MODEL)


def test_the_public_list_is_a_snapshot() -> None:
    public = {(r.method, r.path) for r in routes_of(house().state) if r.policy.is_public}
    assert public == PUBLIC
    assert oauth.PATH == "/oauth/token"


class AsScopes:
    """An authenticator that knows everyone, with these scopes."""

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = frozenset(scopes)

    def authenticate(self, _credentials: Credentials) -> Principal:
        return replace(ANONYMOUS, scopes=self._scopes)


SETS = [(), *((scope,) for scope in sorted(ALL_SCOPES)), tuple(sorted(ALL_SCOPES))]


@pytest.mark.parametrize("scopes", SETS, ids=lambda scopes: "+".join(scopes) or "none")
async def test_every_route_lets_in_its_scope_and_no_other(scopes: tuple[Scope, ...]) -> None:
    home = house()
    home.service._authenticators = (AsScopes(*scopes),)
    async with home.client() as client:
        for route in routes_of(home.state):
            answer = await client.request(route.method, path_of(route))
            needed = route.policy.scope
            is_let_in = needed is None or needed in scopes
            # An empty body is refused by its reader, so by status 400 or 415: whoever gets there
            # was let in.
            assert (answer.status_code == 403) is not is_let_in, (route.method, route.path)
            assert answer.status_code in {200, 400, 403, 404, 415}, (route.method, route.path)


async def test_a_key_of_one_scope_does_what_it_allows(tmp_path) -> None:
    path = tmp_path / "keys.json"
    made = {scope: keys.create(path, scopes=(scope,)) for scope in sorted(ALL_SCOPES)}
    home = house(keys=path)
    async with home.client() as client:
        for route, (scope, key) in itertools.product(routes_of(home.state), made.items()):
            answer = await client.request(route.method, path_of(route), headers=bearer(key))
            needed = route.policy.scope
            assert (answer.status_code == 403) is (needed not in {None, scope}), (route, scope)


BASES = ("/v1/models", "/metrics", CHAT, "/version", "/openapi.json")
SPELLINGS = (
    "{0}/", "/{0}", "//{0}", "/.{0}", "/..{0}", "/livez/..{0}", "/livez{0}", "/livez;{0}", "{0}?",
    "{0}?key=1", "{0}#", "{0}%20", "{0}%00", "{0}%0a", "{0}%0d%0aX:1", "{0}..;/", "{0};a=b",
    "{0}.json", "/%2e%2e{0}", "/livez/%2e%2e{0}", "/livez%2f..{0}", "/health?next={0}",
    "{0}?/livez", "{0}/../livez", "{0}/livez", "{0}%2flivez", "/V1{0}", "{0}\\", "/\\{0}",
    "http://localhost{0}", "http://elsewhere.example{0}", "https://a:b@localhost{0}",
    "localhost{0}", "*{0}", "/oauth/token{0}", "/oauth/token/..{0}", "{0}%C0%AE", "/{0}/%2e",
)  # fmt: skip
HOSTS = (
    "localhost", "localhost:8000", "evil.example", "evil.example/livez", "a?b", "a#b",
    "localhost@evil.example", "127.0.0.1:8000/livez", "[::1]", "[::1", "[v1.a]", "%6cocalhost",
    "localhost:0", "localhost:99999", "localhost:x", "..", "a..b", "xn--a", "LOCALHOST", "0",
    "127.1", "localhost, evil.example", "/livez", "livez", "..%2flivez", "a:b@c", "é", "-", "",
)  # fmt: skip


def odd_requests() -> list[bytes]:
    targets = {spelling.format(base) for base in BASES for spelling in SPELLINGS}
    # A query and a fragment change no path: these ask the public probe itself.
    targets -= {spelled for spelled in targets if spelled.startswith("/health?")}
    found = [f"GET {target} HTTP/1.1\r\nHost: localhost" for target in sorted(targets)]
    found += [f"GET {base} HTTP/1.1\r\nHost: {host}" for base in BASES for host in HOSTS]
    found += [
        f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{header}"
        for header in (
            "Host: livez",
            "X-Original-URL: /livez",
            "X-Rewrite-URL: /livez",
            "X-Forwarded-Prefix: /livez",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-User: admin",
            "X-HTTP-Method-Override: OPTIONS",
            "Forwarded: for=127.0.0.1;host=livez",
            "Cookie: token=sk-a.b",
            "Origin: https://chat.example.org\r\nAccess-Control-Request-Method: POST",
            "Authorization: Basic YTpi",
            "Authorization: Bearer",
            "x-api-key: x",
            "api-key: x",
        )
    ]
    methods = ("OPTIONS", "HEAD", "POST", "CONNECT", "TRACE", "get", "GETS", "G\tET", "")
    found += [f"{method} /v1/models HTTP/1.1\r\nHost: localhost" for method in methods]
    return [f"{request}\r\nConnection: close\r\n\r\n".encode() for request in found]


async def status_of(port: int, raw: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_no_odd_request_gets_in_without_a_key(locked: tuple[House, str]) -> None:
    home, _ = locked
    raw = odd_requests()
    assert len(raw) > 300
    async with running(home) as (server, _):
        statuses = [await status_of(server.port, request) for request in raw]
        assert await status_of(server.port, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n") == 200
    # What is not HTTP is refused by the reader of heads: 400, or 405 and 501 for its method.
    let_in = {raw[i]: s for i, s in enumerate(statuses) if s not in {400, 401}}
    assert let_in == {}
    assert statuses.count(401) > 200


async def test_a_preflight_without_an_allowed_origin_wants_a_key(key_file) -> None:
    keys.create(key_file)
    home = house(keys=key_file, allowed_origins=("https://chat.example.org",))
    asked = {"access-control-request-method": "POST"}
    async with home.client() as client:
        for origin, status in (
            ("https://chat.example.org", 204),
            ("https://evil.example", 401),
            ("null", 401),
        ):
            answer = await client.options(CHAT, headers={"origin": origin, **asked})
            assert answer.status_code == status
        assert (await client.options(CHAT, headers=asked)).status_code == 401


async def test_every_way_to_show_a_key(locked: tuple[House, str]) -> None:
    home, key = locked
    other = "sk-" + "a" * 12 + "." + "b" * 43
    ways = [
        ([("authorization", f"Bearer {key}")], 200),
        ([("x-api-key", key)], 200),
        ([("X-Api-Key", key), ("authorization", f"Bearer {key}")], 200),
        ([("x-api-key", key), ("authorization", f"Bearer {other}")], 401),
        ([("x-api-key", other), ("authorization", f"Bearer {key}")], 401),
        ([("x-api-key", key), ("x-api-key", key)], 401),
        ([("x-api-key", f"Bearer {key}")], 401),
        ([("x-api-key", "")], 401),
        ([("authorization", ""), ("x-api-key", key)], 401),
        ([("authorization", key)], 401),
        ([("api-key", key)], 401),
        ([("cookie", f"key={key}")], 401),
    ]
    async with home.client() as client:
        for headers, status in ways:
            answer = await client.get("/v1/models", headers=headers)
            assert answer.status_code == status, headers
        assert (await client.get(f"/v1/models?key={key}")).status_code == 401


async def test_a_providers_token_is_let_in_with_its_scopes(locked: tuple[House, str]) -> None:
    home, key = locked
    settings = JwtSettings(
        issuer=ISSUER,
        audiences=frozenset({AUDIENCE}),
        algorithms=frozenset({"EdDSA"}),
        tenants=frozenset({"ward-3"}),
    )
    by = JwtTokens(
        settings, Given(public_keys(jwks(), settings.algorithms)), wall_clock=lambda: NOW
    )
    home.service._authenticators = (*home.service._authenticators, by)
    good, other = token(algorithm="EdDSA"), token(algorithm="EdDSA", tenant="ward-9")
    async with home.client() as client:
        for headers, path, status in (
            (bearer(good), "/v1/models", 200),
            ({"x-api-key": good}, "/v1/models", 200),
            (bearer(good), "/metrics", 403),
            (bearer(other), "/v1/models", 401),
            (bearer(token(algorithm="EdDSA", of="evil")), "/v1/models", 401),
            (bearer(key), "/v1/models", 200),
        ):
            assert (await client.get(path, headers=headers)).status_code == status, path


class Given:
    """A source of keys that are given."""

    version = 0

    def __init__(self, found: dict[str, PublicKey]) -> None:
        self._found = found

    def key(self, kid: str) -> PublicKey | None:
        return self._found.get(kid)

    async def run(self) -> None: ...
