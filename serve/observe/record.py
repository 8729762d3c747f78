"""The one record of a finished HTTP request, from which log lines and metrics are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serve.timeline import Timeline

PROBES = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
"""Routes that machines ask every few seconds, and that refuse while the model loads."""


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One HTTP request. Holds no text of prompt or completion, ever.

    Attributes:
        route: the matched route's template (``/v1/models/{model}``), or ``unmatched``.
        status: of the response's start; 499 when the client left before there was one.
        error_code: OpenAI error code of a refusal, or of an error in mid-stream.
        is_disconnected: the client left before the response was complete.
    """

    request_id: str
    method: str
    route: str = "unmatched"
    status: int = 0
    timeline: Timeline
    key_id: str | None = None
    model: str | None = None
    is_stream: bool = False
    error_code: str | None = None
    is_disconnected: bool = False


class RequestListener(Protocol):
    """Told of every finished HTTP request, once."""

    def request_finished(self, record: RequestRecord) -> None: ...
