"""Pruning by age: what is older than the retention goes, but for what a legal hold keeps.

A log is pruned from its beginning on (tlog-tiles, Pruning): so the first entry that is held, or
young enough, keeps itself and all behind it. Contents go with the entries that name them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from serve.governance.audit.log import segments
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.pruning import minimum_index, prune
from serve.governance.audit.reading.contents import FOLDER, JOURNAL
from serve.governance.audit.reading.joined import (
    BEGIN,
    CHUNKS,
    END,
    Entry,
    first_since,
    joined,
    piece_notes,
)
from serve.governance.audit.retention.checking import check
from serve.governance.audit.retention.holds import Hold, holding
from serve.governance.audit.tlog.tiles import WIDTH

Progress = Callable[[int, int], None]

DAY_S: Final = 86_400
AHEAD: Final = 4096
"""Entries behind the first that is kept whose contents may lie before those of one that goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Entries that may go.

    Attributes:
        first: the first entry that is there now.
        index: the first entry that stays.
        num_old: entries that are older than the retention, those that stay nevertheless, too.
        hold: that keeps the entry at ``index``; None where its age does.
        keeper: that entry; None where there is none.
        content_at: contents before this one go.
    """

    first: int
    index: int
    num_old: int
    hold: Hold | None = None
    keeper: Entry | None = None
    content_at: int = 0

    @property
    def num_entries(self) -> int:
        """Entries that go."""
        return self.index - self.first

    @property
    def num_held(self) -> int:
        """Entries that are old enough, and stay for a hold."""
        return max(0, self.num_old - self.num_entries) if self.hold else 0


def planned(
    log: LogFolder,
    before_s: float,
    holds: Sequence[Hold],
    *,
    progress: Progress = lambda _done, _total: None,
) -> Plan:
    """A plan of what may go of a log.

    Args:
        before_s: Unix seconds; entries of this moment and later ones stay, and so does one that
            says no time.
        progress: told of entries now and then.
    """
    first = minimum_index(log.path)
    stop, content_at = log.size, 0
    keeper: Entry | None = None
    hold: Hold | None = None
    callers = _Callers()
    for entry in joined(log, first, log.size):
        if entry.index % AHEAD == 0:
            progress(entry.index, log.size)
        at = entry.time_s
        if at is not None:
            hold = callers.hold_of(entry, holds, at)
        if at is None or at >= before_s or hold is not None:
            stop, keeper = entry.index, entry
            break
        content_at = max(content_at, max(_places(entry), default=-1) + 1)
    index = max(first, stop - stop % WIDTH)
    num_old = stop - first
    if hold is not None:
        num_old = first_since(log, stop, log.size, before_s, slack=0) - first
    return Plan(
        first=first,
        index=index,
        num_old=num_old,
        hold=hold,
        keeper=keeper,
        content_at=_least_content(log, index, content_at),
    )


class _Callers:
    """The callers of calls that are open, whose pieces do not name them."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str | None, str | None]] = {}

    def hold_of(self, entry: Entry, holds: Sequence[Hold], at: float) -> Hold | None:
        """The first hold that covers an entry. A call whose begin is gone may be anybody's."""
        own = entry.part("who", "tenant"), entry.part("who", "owner")
        if entry.kind == BEGIN:
            self._open.update(dict.fromkeys(entry.request_ids, own))
        if entry.kind not in (CHUNKS, END):
            return holding(holds, *own, at)
        found = None
        for request_id in sorted(entry.request_ids):
            if (caller := self._open.get(request_id)) is not None:
                found = found or holding(holds, *caller, at)
            else:
                found = found or next((one for one in holds if one.covers_time(at)), None)
            if entry.kind == END:
                self._open.pop(request_id, None)
        return found


def carry_out(log: LogFolder, plan: Plan) -> int:
    """Remove what a plan says. The files of contents that were removed.

    Raises:
        LogDamaged: what was pruned before cannot be read, or what goes is not what was signed.
        OSError: a file cannot be written or removed.
    """
    if plan.num_entries > 0:
        check(log, plan.first, plan.index)
        prune(log.files, plan.index, log.size)
    going = _old_contents(log, plan)
    for path in going:
        path.unlink()
    return len(going)


def has_old_contents(log: LogFolder, plan: Plan) -> bool:
    """Whether files of contents are left that a plan removes, though no entry goes."""
    return bool(_old_contents(log, plan))


def _old_contents(log: LogFolder, plan: Plan) -> list[Path]:
    """Files all of whose contents go."""
    folder = log.path / FOLDER / JOURNAL
    if not folder.is_dir():
        return []
    listed = segments.segments(folder)
    return [
        path for (_, path), (next_first, _) in pairwise(listed) if next_first <= plan.content_at
    ]


def _least_content(log: LogFolder, index: int, content_at: int) -> int:
    """The first content that an entry which stays may name."""
    end = min(log.size, index + AHEAD)
    kept = [at for entry in joined(log, index, end) for at in _places(entry)]
    return min([content_at, *kept])


def _places(entry: Entry) -> list[int]:
    """The places of an entry's contents in their journal."""
    notes = [entry.record.get("content"), *piece_notes(entry)]
    found = [note.get("at") for note in notes if isinstance(note, dict)]
    return [at for at in found if isinstance(at, int)]
