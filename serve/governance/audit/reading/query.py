"""Queries of records: which of them somebody looks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve.governance.audit.reading.joined import Entry

KINDS: Final = (
    *("start", "stop", "model", "begin", "chunks", "end", "call", "refused", "login_failed"),
    *("admin", "config", "heartbeat", "recovered", "gap"),
)
"""Types of records (docs/audit.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """A query: all of it must hold. None, or nothing, of a part is every one.

    Attributes:
        first, last: Unix seconds; ``last`` is not included.
        kinds: types of records, such as ``begin`` and ``login_failed``.
        request_id: as the server gave it to the caller.
        outcome: of an end, or the code of an error, such as ``interrupted`` or ``queue_full``.
    """

    first: float | None = None
    last: float | None = None
    kinds: frozenset[str] = frozenset()
    key: str | None = None
    tenant: str | None = None
    owner: str | None = None
    model: str | None = None
    request_id: str | None = None
    outcome: str | None = None

    def matches(self, entry: Entry) -> bool:
        """Whether it is looked for. An end has the caller and the model of its begin."""
        return (
            self._is_in_time(entry)
            and (not self.kinds or entry.kind in self.kinds)
            and self.key in {None, entry.part("who", "key")}
            and self.tenant in {None, entry.part("who", "tenant")}
            and self.owner in {None, entry.part("who", "owner")}
            and self.model in {None, entry.part("model", "name")}
            and (self.request_id is None or self.request_id in entry.request_ids)
            and (
                self.outcome is None
                or self.outcome in {entry.record.get("outcome"), entry.record.get("error")}
            )
        )

    def _is_in_time(self, entry: Entry) -> bool:
        if self.first is None and self.last is None:
            return True
        at = entry.time_s
        return (
            at is not None
            and (self.first is None or at >= self.first)
            and (self.last is None or at < self.last)
        )
