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


@dataclass(frozen=True)
class JournalEntries:
    """The entries of a journal.

    Attributes:
        entries: by index.
        next_index: the index behind the last one.
        is_there: whether the folder is a writer's; a copy of tiles and checkpoint has none.
        is_live: whether a process writes the log at present.
    """

    entries: dict[int, bytes]
    next_index: int
    is_there: bool
    is_live: bool


NONE = JournalEntries({}, 0, is_there=False, is_live=False)


def read(folder: Path) -> JournalEntries:
    """All entries of the journal of a log's folder.

    Raises:
        BadEntryFound: it is damaged, or its tail is torn and no process writes it.
        OSError: it cannot be read.
    """
    if not (folder / LOCK).exists() and not (folder / FOLDER).exists():
        return NONE
    is_live = _is_locked(folder / LOCK)
    for tries_left in reversed(range(segments.NUM_TRIES)):
        try:
            entries, next_index = _entries(folder / FOLDER, is_live)
            return JournalEntries(entries, next_index, is_there=True, is_live=is_live)
        except FileNotFoundError:  # dropped, as bundles have its entries now
            if not is_live or not tries_left:
                raise BadEntryFound(None, FOLDER, "the journal is gone") from None
    return NONE


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
    if journal.next_index < size and not journal.is_live:
        raise BadEntryFound(
            journal.next_index, FOLDER, "it is under the checkpoint, and the journal ends before it"
        )
    for index in range(size - size % WIDTH, size):
        if index not in journal.entries and not journal.is_live:
            raise BadEntryFound(index, FOLDER, "it is under the checkpoint, and not in the journal")
    found: list[bytes] = []
    while (entry := journal.entries.get(size + len(found))) is not None:
        found.append(entry)
    return found


def _entries(folder: Path, is_live: bool) -> tuple[dict[int, bytes], int]:
    entries: dict[int, bytes] = {}
    next_index = 0
    if not folder.exists():  # a crash came before the first segment
        return entries, next_index
    try:
        for path, found, torn in segments.read_segments(folder):
            entries |= dict(enumerate(found.payloads, found.first_index))
            next_index = found.next_index
            if torn and not is_live:
                raise BadEntryFound(
                    found.next_index,
                    f"{FOLDER}/{path.name}",
                    f"{len(torn)} bytes behind the last whole entry are torn: a crash, which the "
                    "log's next start puts into quarantine, or damage",
                )
    except LogDamaged as error:
        raise BadEntryFound(error.index, FOLDER, str(error)) from None
    return entries, next_index


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
