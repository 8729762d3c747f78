"""Queries of records: which of them somebody looks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from serve.governance.audit.reading.joined import CHUNKS, Entry

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
        with_pieces: whether pieces of streams are found by their calls' callers and models.
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
    with_pieces: bool = True

    @property
    def names_calls(self) -> bool:
        """Whether calls of a caller, a model or an id are looked for, and not all of them."""
        named = (self.key, self.tenant, self.owner, self.model, self.request_id)
        return any(each is not None for each in named)

    def matches(self, entry: Entry) -> bool:
        """Whether it is looked for. An end has the caller and the model of its begin."""
        return (
            self._is_in_time(entry)
            and (not self.kinds or entry.kind in self.kinds)
            and (self._has_pieces(entry) if entry.kind == CHUNKS else self._is_of(entry))
            and (
                self.outcome is None
                or self.outcome in {entry.record.get("outcome"), entry.record.get("error")}
            )
        )

    def narrowed(self, entry: Entry) -> Entry:
        """The entry; of pieces of several calls, with those alone that are looked for."""
        pieces = entry.record.get("of")
        if entry.kind != CHUNKS or not self.names_calls or not isinstance(pieces, list):
            return entry
        wanted = self._calls_of(entry)
        kept = [piece for piece in pieces if piece and piece[0] in wanted]
        record = {**entry.record, "of": kept}
        return replace(entry, record=record, num_left_out=len(pieces) - len(kept))

    def _has_pieces(self, entry: Entry) -> bool:
        if not self.names_calls:
            return True
        return self.with_pieces and bool(self._calls_of(entry))

    def _calls_of(self, entry: Entry) -> set[str]:
        """The ids of the calls whose pieces it has and which are looked for."""
        return {
            name
            for name in entry.request_ids
            if self.request_id in {None, name}
            and self._is_callers(replace(entry, begin=entry.begins.get(name)))
        }

    def _is_of(self, entry: Entry) -> bool:
        has_id = self.request_id is None or self.request_id in entry.request_ids
        return has_id and self._is_callers(entry)

    def _is_callers(self, entry: Entry) -> bool:
        return (
            self.key in {None, entry.part("who", "key")}
            and self.tenant in {None, entry.part("who", "tenant")}
            and self.owner in {None, entry.part("who", "owner")}
            and self.model in {None, entry.part("model", "name")}
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
