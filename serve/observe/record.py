"""The one record of a finished request, from which log lines and metrics are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from serve.timeline import RequestClass, Timeline

PROBES = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
"""Routes that machines ask every few seconds, and that refuse while the model loads."""
PARTS = "/pages/"
"""What the routes of the page's scripts and styles begin with: the page's own line says enough."""

CACHE_HIT: Final = "cache:hit"
"""The verdict that a request was answered from the response cache."""


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request, whatever brought it. Holds no text of prompt or completion, ever.

    Attributes:
        method: HTTP's, or the one that says the same of another transport.
        route: the matched route's template (``/v1/models/{model}``), or ``unmatched``.
        status: of the response's start; 499 when the caller left before there was one. Without HTTP
            it is the one that HTTP would have.
        error_code: of a refusal, or of an error in mid-stream (docs/errors.md).
        request_class: of its turn in the fair queue.
        is_disconnected: the caller left before the answer was complete.
        tenant: of the caller; None until it is known, and where nobody had to be.
        owner: of the caller, where one is named.
        client: address that the connection came from, where there is one.
        verdicts: what masking, filters and presets found or did: names of rules with their
            versions, and no text. Whoever screens the call adds to it.
        audit_index: of its ``begin`` in the audit log; None where that has none.
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
    request_class: RequestClass = "interactive"
    is_disconnected: bool = False
    tenant: str | None = None
    owner: str = ""
    client: str | None = None
    verdicts: list[str] = field(default_factory=list)
    audit_index: int | None = None

    @property
    def is_cached(self) -> bool:
        """Whether the response cache answered it, and so nothing was computed."""
        return CACHE_HIT in self.verdicts


class RequestListener(Protocol):
    """A listener that is told of every finished request, once."""

    def request_finished(self, record: RequestRecord) -> None: ...
