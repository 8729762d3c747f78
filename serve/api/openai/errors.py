"""OpenAI's error envelope: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import orjson

from serve.errors import RequestError


def problem(error: RequestError) -> bytes:
    """An error as JSON, for an answer's body and an event of a stream alike."""
    return orjson.dumps(
        {
            "error": {
                "message": error.message,
                "type": error.type,
                "param": error.param,
                "code": error.code,
            }
        }
    )
