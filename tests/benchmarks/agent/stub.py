"""A server in this process that streams answers as OpenAI-compatible ones do.

Mocks the servers that the command starts; tests/real plays on a real one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from benchmarks.agent import playing

Deltas = list[dict[str, Any]]
OK = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}


def sse(*events: Mapping[str, Any]) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)


def call(name: str, arguments: str, number: int = 0) -> Deltas:
    """A tool call in two parts, as servers send it."""
    head = {"index": number, "id": f"call_{name}", "type": "function"}
    return [
        {"tool_calls": [{**head, "function": {"name": name, "arguments": arguments[:5]}}]},
        {"tool_calls": [{"index": number, "function": {"arguments": arguments[5:]}}]},
    ]


class Stub:
    """Answers each chat request with the deltas that ``answer`` gives for its body.

    Attributes:
        asked: bodies of the requests, in their order.
        usage: told at the end; None tells none.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Deltas]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.usage: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m"}]})
        if request.url.path == "/metrics":
            return httpx.Response(404)
        body = json.loads(request.content)
        self.asked.append(body)
        events: list[dict[str, Any]] = [OK]
        events += [{"choices": [{"index": 0, "delta": one}]} for one in self._answer(body)]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if self.usage is not None:
            events.append({"choices": [], "usage": self.usage(body)})
        return httpx.Response(200, content=sse(*events) + b"data: [DONE]\n\n")

    def take_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be asked in place of every server."""
        client = httpx.Client

        def made(*, base_url: str, **_: object) -> httpx.Client:
            return client(base_url=base_url, transport=httpx.MockTransport(self))

        monkeypatch.setattr(playing.httpx, "Client", made)
