"""A call's error is its record's code, and its headers are the answer's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from serve.errors import Unavailable
from serve.service.call import Call
from serve.service.response_cache.use import USUAL


def test_an_error_is_noted_beside_what_the_answer_tells_anyhow():
    record: Any = SimpleNamespace(error_code=None)
    call = Call(record=record, created=0, answer_headers={"x-ratelimit-limit": "1"})
    error = Unavailable("full")
    error.headers = {"x-queue-position": "3"}
    call.failed(error)
    assert record.error_code == error.code
    assert call.answer_headers == {"x-ratelimit-limit": "1", "x-queue-position": "3"}


def test_calls_share_no_headers():
    one, other = (Call(record=SimpleNamespace(), created=0) for _ in range(2))  # type: ignore[arg-type]
    one.answer_headers["a"] = "b"
    assert other.answer_headers == {}
    assert (one.cache_use, one.timeout_s, one.principal) == (USUAL, None, None)
