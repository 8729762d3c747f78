"""The model and the tokenizer of a server, by its first answers."""

from __future__ import annotations

import io
import json
import urllib.request

import pytest

from benchmarks.serving import first_requests
from benchmarks.serving.client import Endpoint
from benchmarks.serving.datasets import Shape
from benchmarks.trace import Trace
from tests.benchmarks.traces import trace


def answers(monkeypatch, reply: object) -> list[urllib.request.Request]:
    asked = []

    def opened(request, timeout):
        asked.append(request)
        if isinstance(reply, Exception):
            raise reply
        return io.BytesIO(json.dumps(reply).encode())

    monkeypatch.setattr(first_requests.direct, "open", opened)
    return asked


def test_the_first_listed_model_is_asked_for_with_the_key(monkeypatch) -> None:
    asked = answers(monkeypatch, {"data": [{"id": "m"}, {"id": "n"}]})
    assert first_requests.first_model(Endpoint.parse("http://host:1", "secret")) == "m"
    assert asked[0].full_url == "http://host:1/v1/models"
    assert asked[0].get_header("Authorization") == "Bearer secret"


@pytest.mark.parametrize("reply", [OSError("refused"), {"data": []}, {"error": 1}, []])
def test_a_server_that_lists_no_model_is_refused_with_what_to_do(monkeypatch, reply) -> None:
    answers(monkeypatch, reply)
    with pytest.raises(ValueError, match=r"/models: .*name the model with --model"):
        first_requests.first_model(Endpoint.parse("http://host:1"))


async def test_words_per_token_follow_from_the_servers_own_count(monkeypatch) -> None:
    bodies: list[dict] = []

    async def stream(_, request: bytes, *, timeout_s: float):
        bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        return trace(0.0, 1.0, prompt_tokens=100)

    monkeypatch.setattr(first_requests, "stream", stream)
    shape = Shape(model="m", input_tokens=999, output_tokens=9, spread=0.5)
    found = await first_requests.words_per_token(Endpoint.parse("http://host:1"), shape)
    (body,) = bodies
    assert found == len(body["messages"][0]["content"].split()) / 100
    assert body["max_tokens"] == 1


async def test_a_first_request_that_fails_is_no_measurement(monkeypatch) -> None:
    async def stream(*_, **__):
        return Trace(error="status 401")

    monkeypatch.setattr(first_requests, "stream", stream)
    shape = Shape(model="m", input_tokens=9, output_tokens=9)
    with pytest.raises(ValueError, match="first request was not answered: status 401"):
        await first_requests.words_per_token(Endpoint.parse("http://host:1"), shape)


async def test_without_usage_in_streams_an_answer_in_one_piece_has_it(monkeypatch) -> None:
    asked = answers(monkeypatch, {"usage": {"prompt_tokens": 120}})

    async def untold(*_: object, **__: object) -> Trace:
        return trace(0.0, 1.0, prompt_tokens=0)

    monkeypatch.setattr(first_requests, "stream", untold)
    shape = Shape(model="m", input_tokens=100, output_tokens=5)
    found = await first_requests.words_per_token(Endpoint.parse("http://host:1", "key"), shape)
    assert found == pytest.approx((60 - 8) / 120, rel=0.05)
    body = json.loads(asked[0].data)
    assert not [name for name in body if name.startswith("stream")]
    assert asked[0].get_header("Authorization") == "Bearer key"


async def test_without_any_usage_a_word_is_a_token(monkeypatch) -> None:
    answers(monkeypatch, {"usage": None})

    async def untold(*_: object, **__: object) -> Trace:
        return trace(0.0, 1.0, prompt_tokens=0)

    monkeypatch.setattr(first_requests, "stream", untold)
    shape = Shape(model="m", input_tokens=100, output_tokens=5)
    assert await first_requests.words_per_token(Endpoint.parse("http://host:1"), shape) == 1.0
