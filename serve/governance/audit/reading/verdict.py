"""The verdict on a log: its tree, its witnesses' signatures, and its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from serve.errors import StartupError
from serve.governance.audit.log.bad_entry import BadEntry
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.verifying import Verification, verify
from serve.governance.audit.reading.calls import Calls, checked
from serve.governance.audit.reading.joined import Entry, joined
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.tlog.notes import InvalidNote
from serve.governance.audit.witness.cosigned_notes import Cosigned, CosignedNotes
from serve.governance.audit.witness.diverging import by_history
from serve.governance.audit.witness.state import Held

Progress = Callable[[int, int], None]
_STEP = 16_384


@dataclass(slots=True, kw_only=True)
class Verdict:
    """The verdict on one log.

    Attributes:
        tree: what was computed again from the entries.
        cosigned: the last checkpoint of each witness that signed one which holds.
        unsigned: witnesses without one, and why.
        diverged: what a witness signed and the log is not, in words.
        calls: None where the tree does not hold.
    """

    tree: Verification
    cosigned: list[Cosigned] = field(default_factory=list)
    unsigned: dict[str, str] = field(default_factory=dict)
    diverged: list[str] = field(default_factory=list)
    calls: Calls | None = None

    @property
    def bad(self) -> BadEntry | None:
        """The first thing in the tree that does not hold."""
        return self.tree.bad

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong. Calls without an end are none: they run, or are told of."""
        return (
            self.tree.is_ok
            and not self.unsigned
            and not self.diverged
            and (self.calls is None or self.calls.num_faults == 0)
        )


def judged(
    path: Path,
    log_keys: Sequence[NoteVerifier],
    witnesses: Sequence[NoteVerifier],
    *,
    progress: Progress = lambda _done, _total: None,
) -> Verdict:
    """Judge a log's folder, or a copy of it.

    Args:
        path: of the folder.
        witnesses: that must have signed it.
        progress: told of entries, in two rounds: the tree's and the calls'.
    """
    verdict = Verdict(tree=verify(path, log_keys, progress=progress))
    if verdict.tree.size == 0 and not verdict.tree.is_ok:
        return verdict
    try:
        log = LogFolder(path, log_keys)
        _witnessed(verdict, log, witnesses)
        if verdict.tree.is_ok:
            first = verdict.tree.minimum_index
            verdict.calls = checked(_told(log, first, progress), first=first)
    except (StartupError, OSError) as error:
        if verdict.tree.is_ok:
            bad = BadEntry(getattr(error, "index", None), path.name, str(error))
            verdict.tree = replace(verdict.tree, bad=bad)
    return verdict


def _told(log: LogFolder, first: int, progress: Progress) -> Iterator[Entry]:
    """Entries as records; progress is told of them."""
    for entry in joined(log, first, log.size):
        if entry.index % _STEP == 0:
            progress(entry.index, log.size)
        yield entry


def _witnessed(verdict: Verdict, log: LogFolder, witnesses: Sequence[NoteVerifier]) -> None:
    """Hold the log against what witnesses signed."""
    notes = CosignedNotes(log.path)
    for witness in witnesses:
        try:
            found = notes.read(witness, log.verifiers)
        except (InvalidNote, OSError) as error:
            verdict.unsigned[witness.name] = str(error)
            continue
        if found is None:
            verdict.unsigned[witness.name] = "it has signed no checkpoint of this log"
            continue
        tree = found.checkpoint
        held = Held(time_s=found.at_s, size=tree.size, root=tree.root)
        try:
            is_same = tree.size <= log.size and log.root_at(tree.size) == tree.root
        except LogDamaged as error:
            verdict.unsigned[witness.name] = str(error)
            continue
        if is_same:
            verdict.cosigned.append(found)
        else:
            verdict.diverged.append(f"{witness.name}: {by_history(log, (), held)}")
