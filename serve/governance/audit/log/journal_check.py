"""The journal as verification sees it: entries that are in bundles too, and those behind them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serve.governance.audit.log import segments
from serve.governance.audit.log.bad_entry import BadEntryFound
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.tiles import WIDTH

FOLDER, LOCK = "journal", "lock"
_NUM_TRIES = 5


@dataclass(frozen=True)
class JournalEntries:
    """What a journal holds.

    Attributes:
        entries: by index.
        is_there: whether the folder is a writer's; a copy of tiles and checkpoint has none.
        is_live: whether a process writes the log at present.
    """

    entries: dict[int, bytes]
    is_there: bool
    is_live: bool


def read(folder: Path) -> JournalEntries:
    """All entries of the journal of a log's folder.

    Raises:
        BadEntryFound: it is damaged, or its tail is torn and no process writes it.
        OSError: it cannot be read.
    """
    if not (folder / LOCK).exists() and not (folder / FOLDER).exists():
        return JournalEntries({}, is_there=False, is_live=False)
    is_live = _is_locked(folder / LOCK)
    for tries_left in reversed(range(_NUM_TRIES)):
        try:
            return JournalEntries(_entries(folder / FOLDER, is_live), True, is_live)
        except FileNotFoundError:  # dropped, as bundles have its entries now
            if not is_live or not tries_left:
                raise BadEntryFound(None, FOLDER, "the journal is gone") from None
    raise AssertionError  # pragma: no cover


def compare(journal: JournalEntries, first: int, leaves: Sequence[bytes]) -> None:
    """Compare a bundle's entries with those that the journal still has.

    Raises:
        BadEntryFound: one differs.
    """
    for index, leaf in enumerate(leaves, first):
        entry = journal.entries.get(index)
        if entry is not None and leaf_hash(entry) != leaf:
            raise BadEntryFound(index, FOLDER, "the journal has another entry than the tree")


def behind(journal: JournalEntries, size: int) -> list[bytes]:
    """The entries behind the checkpoint.

    Raises:
        BadEntryFound: the journal ends before the checkpoint does, or begins too late.
    """
    if not journal.is_there:
        return []
    for index in range(size - size % WIDTH, size):
        if index not in journal.entries and not journal.is_live:
            raise BadEntryFound(index, FOLDER, "it is under the checkpoint, and not in the journal")
    found: list[bytes] = []
    while (entry := journal.entries.get(size + len(found))) is not None:
        found.append(entry)
    if journal.entries and max(journal.entries) >= size + len(found) and not journal.is_live:
        raise BadEntryFound(size + len(found), FOLDER, "it is missing from the journal")
    return found


def _entries(folder: Path, is_live: bool) -> dict[int, bytes]:
    entries: dict[int, bytes] = {}
    try:
        for path, found, torn in segments.read_segments(folder):
            entries |= dict(enumerate(found.payloads, found.first_index))
            if torn and not is_live:
                raise BadEntryFound(
                    found.next_index,
                    f"{FOLDER}/{path.name}",
                    f"{len(torn)} bytes behind the last whole entry are torn: a crash, which the "
                    "log's next start puts into quarantine, or damage",
                )
    except LogDamaged as error:
        raise BadEntryFound(error.index, FOLDER, str(error)) from None
    return entries


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
