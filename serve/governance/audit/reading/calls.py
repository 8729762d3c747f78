"""The calls of a log: that each has one begin and one end at most, and which have no end.

The tree proves that entries are what was written; this looks at whether what was written makes
sense: an end twice, an end without its begin, a begin whose server died before it wrote the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from serve.governance.audit.reading.joined import BEGIN, END, Entry

MAX_FAULTS: Final = 100
"""Faults that are listed; more are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An entry that does not fit to those before it."""

    index: int
    what: str


@dataclass(slots=True, kw_only=True)
class Calls:
    """What was found.

    Attributes:
        num_begins, num_ends: of calls.
        faults: the first MAX_FAULTS of them.
        num_faults: all.
        open: index and request id of begins without an end: calls that run, or whose server died.
        num_foreign: entries that are no records.
    """

    num_begins: int = 0
    num_ends: int = 0
    num_foreign: int = 0
    num_faults: int = 0
    faults: list[Fault] = field(default_factory=list)
    open: dict[int, str] = field(default_factory=dict)


def checked(entries: Iterable[Entry], *, first: int = 0) -> Calls:
    """Go through the entries of a log.

    Args:
        first: index of the first entry that is there; ends of calls before it have no begin.
    """
    found = Calls()
    for entry in entries:
        if entry.kind == BEGIN:
            found.num_begins += 1
            found.open[entry.index] = str(entry.record.get("id", ""))
        elif entry.kind == END:
            found.num_ends += 1
            if what := _fault(entry, found.open, first):
                found.num_faults += 1
                if len(found.faults) < MAX_FAULTS:
                    found.faults.append(Fault(index=entry.index, what=what))
        elif not entry.kind:
            found.num_foreign += 1
    return found


def _fault(entry: Entry, opened: dict[int, str], first: int) -> str:
    """What is wrong with an end; empty where nothing. Its call is over then."""
    begin = entry.record.get("begin")
    if not isinstance(begin, int):
        return "an end that names no begin"
    if begin < first:
        return ""  # pruned
    request_id = opened.pop(begin, None)
    if request_id is not None:
        if request_id == entry.record.get("id"):
            return ""
        return f"an end of another request than the begin at {begin}"
    if entry.begin is None:
        return f"an end whose begin is not at {begin}"
    return f"a second end of the call that began at {begin}"
