"""A log's folder as a reader sees it, while nobody or another process writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from serve.governance.audit.log import segments
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.pruning import minimum_index, prune
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.log.verifying import Progress, Verification, verify
from serve.governance.audit.tlog import checkpoints, proofs, tiles
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.tlog.notes import InvalidNote
from serve.governance.audit.tlog.proof_text import Proof
from serve.governance.audit.tlog.tiles import HEIGHT, WIDTH


class LogFolder:
    """A log to read.

    Args:
        path: of the folder.
        verifiers: the log's keys, and those of witnesses.
        origin: of the log; None for any that one of the keys signs for.

    Raises:
        LogDamaged: its checkpoint is missing or does not hold.
        OSError: it cannot be read.
    """

    def __init__(
        self, path: Path, verifiers: Sequence[NoteVerifier], *, origin: str | None = None
    ) -> None:
        self.path = path
        self.files = TileFiles(path)
        self.verifiers, self._origin = tuple(verifiers), origin
        self.note = b""
        self.checkpoint = self.reload()

    def reload(self) -> Checkpoint:
        """Read the checkpoint anew.

        Raises:
            LogDamaged: it is missing or does not hold.
            OSError: it cannot be read.
        """
        note = self.files.checkpoint()
        if note is None:
            raise LogDamaged(
                f"{self.path} has no checkpoint: it is no log, or was one. A log is DIR/NAME", 0
            )
        try:
            self.checkpoint, _ = checkpoints.opened(note, self.verifiers, origin=self._origin)
        except InvalidNote as error:
            raise LogDamaged(f"the checkpoint in {self.path} cannot be trusted: {error}") from None
        self.note = note
        return self.checkpoint

    @property
    def size(self) -> int:
        """The number of entries under the checkpoint."""
        return self.checkpoint.size

    @property
    def minimum_index(self) -> int:
        """The index below which entries were pruned; 0 where none were.

        Raises:
            LogDamaged: the file that says it is damaged.
            OSError: it cannot be read.
        """
        return minimum_index(self.path)

    def verify(self, progress: Progress | None = None) -> Verification:
        """Verify the folder anew, checkpoint included."""
        return verify(self.path, self.verifiers, origin=self._origin, progress=progress)

    def prune(self, index: int) -> int:
        """Remove bundles whose entries all lie before an index; also while the log is written.

        Returns:
            The minimum index, at most the one given.

        Raises:
            ValueError: the log under its checkpoint is not so long.
            LogDamaged: what was pruned before cannot be read.
            OSError: a file cannot be written or removed.
        """
        return prune(self.files, index, self.size)

    def entries(
        self, start: int | None = None, end: int | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Index and entry, of those under the checkpoint.

        Args:
            start: the first index; the minimum index if not given.
            end: the index behind the last one; the log's size if not given.

        Raises:
            ValueError: entries from ``start`` on were pruned.
            LogDamaged: a bundle is missing, or ends too soon.
            OSError: one cannot be read.
        """
        end = self.size if end is None else min(end, self.size)
        least = self.minimum_index
        start = least if start is None else start
        if start < least:
            raise ValueError(f"entries before {least} were pruned; {start} is one of them")
        for number in range(start >> HEIGHT, -(-end // WIDTH)):
            first = number << HEIGHT
            content = self.files.bundle(number, self.size)
            if content is None:
                raise LogDamaged(f"the bundle of entry {max(first, start)} is missing", first)
            index = first
            for index, entry in enumerate(_entries(content, first), first):
                if start <= index < end:
                    yield index, entry
            if index + 1 < min(first + WIDTH, end):
                raise LogDamaged(f"the bundle of entry {index + 1} ends before it", index + 1)

    def journal_entries(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Index and entry of those that the journal still has, published or not.

        While the log is written these are the ones at one moment.

        Raises:
            LogDamaged: one is damaged.
            OSError: a file cannot be read.
        """
        found = segments.read_all(self.path / "journal", start)
        yield from (pair for pair in found if pair[0] >= start)

    def entry(self, index: int) -> bytes:
        """One entry under the checkpoint.

        Raises:
            ValueError: it was pruned, or the log has none of that index.
            LogDamaged: it is missing.
            OSError: it cannot be read.
        """
        for _, found in self.entries(index, index + 1):
            return found
        raise ValueError(f"the log of {self.size} entries has no entry {index}")

    def proof(self, index: int, *, extra: bytes | None = None) -> Proof:
        """The proof that an entry is in the log, under the checkpoint as it is stored.

        Raises:
            ValueError: there is no such entry under the checkpoint.
            LogDamaged: a tile is missing or damaged.
            OSError: one cannot be read.
        """
        hashes = proofs.inclusion_proof(index, self.size, self.hash_at)
        return Proof(index, tuple(hashes), self.note, extra)

    def consistency(self, old_size: int) -> list[bytes]:
        """The proof that the log begins with itself at an older size.

        Raises:
            ValueError: the log is smaller.
            LogDamaged: a tile is missing or damaged.
            OSError: one cannot be read.
        """
        return proofs.consistency_proof(old_size, self.size, self.hash_at)

    def root_at(self, size: int) -> bytes:
        """The root of the log at a size, from its tiles."""
        return proofs.root_at(size, self.hash_at)

    def hash_at(self, level: int, index: int) -> bytes:
        """The hash over entries ``index << level`` to ``(index + 1) << level``.

        Raises:
            LogDamaged: a tile is missing or too short.
            OSError: one cannot be read.
        """
        try:
            return tiles.subtree_hash(
                lambda tile_level, number: self.files.hashes(tile_level, number, self.size),
                level,
                index,
            )
        except ValueError as error:
            raise LogDamaged(str(error), index << level) from None


def _entries(content: bytes, first: int) -> Iterator[bytes]:
    index = first
    try:
        for entry in tiles.entries_in(content):
            yield entry
            index += 1
    except ValueError as error:
        raise LogDamaged(f"entry {index} is damaged: {error}", index) from None
