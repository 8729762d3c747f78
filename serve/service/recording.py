"""Records of what runs nothing in the engine: before its answer, or there is none.

What generates is recorded on its way (running.py). This is for all else that somebody does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve.errors import InternalError
from serve.governance.audit.trail import Audit
from serve.service.call import Call


class Recorder:
    """Records calls that are done and not yet answered.

    Args:
        audit: the trail that they leave.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def check(self) -> None:
        """Check that a call could be recorded, before it is done. Raises AuditUnavailable."""
        self._audit.check()

    async def called(self, call: Call, status: int) -> None:
        """Record a call, with the details that whoever did it left there.

        Raises:
            AuditUnavailable: it cannot be recorded, so it must not be answered.
        """
        if call.principal is None:
            raise InternalError("The request has no principal.")
        await self._audit.called(call.principal, call.record, status, call.details)

    async def act(self, call: Call, name: str, details: Mapping[str, Any]) -> None:
        """Record an act of an administrator, or one that gives rights.

        Raises:
            AuditUnavailable: it cannot be recorded, so it must not be answered.
        """
        await self._audit.act(call.principal, call.record, name, details)
