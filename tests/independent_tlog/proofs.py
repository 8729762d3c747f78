"""Proofs of one entry that need no log: tlog-proof."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.independent_tlog.merkle import leaf_hash, root_by_inclusion
from tests.independent_tlog.notes import Checkpoint, PublicKey, Refused, _base64, opened


def verify(
    proof: bytes, entry: bytes, log_key: PublicKey, witnesses: Sequence[PublicKey] = ()
) -> tuple[int, Checkpoint]:
    """Check that a log has an entry, by its proof alone; returns its index and the checkpoint.

    Raises:
        Refused: the proof, the log's signature or a witness's does not hold or is missing.
    """
    head, separator, checkpoint = proof.partition(b"\n\n")
    lines = head.decode().split("\n")
    if not separator or lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Refused("this is no proof")
    if lines and lines[0].startswith("extra "):
        _base64(lines.pop(0).removeprefix("extra "))
    match = re.fullmatch(r"index (0|[1-9][0-9]*)", lines.pop(0) if lines else "", re.ASCII)
    if match is None:
        raise Refused("a proof has an index")
    found, note = opened(checkpoint, log_key)
    path = [_base64(line) for line in lines]
    if any(len(step) != 32 for step in path):
        raise Refused("a hash has 32 bytes")
    index = int(match[1])
    if root_by_inclusion(leaf_hash(entry), index, found.size, path) != found.root:
        raise Refused("the entry is not in the log")
    if not all(note.trusted(witness) for witness in witnesses):
        raise Refused("a witness did not sign this")
    return index, found
