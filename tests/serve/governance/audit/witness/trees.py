"""Trees in memory for tests of witnesses: a log that grows, and one that was written anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.hashing import leaf_hash, root_of
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner
from serve.governance.audit.tlog.proofs import consistency_proof

ORIGIN = "example.org/audit"
LOG_KEY = NoteSigner(ORIGIN, b"l" * 32)
WITNESS_KEY = NoteSigner("witness.example.org", b"w" * 32, COSIGNATURE)


@dataclass
class Tree:
    """A log's leaves, and what it says of them."""

    entries: list[bytes]
    signer: NoteSigner = field(default=LOG_KEY)

    @property
    def leaves(self) -> list[bytes]:
        return [leaf_hash(entry) for entry in self.entries]

    def checkpoint(self, size: int | None = None) -> bytes:
        leaves = self.leaves[: len(self.entries) if size is None else size]
        return Checkpoint(ORIGIN, len(leaves), root_of(leaves)).signed(self.signer).encode()

    def proof(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        leaves = self.leaves

        def read(level: int, index: int) -> bytes:
            return root_of(leaves[index << level : (index + 1) << level])

        return tuple(consistency_proof(old, len(leaves) if new is None else new, read))


def tree(size: int, *, changed: int | None = None) -> Tree:
    """A log of so many entries, one of them another than it was."""
    entries = [b"entry %d" % number for number in range(size)]
    if changed is not None:
        entries[changed] = b"nothing happened"
    return Tree(entries)
