"""Folders of tiles and entry bundles: tlog-tiles, with its rule for pruned logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.independent_tlog.merkle import leaf_hash, root_of
from tests.independent_tlog.notes import Checkpoint, PublicKey, Refused, opened

WIDTH = 256


class BadEntry(Exception):
    """The first entry that is not what the checkpoint says."""

    def __init__(self, index: int) -> None:
        super().__init__(f"entry {index}")
        self.index = index


class Folder:
    """A log in a folder, as its checkpoint has it; the log's key is trusted, the files are not."""

    def __init__(self, path: Path, log_key: PublicKey) -> None:
        self.path = path
        self.checkpoint_data = (path / "checkpoint").read_bytes()
        self.checkpoint, self.note = opened(self.checkpoint_data, log_key)

    def verify(self, minimum_index: int = 0) -> Checkpoint:
        """Check everything from the minimum index on, against the signed root.

        Raises:
            Refused: the tree is not the checkpoint's.
            BadEntry: an entry is not the tree's.
        """
        size = self.checkpoint.size
        if self._root() != self.checkpoint.root:
            raise Refused("the tiles do not make the signed root")
        level, span = 0, WIDTH
        while span <= size:
            for number in range(size // span):
                if (number + 1) * span > minimum_index:
                    self._check_tile(level, number)
            level, span = level + 1, span * WIDTH
        for number in range((size + WIDTH - 1) // WIDTH):
            if min(size, (number + 1) * WIDTH) > minimum_index:
                self._check_bundle(number)
        return self.checkpoint

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Entries as they lie there."""
        for number in range(start // WIDTH, (end + WIDTH - 1) // WIDTH):
            for offset, entry in enumerate(self._bundle(number)):
                if start <= number * WIDTH + offset < end:
                    yield entry

    def _root(self) -> bytes:
        """The root from the right edge: the tiles that are partial at this size, largest first."""
        size, subtrees = self.checkpoint.size, list[tuple[int, bytes]]()
        for level in reversed(range(8)):
            width = size // WIDTH**level % WIDTH
            hashes = self._tile(level, size // WIDTH ** (level + 1), width) if width else []
            at = 0
            for bit in reversed(range(8)):
                if width & 1 << bit:
                    subtrees.append((level, root_of(hashes[at : at + (1 << bit)])))
                    at += 1 << bit
        return _folded([subtree for _, subtree in subtrees])

    def _check_tile(self, level: int, number: int) -> None:
        """Compare a full tile with the hash that the tile above has of it."""
        above = self._tile(level + 1, number // WIDTH, self._width(level + 1, number // WIDTH))
        if root_of(self._tile(level, number, WIDTH)) != above[number % WIDTH]:
            raise Refused(f"tile {number} of level {level} is not what the tile above says")

    def _check_bundle(self, number: int) -> None:
        hashes = self._tile(0, number, self._width(0, number))
        entries = self._bundle(number)
        for offset, expected in enumerate(hashes):
            if offset >= len(entries) or leaf_hash(entries[offset]) != expected:
                raise BadEntry(number * WIDTH + offset)
        if len(entries) != len(hashes):
            raise BadEntry(number * WIDTH + len(hashes))

    def _width(self, level: int, number: int) -> int:
        return min(WIDTH, self.checkpoint.size // WIDTH**level - number * WIDTH)

    def _tile(self, level: int, number: int, width: int) -> list[bytes]:
        data = self._read(str(level), number, width)
        if len(data) < 32 * width or len(data) % 32:
            raise Refused(f"tile {number} of level {level} has {len(data)} bytes")
        return [data[at : at + 32] for at in range(0, 32 * width, 32)]

    def _bundle(self, number: int) -> list[bytes]:
        width = self._width(0, number)
        data, entries = self._read("entries", number, width), list[bytes]()
        at = 0
        while at < len(data) and len(entries) < width:
            num_bytes = int.from_bytes(data[at : at + 2], "big")
            at += 2
            if at + num_bytes > len(data):
                break
            entries.append(data[at : at + num_bytes])
            at += num_bytes
        return entries

    def _read(self, level: str, number: int, width: int) -> bytes:
        """A tile's bytes: the partial one, or the full one where the partial one is gone."""
        digits = f"{number:03d}"
        digits = digits.zfill((len(digits) + 2) // 3 * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        path = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        full = self.path / "tile" / level / path
        partial = full.with_name(f"{full.name}.p") / str(width)
        for place in [full] if width == WIDTH else [partial, full]:
            if place.is_file():
                return place.read_bytes()
        raise Refused(f"there is no {full.relative_to(self.path)} of width {width}")


def _folded(subtrees: list[bytes]) -> bytes:
    """One root of perfect subtrees, from left to right and ever smaller."""
    if not subtrees:
        return root_of([])
    *rest, root = subtrees
    for left in reversed(rest):
        root = root_of([left, root])
    return root
