"""Finished requests for tests."""

from __future__ import annotations

from array import array
from typing import Any

from serve.observe.record import RequestRecord
from serve.timeline import Timeline, Usage


def finished(**changes: Any) -> RequestRecord:
    """A streamed chat request that went well; ``changes`` are fields of the record."""
    timeline = Timeline(
        arrived_at=100.0,
        admitted_at=100.001,
        queued_at=100.001,
        submitted_at=100.002,
        first_token_at=100.05,
        last_token_at=100.09,
        finished_at=100.1,
        usage=Usage(prompt_tokens=12, completion_tokens=5, cached_tokens=4),
        finish_reason="stop",
        itl_s=array("d", [0.01, 0.01, 0.0125, 3.0]),
    )
    fields: dict[str, Any] = {
        "request_id": "req-1",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "timeline": timeline,
        "key_id": "key-1",
        "model": "demo",
        "is_stream": True,
    }
    return RequestRecord(**fields | changes)


def refused(**changes: Any) -> RequestRecord:
    """A request that never reached the engine."""
    timeline = Timeline(arrived_at=100.0, finished_at=100.001)
    return finished(timeline=timeline, status=401, error_code="invalid_api_key", **changes)
