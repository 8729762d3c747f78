"""Memory that large requests leave is given back, once for all that came meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from serve.api.http import memory
from serve.api.http.memory import LARGE_BYTES, GiveMemoryBack, trim
from tests.serve.api.house import Caller, chat, house, scope_of, until


class Planted(Exception):
    pass


async def nothing(scope: Scope, _receive: Receive, _send: Send) -> None:
    if scope["path"] == "/broken":
        raise Planted


async def num_times(monkeypatch: pytest.MonkeyPatch, *headers: dict[str, str]) -> int:
    """Count how often memory is given back after requests with these headers."""
    monkeypatch.setattr(memory, "DELAY_S", 0.0)
    times: list[int] = []
    app = GiveMemoryBack(nothing, give_back=lambda: times.append(1))
    for given in headers:
        await app(scope_of("/x", headers=given), None, None)  # type: ignore[arg-type]
    await asyncio.get_running_loop().run_in_executor(None, int)
    for _ in range(5):
        await asyncio.sleep(0.001)
    return len(times)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 0),
        ({"content-length": str(LARGE_BYTES - 1)}, 0),
        ({"content-length": str(LARGE_BYTES)}, 1),
        ({"content-length": "1048576"}, 1),
        ({"content-length": "9" * 40}, 0),
        ({"content-length": "x"}, 0),
        ({"content-length": "\u00b2"}, 0),
        ({"transfer-encoding": "chunked"}, 1),
    ],
)
async def test_a_large_body_has_it_given_back(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], expected: int
) -> None:
    assert await num_times(monkeypatch, headers) == expected


async def test_many_have_it_given_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await num_times(monkeypatch, *[{"content-length": "1000000"}] * 20) == 1


async def test_a_request_that_fails_does_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "DELAY_S", 0.0)
    times: list[int] = []
    app = GiveMemoryBack(nothing, give_back=lambda: times.append(1))
    with pytest.raises(Planted):
        await app(scope_of("/broken", headers={"content-length": "1000000"}), None, None)  # type: ignore[arg-type]
    await until(lambda: bool(times))


async def test_the_server_does_so() -> None:
    home = house()
    layers = []
    app = home.app
    while app is not None:
        layers.append(type(app))
        app = getattr(app, "_app", None)
    assert GiveMemoryBack in layers
    caller = Caller(home.app, "/v1/chat/completions", chat(max_tokens=1))
    await caller.call()
    assert caller.messages[0]["status"] == 200


def test_free_pages_can_be_given_back_at_any_time() -> None:
    trim()
    trim()
