"""Entries as records, each end and each piece joined with the begin that it belongs to.

An ``end`` names its ``begin`` by index, and pieces the ids of their calls. Begins are kept in
memory until their end was read, so a log of any length takes as much as it had calls at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from serve.errors import StartupError
from serve.governance.audit.records.canonical import Record, decoded

BEGIN, END, CHUNKS = "begin", "end", "chunks"
MAX_OPEN: Final = 100_000
"""Begins without an end that are kept; of older ones the begin is read again."""
STEP: Final = 256
"""Entries of one bundle: looking for a time costs one read each."""
SLACK: Final = 4096
"""Entries that are read before the first of a time: clocks of several threads, and set ones."""


class Entries(Protocol):
    """A log's entries (serve/governance/audit/log)."""

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Index and entry of a range."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry, and what it belongs to.

    Attributes:
        index: in the log.
        raw: the entry's bytes.
        record: of them; empty where they are no record.
        begin: of the call that it is of; None where it is of none, or that was not found.
        begins: of the calls whose pieces it has, by their ids, as far as they were found.
        num_left_out: pieces that it has and ``record`` does not: somebody else's.
    """

    index: int
    raw: bytes
    record: Record
    begin: Record | None = None
    begins: Mapping[str, Record] = field(default_factory=dict)
    num_left_out: int = 0

    @property
    def kind(self) -> str:
        """The record's type; empty where it is no record."""
        kind = self.record.get("type", "")
        return kind if isinstance(kind, str) else ""

    @property
    def at(self) -> str:
        """The record's time as it is written, such as 2026-11-29T15:00:00.000000Z."""
        at = self.record.get("at", "")
        return at if isinstance(at, str) else ""

    @property
    def time_s(self) -> float | None:
        """The record's time in Unix seconds; None where it has none."""
        return seconds_of(self.at)

    @property
    def request_ids(self) -> set[str]:
        """The requests that it is of: one, or those whose pieces it has."""
        if self.kind == CHUNKS:
            pieces = self.record.get("of")
            found = [piece[0] for piece in pieces if piece] if isinstance(pieces, list) else []
        else:
            found = [self.record.get("id")]
        return {request_id for request_id in found if isinstance(request_id, str)}

    @property
    def details(self) -> list[str]:
        """The details of an act or a call, each ``name=value``."""
        details = self.record.get("details")
        named = details.items() if isinstance(details, dict) else ()
        return [f"{name}={value}" for name, value in named]

    def part(self, table: str, name: str) -> str | None:
        """A text of a table of the record, or else of its begin: ``part("who", "tenant")``."""
        for record in (self.record, self.begin or {}):
            found = record.get(table)
            if isinstance(found, dict) and isinstance(found.get(name), str):
                return str(found[name])
        return None


def piece_notes(entry: Entry) -> list[Record]:
    """Notes of the contents of an entry of pieces; none of any other."""
    pieces = entry.record.get("of")
    if not isinstance(pieces, list):
        return []
    last = [piece[-1] for piece in pieces if isinstance(piece, list) and piece]
    return [note for note in last if isinstance(note, dict)]


def seconds_of(at: str) -> float | None:
    """Unix seconds of a record's time; None where it is none."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


def joined(log: Entries, start: int, end: int) -> Iterator[Entry]:
    """Entries of a range with their begins: of ends, also where those are before the range."""
    opened: dict[int, Record] = {}
    by_id: dict[str, Record] = {}
    for index, raw in log.entries(start, end):
        record = decoded(raw)
        kind, begin = record.get("type"), record.get("begin")
        found: Record | None = None
        if kind == END and isinstance(begin, int) and 0 <= begin < index:
            found = opened.pop(begin, None) or _read(log, begin)
            by_id.pop(str(record.get("id")), None)
        elif kind == BEGIN:
            opened[index] = by_id[str(record.get("id"))] = record
            if len(opened) > MAX_OPEN:
                forgotten = opened.pop(next(iter(opened)))
                by_id.pop(str(forgotten.get("id")), None)
        entry = Entry(index=index, raw=raw, record=record, begin=found)
        if kind == CHUNKS:
            begins = {name: by_id[name] for name in entry.request_ids & by_id.keys()}
            entry = replace(entry, begins=begins)
        yield entry


def first_since(log: Entries, start: int, end: int, time_s: float, *, slack: int = SLACK) -> int:
    """An index before which all entries are older; never before ``start``.

    One entry in STEP is read, from the beginning on: a clock that was set back hides none. Between
    two that are read, times grow but for the odd one, which ``slack`` entries allow for.
    """
    found = end
    for at in range(start, end, STEP):
        time = next((time for _, time in _times(log, at, min(end, at + 64))), None)
        if time is not None and time >= time_s:
            found = at
            break
    low = max(start, found - STEP)
    if slack:
        return max(start, low - slack)
    times = _times(log, low, min(end, found + 1))
    return next((index for index, time in times if time >= time_s), found)


def _times(log: Entries, start: int, end: int) -> Iterator[tuple[int, float]]:
    for index, raw in log.entries(start, end):
        at = seconds_of(str(decoded(raw).get("at", "")))
        if at is not None:
            yield index, at


def _read(log: Entries, index: int) -> Record | None:
    """One begin from the log; None where it was pruned, or is none."""
    try:
        raw = next((raw for _, raw in log.entries(index, index + 1)), b"")
    except (OSError, StartupError):
        return None
    record = decoded(raw)
    return record if record.get("type") == BEGIN else None
