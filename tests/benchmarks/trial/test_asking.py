"""Streams that came whole, and those that did not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from benchmarks.trial.asking import Asker, AskError

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
TEXT: list[dict[str, Any]] = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"content": "Par"}}]},
    {"choices": [{"delta": {"content": "is"}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
]


def asker(monkeypatch, events: Sequence[dict[str, Any] | str], status: int = 200) -> Asker:
    """Whose server streams these events, whatever it is asked."""
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    body = "".join(f"data: {line}\n\n" for line in lines)
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=body))
    client = httpx.Client(base_url="http://stub", transport=transport)
    monkeypatch.setattr(httpx, "Client", lambda **_: client)
    return Asker("http://stub", "m")


def test_a_whole_answer(monkeypatch):
    events = [*TEXT, {"choices": [], "usage": USAGE}, "[DONE]"]
    with asker(monkeypatch, events) as client:
        answer = client.chat("What is the capital of France?")
    assert (answer.text, answer.finish_reason) == ("Paris", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (3, 2)
    assert answer.first_s is not None
    assert answer.last_s is not None
    assert answer.last_s >= answer.first_s


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (TEXT, "without [DONE] and usage"),
        ([*TEXT[:3], {"choices": [], "usage": USAGE}, "[DONE]"], "without a finish reason"),
        ([TEXT[0], {"error": {"message": "lost"}}], "error in the stream"),
    ],
)
def test_an_answer_that_is_not_whole(monkeypatch, events, message):
    with asker(monkeypatch, events) as client, pytest.raises(AskError) as error:
        client.complete("The capital")
    assert message in str(error.value)


def test_a_refusal_is_told_from_a_failure(monkeypatch):
    with asker(monkeypatch, [], status=500) as client:
        for ask in (
            lambda: client.chat("x"),
            lambda: client.count(prompt="x"),
            lambda: client.next_tokens([[1]]),
            lambda: client.refusal("/v1/chat/completions", {}),
            client.card,
        ):
            with pytest.raises(AskError, match="status 500"):
                ask()
