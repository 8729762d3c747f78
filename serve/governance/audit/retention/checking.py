"""A check of entries before they are pruned: what was damaged or changed is evidence, and stays."""

from __future__ import annotations

from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.hashing import HASH_BYTES, leaf_hash, root_of
from serve.governance.audit.tlog.tiles import HEIGHT, WIDTH


def check(log: LogFolder, first: int, index: int) -> None:
    """Hold the bundles of a range against the tiles above them, and those against the checkpoint.

    Args:
        first, index: multiples of a bundle's width; the entry at ``index`` is not in the range.

    Raises:
        LogDamaged: something does not hold.
        OSError: a file cannot be read.
    """
    if log.root_at(log.size) != log.checkpoint.root:
        raise LogDamaged("its tiles do not lead to what its checkpoint signs")
    for number in range(first >> HEIGHT, index >> HEIGHT):
        start = number << HEIGHT
        leaves = [leaf_hash(entry) for _, entry in log.entries(start, start + WIDTH)]
        told = log.files.hashes(0, number, log.size)
        if root_of(leaves) != log.hash_at(HEIGHT, number):
            at = next((at for at, leaf in enumerate(leaves) if leaf != _leaf(told, at)), 0)
            raise LogDamaged(f"entry {start + at} is another than was signed", start + at)
        if told != b"".join(leaves):  # which can be made again from the entries alone
            raise LogDamaged(f"the tile of the hashes of entry {start} is damaged", start)


def _leaf(hashes: bytes, at: int) -> bytes:
    return hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]
