"""A call: one request on its way through the service, and what is known of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from serve.errors import RequestError
from serve.governance.principal import Principal
from serve.observe.record import RequestRecord
from serve.service.response_cache.use import USUAL, CacheUse


@dataclass(slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        record: what logs and metrics will be told when it is over.
        created: when it came, in Unix seconds.
        principal: who asks; None until it is known, and where nobody had to be.
        timeout_s: most seconds that its client waits for the whole answer; None is any number.
        is_retry: whether its client says that it was refused before.
        wants_queue_updates: whether it is told its place in the queue while it waits.
        answer_headers: names and values that its answer tells, whatever it is: room left in limits.
        details: counts, ids and versions for its record in the audit log; no text that somebody
            wrote. For calls that run nothing in the engine.
        cache_use: whether a kept answer will do, and its own may be kept.
    """

    record: RequestRecord
    created: int
    principal: Principal | None = None
    timeout_s: float | None = None
    is_retry: bool = False
    wants_queue_updates: bool = False
    answer_headers: dict[str, str] = field(default_factory=dict)
    details: dict[str, str | int] = field(default_factory=dict)
    cache_use: CacheUse = USUAL

    def failed(self, error: RequestError) -> None:
        """Note the error that the caller gets."""
        self.record.error_code = error.code
        self.answer_headers.update(error.headers)
