"""Copies that a witness over HTTP keeps of logs whose folders it can read.

Over HTTP it gets signatures and proofs, no entries: so it could say that a log has another past,
and not since which entry. Where the log's folder is mounted, it follows there what it cosigned.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.hashing import EMPTY_ROOT
from serve.governance.audit.tlog.notes import InvalidNote
from serve.governance.audit.witness.cosigning import InconsistentError, Witness
from serve.governance.audit.witness.folder_witness import FolderWitness, new_leaves
from serve.governance.audit.witness.leaf_copy import CopyRefusedError, LeafCopy

log = logging.getLogger(__name__)


class Mirrors:
    """The copies of a witness's logs. Its methods block, and one at a time is called.

    Args:
        folders: of logs, or copies of them that are refreshed.
    """

    def __init__(self, witness: Witness, folders: Sequence[Path]) -> None:
        self._witness = witness
        self._folders = folders
        self._copies: dict[str, LeafCopy] = {}

    def follow(self, origin: str) -> bool:
        """Copy the leaf hashes of what has been cosigned. Whether the copy has all of them."""
        published = self._opened(origin)
        held = self._witness.held(origin)
        if published is None or held is None or published.size < held.size:
            return False
        copy = self._copies.get(origin)
        if copy is None:
            folder = self._witness.state.folder_of(origin)
            copy = LeafCopy(folder, size=held.size, root=held.root)
            if not copy.is_whole:  # made by nobody, or a crash came between
                copy = LeafCopy(folder, size=0, root=EMPTY_ROOT)
            self._copies[origin] = copy
        try:
            if copy.size < held.size:
                leaves = new_leaves(published, copy.size, held.size)
                copy.add(leaves, held.size, held.root)
        except (CopyRefusedError, StartupError, OSError) as error:
            log.warning(
                "a log's folder is not what was cosigned",
                extra={"origin": origin, "reason": str(error)},
            )
            del self._copies[origin]
            return False
        return True

    def located(self, error: InconsistentError) -> str:
        """A sentence on where a log that was refused differs; empty where that cannot be said."""
        published = self._opened(error.origin)
        if published is None:
            return ""
        try:
            found = FolderWitness(self._witness, published).located(error.held)
        except (StartupError, OSError):
            return ""
        return "" if found is None else str(found)

    def _opened(self, origin: str) -> LogFolder | None:
        for folder in self._folders:
            try:
                return LogFolder(folder, self._witness.log_keys, origin=origin)
            except (StartupError, InvalidNote, OSError):
                continue
        return None
