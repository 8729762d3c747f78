"""The body of a request, read and parsed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from serve.api.http.strict_json import parse_object


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object that the request carries. The door has bounded its size and time.

    Raises:
        InvalidJson: it is not a strict JSON object.
        BodyTooLarge, RequestTimeout: the bounds.
        ClientDisconnect: the client left before it was complete.
    """
    return parse_object(await request.body())
