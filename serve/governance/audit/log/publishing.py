"""Publishing: durable entries become bundles and tiles, and a checkpoint that is signed.

The order is what makes a crash harmless: full bundles and tiles, then the partial ones, then the
checkpoint, and only then journal files are dropped of which full bundles have every entry. What a
crash leaves out is done again from the journal, with the same content under the same names.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.keys import NoteSigner
from serve.governance.audit.tlog.tiles import ENTRIES, WIDTH, Tile, bundle, partial_tiles


class Publisher:
    """Writes a log's tree; used by one thread at a time.

    Args:
        files: of the log.
        origin: of the log.
        signer: of its checkpoints.
        tree: as it was published last.
        rest: the entries of the last bundle, where that is not full: 0 to 255.
    """

    def __init__(
        self,
        files: TileFiles,
        origin: str,
        signer: NoteSigner,
        tree: Frontier,
        rest: Sequence[bytes],
    ) -> None:
        self._files, self._origin, self._signer = files, origin, signer
        self._tree, self._rest = tree, list(rest)

    @property
    def size(self) -> int:
        """Entries under the last checkpoint."""
        return self._tree.size

    def publish(self, entries: Sequence[bytes]) -> None:
        """Add entries to the tree, and put all of it and its checkpoint on the disk.

        Raises:
            OSError: it cannot be written; the entries are to be given again.
        """
        tree, rest = self._tree.copy(), [*self._rest, *entries]
        first_bundle = self._tree.size // WIDTH
        full = list(tree.append(map(leaf_hash, entries)))
        num_full = len(rest) // WIDTH
        for number in range(num_full):
            content = bundle(rest[number * WIDTH : (number + 1) * WIDTH])
            self._files.write(Tile(ENTRIES, first_bundle + number), content)
        for tile, hashes in full:
            self._files.write(tile, b"".join(hashes))
        rest = rest[num_full * WIDTH :]
        for tile in partial_tiles(tree.size):
            is_bundle = tile.level == ENTRIES
            content = bundle(rest) if is_bundle else b"".join(tree.hashes(tile.level))
            if not self._files.path(tile).exists() or tile.level <= 0:
                self._files.write(tile, content)
        self._files.sync_folders()
        self.sign(tree)
        self._tree, self._rest = tree, rest
        for tile, _ in full:
            self._files.remove_partials(tile)
        for number in range(num_full):
            self._files.remove_partials(Tile(ENTRIES, first_bundle + number))

    def sign(self, tree: Frontier) -> None:
        """Sign and write the checkpoint of a tree.

        Raises:
            OSError: it cannot be written.
        """
        checkpoint = Checkpoint(self._origin, tree.size, tree.root())
        self._files.write_checkpoint(checkpoint.signed(self._signer))
