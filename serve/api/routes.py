"""Routes as data: what each module under serve/api offers, with its policy beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from serve.api.policy import Policy
from serve.config import Config
from serve.governance.feedback.book import FeedbackBook
from serve.governance.identity.short_tokens import ShortTokens
from serve.governance.usage.reports import UsageReports
from serve.observe.startup import Startup
from serve.service.requests import Service

Handler = Callable[[Request], Awaitable[Response]]


class Exposition(Protocol):
    """Figures for /metrics: a body and its content type (serve.observe.metrics.Metrics)."""

    def render(self) -> tuple[bytes, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The server as its routes see it. Bootstrap makes it.

    Attributes:
        usage: reports of the ledger; None where none is kept.
        tokens: made for API keys; None where there are none.
        feedback: on the ledger's answers; None where none is kept.
    """

    config: Config
    service: Service
    startup: Startup
    metrics: Exposition | None
    usage: UsageReports | None = None
    tokens: ShortTokens | None = None
    feedback: FeedbackBook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """One route.

    Attributes:
        openapi: what it adds to /openapi.json: ``tags``, ``responses``, ``body``, the type of its
            body, and ``example``, one of them; ``parameters``, those of its query. Empty hides
            the route.
    """

    path: str
    handler: Handler
    policy: Policy
    method: str = "GET"
    openapi: Mapping[str, Any] = field(default_factory=dict)
