"""Verification of a whole log: all is computed again from entries, and the first bad one named.

Entries are hashed into a tree of its own, and each hash tile, the checkpoint's root and what the
journal still has are compared with it on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serve.governance.audit.log import journal_check, tile_check
from serve.governance.audit.log.bad_entry import BadEntry, BadEntryFound
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.pruning import minimum_index
from serve.governance.audit.log.tile_files import CHECKPOINT, TileFiles
from serve.governance.audit.tlog import checkpoints
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.hashing import HASH_BYTES, leaf_hash, root_of
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.tlog.notes import InvalidNote
from serve.governance.audit.tlog.tiles import ENTRIES, WIDTH, Tile, entries_in, hashes_in

Progress = Callable[[int, int], None]
"""Told the entries that were verified and those there are, now and then."""
_BUNDLES_A_STEP = 64


@dataclass(frozen=True)
class Verification:
    """The outcome.

    Attributes:
        size: entries under the checkpoint; 0 where it does not hold.
        num_verified: entries whose content was hashed and found right.
        num_behind: entries of the journal that are not under the checkpoint yet.
        minimum_index: entries before it were pruned: of them only hashes may be left.
        bad: None where all holds.
    """

    size: int = 0
    num_verified: int = 0
    num_behind: int = 0
    minimum_index: int = 0
    bad: BadEntry | None = None

    @property
    def is_ok(self) -> bool:
        return self.bad is None


def verify(
    folder: Path,
    verifiers: Sequence[NoteVerifier],
    *,
    origin: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Verify a log's folder, or a copy of its checkpoint and tiles; also while it is written.

    Args:
        folder: of the log.
        verifiers: keys of the log; with those of witnesses if they are at hand.
        origin: of the log; None for any that one of the keys signs for.
        progress: told now and then how far it is.
    """
    run = _Run(TileFiles(folder), progress)
    bad = None
    try:
        run.verify(verifiers, origin)
    except BadEntryFound as error:
        bad = error.bad
    except LogDamaged as error:
        bad = BadEntry(error.index, folder.name, str(error))
    except OSError as error:
        bad = BadEntry(None, str(error.filename or folder), str(error.strerror or error))
    return Verification(run.size, run.num_verified, run.num_behind, run.minimum_index, bad)


