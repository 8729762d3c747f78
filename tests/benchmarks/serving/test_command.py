"""The serving command: its levels, targets, and refusals."""

from __future__ import annotations

import io
import json
import urllib.request
from argparse import Namespace

import pytest

from benchmarks.serving import command
from benchmarks.serving.client import Endpoint
from benchmarks.serving.command import levels_of, targets_of
from benchmarks.serving.datasets import Shape
from benchmarks.trace import Trace
from tests.benchmarks.traces import trace


def test_targets_are_milliseconds() -> None:
    assert targets_of(["ttft=500", "tpot=50"]).ttft_s == 0.5
    assert not targets_of([])


def test_levels_have_enough_requests() -> None:
    options = {"requests": None, "timeout": 9.0, "dataset": "synthetic", "pattern": "poisson"}
    rates = levels_of(Namespace(rate=[0.5, 20.0], concurrency=None, **options))
    assert [level.count for level in rates] == [8, 160]
    closed = levels_of(Namespace(rate=None, concurrency=None, **options))
    assert [level.count for level in closed] == [8, 64, 256]


@pytest.mark.parametrize("word", ["speed=3", "ttft", "ttft=fast", "tpot=0", "e2e=-5"])
def test_a_target_that_is_none_is_named(word: str) -> None:
    with pytest.raises(ValueError, match=f"--slo {word}: ttft=MS, tpot=MS and e2e=MS are known"):
        targets_of(["ttft=1", word])


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"rate": [1.0, 0.0]}, "--rate has 0; a rate must be above 0"),
        ({"concurrency": [8, 0]}, "--concurrency has 0; at least 1"),
    ],
)
def test_a_load_of_nothing_is_refused(facts: dict, message: str) -> None:
    options = {"requests": None, "timeout": 9.0, "dataset": "synthetic", "pattern": "poisson"}
    with pytest.raises(ValueError, match=message):
        levels_of(Namespace(**({"rate": None, "concurrency": None} | options | facts)))


def test_a_replay_is_one_level_of_all_that_was_recorded() -> None:
    options = Namespace(requests=None, timeout=9.0, dataset="replay", rate=[4.0], concurrency=None)
    (level,) = levels_of(options)
    assert (level.label, level.timeout_s) == ("replay", 9.0)
    assert level.count >= 10_000


def answers(monkeypatch, reply: object) -> list[urllib.request.Request]:
    asked = []

    def opened(request, timeout):
        asked.append(request)
        if isinstance(reply, Exception):
            raise reply
        return io.BytesIO(json.dumps(reply).encode())

    monkeypatch.setattr(command.direct, "open", opened)
    return asked


def test_the_first_listed_model_is_asked_for_with_the_key(monkeypatch) -> None:
    asked = answers(monkeypatch, {"data": [{"id": "m"}, {"id": "n"}]})
    assert command.first_model(Endpoint.parse("http://host:1", "secret")) == "m"
    assert asked[0].full_url == "http://host:1/v1/models"
    assert asked[0].get_header("Authorization") == "Bearer secret"


@pytest.mark.parametrize("reply", [OSError("refused"), {"data": []}, {"error": 1}, []])
def test_a_server_that_lists_no_model_is_refused_with_what_to_do(monkeypatch, reply) -> None:
    answers(monkeypatch, reply)
    with pytest.raises(ValueError, match=r"/models: .*name the model with --model"):
        command.first_model(Endpoint.parse("http://host:1"))


async def test_words_per_token_follow_from_the_servers_own_count(monkeypatch) -> None:
    bodies: list[dict] = []

    async def stream(_, request: bytes, *, timeout_s: float):
        bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        return trace(0.0, 1.0, prompt_tokens=100)

    monkeypatch.setattr(command, "stream", stream)
    shape = Shape(model="m", input_tokens=999, output_tokens=9, spread=0.5)
    found = await command.words_per_token(Endpoint.parse("http://host:1"), shape)
    (body,) = bodies
    assert found == len(body["messages"][0]["content"].split()) / 100
    assert body["max_tokens"] == 1


async def test_a_first_request_that_fails_is_no_measurement(monkeypatch) -> None:
    async def stream(*_, **__):
        return Trace(error="status 401")

    monkeypatch.setattr(command, "stream", stream)
    shape = Shape(model="m", input_tokens=9, output_tokens=9)
    with pytest.raises(ValueError, match="first request was not answered: status 401"):
        await command.words_per_token(Endpoint.parse("http://host:1"), shape)
