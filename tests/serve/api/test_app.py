"""Default-deny: every route that is not public wants a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.routing import Mount, Route

from serve.api.app import create_protected_app, routes_of
from tests.serve.api.house import (
    House,
    house,
)

PUBLIC = {"/livez", "/readyz", "/startupz"}


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get")


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


def test_nothing_but_one_mount_stands_beside_the_probes() -> None:
    def inner(app: Any) -> Iterator[Any]:
        while app is not None:
            yield app
            app = getattr(app, "_app", None)

    router = list(inner(house().app))[-1]
    assert [type(route) for route in router.routes] == [Route, Route, Route, Mount]
    assert router.routes[-1].path == ""
    assert router.default is router.routes[-1].app
