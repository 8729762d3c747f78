"""A call: one request on its way through the service, and what is known of it so far."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from serve.errors import InternalError, RequestError
from serve.governance.principal import Principal
from serve.observe.record import RequestRecord


@dataclass(slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        created: when it came, in Unix seconds.
        record: what logs and metrics will be told when it is over.
        principal: who asks; None until it is known, and where nobody had to be.
    """

    record: RequestRecord
    principal: Principal | None = None
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def caller(self) -> Principal:
        """The principal. Raises InternalError where the call was never authenticated."""
        if self.principal is None:
            raise InternalError("The request has no principal.")
        return self.principal

    def failed(self, error: RequestError) -> None:
        """Note the error that the caller gets."""
        self.record.error_code = error.code


def new_request_id() -> str:
    """``req-`` and 128 random bits: ids are ours, so nobody can forge an entry of the log."""
    return "req-" + secrets.token_hex(16)
