"""A witness that reads the log's folder itself, on a machine or a disk of its own.

It needs no server, and keeps a copy of the leaf hashes, so it can name the entry that was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.hashing import EMPTY_ROOT, HASH_BYTES
from serve.governance.audit.tlog.notes import Signature
from serve.governance.audit.tlog.proofs import is_consistent
from serve.governance.audit.tlog.tiles import HEIGHT, WIDTH
from serve.governance.audit.witness.cosigning import Witness
from serve.governance.audit.witness.diverging import Divergence, by_copy, by_history
from serve.governance.audit.witness.leaf_copy import LeafCopy
from serve.governance.audit.witness.request_body import Submission
from serve.governance.audit.witness.state import Held


class DivergedError(Exception):
    """The log is not the one that was cosigned before.

    Attributes:
        divergence: where; None where the tree of its tiles is, and its signed root is not.
    """

    def __init__(self, held: Held, divergence: Divergence | None) -> None:
        super().__init__(
            str(divergence)
            if divergence
            else f"its checkpoint does not continue the {held.size} entries that were cosigned, "
            "though its entries do: run `audit verify`"
        )
        self.held = held
        self.divergence = divergence


@dataclass(frozen=True, slots=True)
class FolderWitness:
    """A witness, and the folder of a log that it reads.

    Attributes:
        copies: whether leaf hashes are kept: 32 bytes an entry.
    """

    witness: Witness
    log: LogFolder
    copies: bool = True

    def check(self) -> Held | None:
        """Compare the log with what was cosigned; returns that, None where there is nothing yet.

        Raises:
            DivergedError: it is another log.
        """
        held = self.witness.held(self.log.checkpoint.origin)
        if held is None:
            return None
        if self.log.size < held.size or not self._continues(held):
            raise DivergedError(held, self.located(held))
        copy = self._copy(held)
        if copy.is_whole and (found := by_copy(self.log, copy, held)):
            raise DivergedError(held, found)
        return held

    def cosign(self) -> Signature:
        """Cosign the log's checkpoint, once it was found to continue the last one.

        Raises:
            DivergedError: it does not.
            RefusedError: it is not cosigned for another reason.
            CopyRefusedError: its tiles have other leaves than its signed root.
        """
        checkpoint = self.log.checkpoint
        held = self.witness.held(checkpoint.origin)
        old_size = 0 if held is None else held.size
        if held is not None and (checkpoint.size < old_size or not self._continues(held)):
            self.witness.state.keep_refused(
                checkpoint.origin, checkpoint.size, self.log.note, held.time_s
            )
            raise DivergedError(held, self.located(held))
        if self.copies:
            copy = self._copy(held)
            if not copy.is_whole:  # made by a witness that kept none
                copy = self._copy(None)
            leaves = new_leaves(self.log, copy.size, checkpoint.size)
            copy.add(leaves, checkpoint.size, checkpoint.root)
        proof = self.log.consistency(old_size) if old_size else []
        return self.witness.cosign(
            Submission(old_size=old_size, proof=tuple(proof), checkpoint=self.log.note)
        )

    def located(self, held: Held) -> Divergence | None:
        """Where the log left what was cosigned, as exactly as can be said."""
        copy = self._copy(held)
        if copy.is_what_was_cosigned() and (found := by_copy(self.log, copy, held)):
            return found
        return by_history(self.log, self.witness.state.history(self.log.checkpoint.origin), held)

    def _continues(self, held: Held) -> bool:
        """Whether the signed tree is shown to begin with the one that is held."""
        checkpoint = self.log.checkpoint
        if held.size == 0:
            return True
        return is_consistent(
            held.size,
            held.root,
            checkpoint.size,
            checkpoint.root,
            self.log.consistency(held.size),
        )

    def _copy(self, held: Held | None) -> LeafCopy:
        folder = self.witness.state.folder_of(self.log.checkpoint.origin)
        if held is None:
            return LeafCopy(folder, size=0, root=EMPTY_ROOT)
        return LeafCopy(folder, size=held.size, root=held.root)


def new_leaves(log: LogFolder, start: int, end: int) -> Iterator[bytes]:
    """Hashes of the tiles of level 0, of a range of entries."""
    for number in range(start >> HEIGHT, -(-end // WIDTH)):
        first = number << HEIGHT
        tile = log.files.hashes(0, number, log.size)
        lowest, highest = max(start, first) - first, min(end - first, WIDTH)
        yield from (tile[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(lowest, highest))
