"""What a client writes, wherever it writes it, is in no log line and in no metric."""

from __future__ import annotations

import io
import logging

import httpx
import pytest

from serve.api.app import create_app
from serve.api.routes import ServerState
from serve.config import Config
from serve.governance.identity.authenticators import Loopback
from serve.observe import logs
from serve.observe.metrics import Metrics
from serve.observe.startup import Startup
from serve.service.directory import Directory, Weights
from serve.service.engine_queue import EngineQueue
from serve.service.requests import Service

CANARY = "canary7f31e0"
CHAT = "/v1/chat/completions"
HIDING_PLACES = {
    "path": ("GET", f"/{CANARY}", {}),
    "query": ("GET", f"/livez?x={CANARY}", {}),
    "path parameter": ("GET", f"/v1/models/{CANARY}", {}),
    "method": (CANARY.upper(), "/v1/models", {}),
    "header": ("GET", "/v1/models", {"headers": {CANARY: CANARY, "user-agent": CANARY}}),
    "request id": ("GET", "/livez", {"headers": {"x-request-id": CANARY}}),
    "authorization": ("GET", "/v1/models", {"headers": {"authorization": f"Bearer {CANARY}"}}),
    "host": ("GET", "/v1/models", {"headers": {"host": f"{CANARY}.example"}}),
    "content type": ("POST", CHAT, {"headers": {"content-type": CANARY}, "content": "{}"}),
    "broken body": ("POST", CHAT, {"content": f"{{{CANARY}"}),
    "field name": ("POST", CHAT, {"json": {CANARY: 1}}),
    "model": ("POST", CHAT, {"json": {"model": CANARY, "messages": []}}),
    "message": (
        "POST",
        CHAT,
        {"json": {"messages": [{"role": "user", "content": CANARY}], "user": CANARY}},
    ),
    "tokenize": ("POST", "/tokenize", {"json": {"prompt": CANARY}}),
}


class _Failing:
    """A pipeline whose every use is a defect with the client's text in its message."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(f"{name} of {CANARY}")


@pytest.mark.parametrize("place", HIDING_PLACES)
@pytest.mark.parametrize("pipeline", [None, _Failing()], ids=["loading", "failing"])
async def test_what_a_client_writes_is_not_kept(place, pipeline):
    method, path, options = HIDING_PLACES[place]
    stream, people = io.StringIO(), io.StringIO()
    handler, for_people = logging.StreamHandler(stream), logging.StreamHandler(people)
    handler.setFormatter(logs.JsonFormatter())
    for_people.setFormatter(logs.formatter("text", is_terminal=True))
    metrics = Metrics()
    directory = Directory(
        ("demo",), created=0, queue_for=lambda _pipeline: EngineQueue(max_running=1)
    )
    if pipeline is not None:
        directory.publish(pipeline, Weights())
    service = Service(directory, (Loopback(),), listeners=(logs.AccessLog(), metrics))
    state = ServerState(config=Config(), service=service, startup=Startup(), metrics=metrics)
    if "content" in options:
        options = {"headers": {"content-type": "application/json"}} | options
    root = logging.getLogger()
    root.addHandler(handler)
    root.addHandler(for_people)
    before = root.level
    root.setLevel(logging.DEBUG)
    try:
        transport = httpx.ASGITransport(create_app(state))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            logging.getLogger("httpx").disabled = True  # the client's own, not the server's
            await client.request(method, path, **options)
    finally:
        logging.getLogger("httpx").disabled = False
        root.removeHandler(handler)
        root.removeHandler(for_people)
        root.setLevel(before)
    assert "intramural.access" in stream.getvalue()
    if place == "tokenize" and pipeline is not None:  # the defect is logged, without its message
        assert "RuntimeError" in stream.getvalue()
    assert CANARY not in stream.getvalue().lower()
    assert len(people.getvalue().splitlines()) >= len(stream.getvalue().splitlines()) > 0
    assert CANARY not in people.getvalue().lower()
    assert CANARY not in metrics.render()[0].decode().lower()
