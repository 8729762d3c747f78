"""The audit trail's place in a request's life: an entry before it runs, and one at its end.

``begin`` may refuse: where nothing can be written, nothing runs. ``pass_through.NoAudit``
writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from serve.governance.principal import Principal
from serve.observe.record import RequestRecord
from serve.pipeline.events import Event, Generation


class Trail(Protocol):
    """The trail of one request that has begun.

    Attributes:
        wants_events: whether ``tell`` is to be called; else nobody waits for it.
        waits: whether telling takes until something is written, so that several are told at once.
    """

    wants_events: bool
    waits: bool

    async def tell(self, event: Event) -> None:
        """Write an event that is about to be released to the caller.

        Raises:
            RequestError: it cannot be written, so it must not be released.
        """
        ...

    async def end(self, record: RequestRecord) -> None:
        """Write how it ended: ``error_code``, ``is_disconnected``, ``finish_reason`` and usage.

        A status is not known yet: that is for whoever brought the request.

        Raises:
            RequestError: it cannot be written, so the answer's last byte must not be released.
        """
        ...


class Audit(Protocol):
    """A trail in which a request's life is written down so that nobody can deny it."""

    def check(self) -> None:
        """Check that a request could be recorded, before work is spent on it.

        Raises:
            RequestError: it could not, and would have to be.
        """
        ...

    async def begin(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> Trail:
        """Write that a request is about to run.

        Args:
            generation: as the engine will have it: screened (screening.py).

        Raises:
            RequestError: it cannot be written, so the request must not run.
        """
        ...

    async def act(
        self,
        principal: Principal | None,
        record: RequestRecord,
        act: str,
        details: Mapping[str, Any],
    ) -> None:
        """Write an act of an administrator, or one that gives rights, before it is answered.

        Args:
            act: its name, such as ``usage.read``.
            details: texts, whole numbers and lists of them; no secrets.

        Raises:
            RequestError: it cannot be written, so it must not be answered.
        """
        ...

    async def called(
        self,
        principal: Principal,
        record: RequestRecord,
        status: int,
        details: Mapping[str, Any],
    ) -> None:
        """Write a call that ran nothing in the engine, and is done, before it is answered.

        Args:
            status: of the answer.
            details: counts, ids and versions; no text that somebody wrote.

        Raises:
            RequestError: it cannot be written, so it must not be answered.
        """
        ...