class _Run:
    def __init__(self, files: TileFiles, progress: Progress | None) -> None:
        self._files, self._progress = files, progress
        self._tree = Frontier()
        self._right: set[Tile] = set()
        self._journal = journal_check.NONE
        self._parents: dict[int, tuple[Tile, list[bytes]]] = {}
        self.size = self.num_verified = self.num_behind = self.minimum_index = 0

    def verify(self, verifiers: Sequence[NoteVerifier], origin: str | None) -> None:
        checkpoint = self._checkpoint(verifiers, origin)
        self.size = checkpoint.size
        self.minimum_index = minimum_index(self._files.folder)
        journal = self._journal = journal_check.read(self._files.folder)
        for number in range(-(-self.size // WIDTH)):
            self._bundle(number)
            if self._progress is not None and number % _BUNDLES_A_STEP == 0:
                self._progress(self._tree.size, self.size)
        if self._tree.root() != checkpoint.root:
            raise BadEntryFound(
                None,
                CHECKPOINT,
                "these entries have another root than the checkpoint signs: entries were changed "
                "together with their hash tiles",
            )
        behind = journal_check.behind(journal, self.size)
        self.num_behind = len(behind)
        if not journal.is_live:
            tile_check.check_others(self._files, self._right, self._tree, behind)
        if self._progress is not None:
            self._progress(self.size, self.size)

    def _checkpoint(self, verifiers: Sequence[NoteVerifier], origin: str | None) -> Checkpoint:
        content = self._files.checkpoint()
        if content is None:
            raise BadEntryFound(None, CHECKPOINT, "there is no checkpoint")
        try:
            return checkpoints.opened(content, verifiers, origin=origin)[0]
        except InvalidNote as error:
            raise BadEntryFound(None, CHECKPOINT, f"it cannot be trusted: {error}") from None

    def _bundle(self, number: int) -> None:
        first = number * WIDTH
        width = min(WIDTH, self.size - first)
        hashes = self._files.hashes(0, number, self.size)
        content = self._files.bundle(number, self.size)
        if content is None:
            self.minimum_index = minimum_index(self._files.folder)  # it may be pruned just now
            if first + WIDTH > self.minimum_index:
                raise BadEntryFound(first, Tile(ENTRIES, number, width).path, "its bundle is gone")
            leaves = hashes_in(hashes)
            if len(hashes) != WIDTH * HASH_BYTES:
                raise BadEntryFound(first, Tile(0, number).path, "its hash tile is too short")
        else:
            leaves = self._leaves(Tile(ENTRIES, number, width), content, hashes)
            self.num_verified += width
        journal_check.compare(self._journal, first, leaves)
        for tile, _ in self._tree.append(leaves):
            self._in_parent(tile, self._tree.hashes(tile.level + 1)[-1])

    def _leaves(self, bundle: Tile, content: bytes, hashes: bytes) -> list[bytes]:
        """The leaf hashes of a bundle's entries, each found in the tile."""
        first, width = bundle.first_entry, bundle.width
        leaves: list[bytes] = []
        end = 0
        try:
            for entry in entries_in(content):
                if len(leaves) == width:
                    break
                leaves.append(leaf_hash(entry))
                end += 2 + len(entry)
        except ValueError:
            pass  # the entry that is cut is the one that is missing below
        joined = b"".join(leaves)
        tile = Tile(0, bundle.index, width)
        if joined == hashes:
            if end == len(content):
                self._right.add(self._file_read(bundle))
            elif self._files.content(Tile(ENTRIES, bundle.index)) is None:
                journal_check.compare(self._journal, first, leaves)
                raise BadEntryFound(first + width, bundle.path, "the bundle has more than its tile")
            if self._files.content(self._file_read(tile)) == joined:
                self._right.add(self._file_read(tile))
            return leaves
        known = hashes_in(hashes)
        at = next(
            (at for at, pair in enumerate(zip(leaves, known, strict=False)) if pair[0] != pair[1]),
            min(len(leaves), len(known)),
        )
        raise self._disagreement(bundle, tile, at, leaves, known)

    def _file_read(self, tile: Tile) -> Tile:
        full = Tile(tile.level, tile.index)
        return full if self._files.path(full).exists() else tile

    def _disagreement(
        self, bundle: Tile, tile: Tile, at: int, leaves: list[bytes], known: list[bytes]
    ) -> BadEntryFound:
        """The finding where a bundle and its tile differ: the next level says which is wrong."""
        index = bundle.first_entry + at
        if at >= len(leaves):
            return BadEntryFound(index, bundle.path, "it is missing from its bundle")
        parent = None
        if tile.width == WIDTH:
            above = self._files.hashes(1, tile.index // WIDTH, self.size)
            parent = hashes_in(above)[tile.index % WIDTH : tile.index % WIDTH + 1]
        if parent == [root_of(leaves)]:
            return BadEntryFound(index, tile.path, "its hash in the tile was changed")
        if parent == [root_of(known)]:
            return BadEntryFound(index, bundle.path, "it is not what was logged")
        return BadEntryFound(index, bundle.path, "it and its hash in the tile differ")

    def _in_parent(self, tile: Tile, root: bytes) -> None:
        """Compare a full tile's root with the tile above: so each hash above level 0 is."""
        level, (number, at) = tile.level + 1, divmod(tile.index, WIDTH)
        cached = self._parents.get(level)
        if cached is None or cached[0].index != number:
            above = hashes_in(self._files.hashes(level, number, self.size))
            cached = self._parents[level] = (Tile(level, number, len(above)), above)
        if cached[1][at : at + 1] != [root]:
            raise BadEntryFound(
                tile.first_entry,
                cached[0].path,
                f"it and those behind it in {tile.path} have another hash than is kept of them",
            )
