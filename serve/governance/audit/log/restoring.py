"""Restoring: what a log's writer needs to go on, checked against what the log has signed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.journal import Journal
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog import checkpoints
from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.tlog.notes import InvalidNote
from serve.governance.audit.tlog.tiles import WIDTH


def signed_tree(
    files: TileFiles, verifiers: Sequence[NoteVerifier], origin: str
) -> Frontier | None:
    """The tree that the checkpoint tells of, from the tiles; None where the log has no checkpoint.

    Raises:
        LogDamaged: the checkpoint does not hold, or the tiles do not have its root.
        OSError: a file cannot be read.
    """
    content = files.checkpoint()
    if content is None:
        return None
    path = files.folder / "checkpoint"
    try:
        checkpoint, _ = checkpoints.opened(content, verifiers, origin=origin)
    except InvalidNote as error:
        raise LogDamaged(f"the checkpoint {path} cannot be trusted: {error}") from None
    size = checkpoint.size
    try:
        tree = Frontier.restored(size, lambda level, index: files.hashes(level, index, size))
    except ValueError as error:
        raise LogDamaged(f"a tile in {files.folder} is damaged: {error}") from None
    if tree.root() != checkpoint.root:
        raise LogDamaged(
            f"the tiles in {files.folder} do not have the root that {path} signs. "
            "python -m serve audit verify names the first entry that is wrong"
        )
    return tree


def entries_behind(
    journal: Journal, tree: Frontier, folder: Path
) -> tuple[list[bytes], list[bytes]]:
    """The entries of the last bundle that is not full, and those that were not published yet.

    Raises:
        LogDamaged: the journal lacks entries, or has others than the tree.
        OSError: it cannot be read.
    """
    start = tree.size - tree.size % WIDTH
    if journal.size < tree.size:
        raise LogDamaged(
            f"the checkpoint in {folder} is of {tree.size} entries, but the journal ends before "
            f"entry {journal.size}: acknowledged entries are missing",
            journal.size,
        )
    found = list(journal.entries(start))
    if [index for index, _ in found] != list(range(start, journal.size)):
        raise LogDamaged(f"the journal in {folder} has no entry {start}", start)
    entries = [entry for _, entry in found]
    num_known = tree.size - start
    for index, (entry, known) in enumerate(zip(entries, tree.hashes(0), strict=False), start):
        if leaf_hash(entry) != known:
            raise LogDamaged(f"entry {index} in the journal is not the one in the tree", index)
    return entries[:num_known], entries[num_known:]
