"""OpenAI's envelope holds exactly its four fields."""

from __future__ import annotations

import orjson

from serve.api.openai.errors import problem
from serve.errors import InvalidRequest, QueueFull


def test_the_envelope_of_a_refusal() -> None:
    raw = problem(InvalidRequest('Say "你好".', param="messages.0.content"))
    assert orjson.loads(raw) == {
        "error": {
            "message": 'Say "你好".',
            "type": "invalid_request_error",
            "param": "messages.0.content",
            "code": "invalid_value",
        }
    }


def test_a_field_that_is_not_at_fault_is_null() -> None:
    error = orjson.loads(problem(QueueFull("Full.")))["error"]
    assert (error["param"], error["type"], error["code"]) == (None, "server_error", "queue_full")
