"""Calls that have begun and not ended: in this process, and in a log that another has left.

Who reads a log for them need not read all of it: each heartbeat says how far back the oldest call
lies that was open then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from serve.governance.audit.records.canonical import decoded

READ_ENTRIES: Final = 256
"""Entries that are read at a time: those of one tile."""

Read = Callable[[int, int], Sequence[bytes]]


@dataclass(slots=True)
class OpenCall:
    """A call of this process whose end is not known to be in the log.

    Attributes:
        least_index: its ``begin`` lies there, or behind it.
        state: ``running``; or nobody will end it: ``given_up`` where its caller was refused,
            ``passed`` where it ran nevertheless.
        end: makes its end, once that is known and could not be written.
    """

    least_index: int
    state: Literal["running", "given_up", "passed"] = "running"
    end: Callable[[int], bytes] | None = None


class OpenCalls:
    """All calls of this process that are open, by their request's id."""

    def __init__(self) -> None:
        self._calls: dict[str, OpenCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, request_id: str, least_index: int) -> OpenCall:
        """Note a call whose ``begin`` is about to be written."""
        call = self._calls[request_id] = OpenCall(least_index)
        return call

    def remove(self, request_id: str) -> None:
        """Forget a call whose end is in the log, or whose ``begin`` never will be."""
        self._calls.pop(request_id, None)

    def get(self, request_id: str) -> OpenCall | None:
        """The call of that id, where it is open."""
        return self._calls.get(request_id)

    def least_index(self, size: int) -> int:
        """The index from which on all of their ``begin`` are; of a log of this size."""
        return min((call.least_index for call in self._calls.values()), default=size)

    def forget_settled(self) -> None:
        """Forget those that nobody will end: the log has been settled."""
        over = [
            request_id
            for request_id, call in self._calls.items()
            if call.end is not None or call.state != "running"
        ]
        for request_id in over:
            del self._calls[request_id]


def begun_and_not_ended(read: Read, start: int, end: int) -> dict[str, int]:
    """Calls that begin in this range and do not end in it: the index of each ``begin``. Blocks."""
    found: dict[str, int] = {}
    for at in range(start, end, READ_ENTRIES):
        for number, entry in enumerate(read(at, min(end, at + READ_ENTRIES)), start=at):
            if b'"type":"begin"' in entry or b'"type":"end"' in entry:
                _follow(found, decoded(entry), number)
    return found


def first_to_read(read: Read, size: int, first: int = 0) -> int:
    """The index from which on a log must be read for calls that are open at its end. Blocks.

    Args:
        first: index of the first entry that was not pruned.
    """
    end = size
    while end > first:
        start = max(first, end - READ_ENTRIES)
        for number, entry in reversed(list(enumerate(read(start, end), start=start))):
            if b'"type":"heartbeat"' not in entry:
                continue
            record = decoded(entry)
            open_from = record.get("open_from")
            if record.get("type") == "heartbeat" and isinstance(open_from, int):
                return min(number, max(first, open_from))
        end = start
    return first


def _follow(found: dict[str, int], record: Mapping[str, Any], number: int) -> None:
    request_id = record.get("id")
    if not isinstance(request_id, str):
        return
    if record.get("type") == "begin":
        found[request_id] = number
    elif record.get("type") == "end":
        found.pop(request_id, None)
