"""Default-deny: every route that is not public wants a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.routing import Mount, Route

from serve.api.app import create_protected_app, routes_of
from serve.api.pages import site
from serve.api.routes import RouteSpec
from tests.serve.api.house import MODEL, House, bearer, house

PROBES = {"/livez", "/readyz", "/startupz", "/health"}
PUBLIC = {path: {"GET", "HEAD"} for path in (*PROBES, *site.FILES)} | {"/oauth/token": {"POST"}}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get")


async def test_every_route_and_method_wants_the_key(locked: tuple[House, str]) -> None:
    home, _ = locked
    routes = [r for r in create_protected_app(routes_of(home.state)).routes if isinstance(r, Route)]
    paths = {route.path_format.replace("{model}", "demo") for route in routes}
    assert len(paths) >= 9
    async with home.client() as client:
        odd = {
            "/nope",
            "/docs/",
            "/pages",
            "/pages/",
            "/pages/page.html",
            "/redoc",
            "/v1",
            "/%2Flivez",
            "/livez/",
        }
        for path in sorted(paths | odd | {"/health/", "/healthz", "/v1/health"}):
            for method in METHODS:
                response = await client.request(method, path)
                assert response.status_code == 401, (method, path)
                assert response.headers["www-authenticate"] == "Bearer"


async def test_only_their_own_methods_are_public(locked: tuple[House, str]) -> None:
    home, _ = locked
    async with home.client() as client:
        for path in PUBLIC:
            for method in METHODS:
                response = await client.request(method, path)
                wanted = 401
                if method.upper() in PUBLIC[path]:
                    wanted = 400 if path == "/oauth/token" else 200  # it was sent no form
                assert response.status_code == wanted, (method, path)


def test_nothing_but_one_mount_stands_beside_the_public_routes() -> None:
    def inner(app: Any) -> Iterator[Any]:
        while app is not None:
            yield app
            app = getattr(app, "_app", None)

    router = list(inner(house().app))[-1]
    assert [type(route) for route in router.routes] == [Route] * len(PUBLIC) + [Mount]
    assert router.routes[-1].path == ""
    assert router.default is router.routes[-1].app


async def test_head_is_get_without_a_body_on_every_route() -> None:
    home = house()
    paths = [r.path.replace("{model:path}", MODEL) for r in routes_of(home.state) if is_read(r)]
    assert len(paths) >= 9
    async with home.client() as client:
        for path in paths:
            got, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers["content-type"] == got.headers["content-type"]
            if path != "/metrics":  # which counts the first request in the second
                assert head.headers["content-length"] == str(len(got.content))
            assert (home.records.last.method, home.records.last.route) == (
                "HEAD",
                home.records.all[-2].route,
            )


async def test_head_of_a_refusal_has_its_status_and_no_body(locked: tuple[House, str]) -> None:
    home, key = locked
    async with home.client() as client:
        unknown = await client.head("/v1/models")
        absent = await client.head("/v1/models/absent", headers=bearer(key))
        posted = await client.head("/v1/chat/completions", headers=bearer(key))
    assert [r.status_code for r in (unknown, absent, posted)] == [401, 404, 405]
    assert posted.headers["allow"] == "POST"
    for response in (unknown, absent, posted):
        assert response.content == b""
        assert int(response.headers["content-length"]) > 0


async def test_a_method_that_a_route_does_not_take_is_405_with_those_that_it_takes() -> None:
    home = house()
    async with home.client() as client:
        for route in routes_of(home.state):
            for method in set(METHODS) - {"get", "HEAD", "GET", route.method}:
                path = route.path.replace("{model:path}", MODEL)
                response = await client.request(method, path)
                assert response.status_code == 405, (method, path)
                allowed = "GET, HEAD" if is_read(route) else route.method
                assert response.headers["allow"] == allowed, (method, path)
                if route.path != "/oauth/token":  # whose errors have another shape
                    assert allowed in response.json()["error"]["message"]


def is_read(route: RouteSpec) -> bool:
    return route.method == "GET"
