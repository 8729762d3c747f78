"""The right edge of a growing tree: all that is needed to append to it and to tell its root.

For each level of tiles it holds the hashes of the one that is not full yet, so at most 255.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from serve.governance.audit.tlog.hashing import EMPTY_ROOT, HASH_BYTES, root_of
from serve.governance.audit.tlog.tiles import HEIGHT, MAX_LEVEL, WIDTH, Tile, hashes_in

FullTile = tuple[Tile, list[bytes]]
"""A tile that has just become full, with its 256 hashes."""


class Frontier:
    """A tree of ``size`` entries, of which only the right edge is kept."""

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[list[bytes]] = []

    @classmethod
    def restored(cls, size: int, read_tile: Callable[[int, int], bytes]) -> Frontier:
        """The frontier of a tree whose tiles are kept.

        Args:
            size: entries of the tree.
            read_tile: takes level and index of a tile, returns its hashes as far as there are any.

        Raises:
            ValueError: a tile is too short for a tree of this size.
        """
        found = cls()
        found.size = size
        for level in range(MAX_LEVEL + 1):
            if not size >> HEIGHT * level:
                break
            width = (size >> HEIGHT * level) % WIDTH
            tile = Tile(level, size >> HEIGHT * (level + 1), width)
            content = read_tile(level, tile.index)[: width * HASH_BYTES] if width else b""
            if len(content) != width * HASH_BYTES:
                raise ValueError(f"{tile.path} has {len(content)} bytes, not {width * HASH_BYTES}")
            found._levels.append(hashes_in(content))
        return found

    def copy(self) -> Frontier:
        """A tree of its own that grows from here."""
        twin = Frontier()
        twin.size, twin._levels = self.size, [list(level) for level in self._levels]
        return twin

    def append(self, leaves: Iterable[bytes]) -> Iterator[FullTile]:
        """Take leaf hashes in, and give the tiles that become full, lower levels first.

        Nothing is taken in before the iterator is used up.
        """
        if not self._levels:
            self._levels.append([])
        lowest = self._levels[0]
        for leaf in leaves:
            lowest.append(leaf)
            self.size += 1
            if len(lowest) == WIDTH:
                yield from self._carry()
                lowest = self._levels[0]

    def hashes(self, level: int) -> list[bytes]:
        """The hashes in the tile of this level that is not full yet."""
        return self._levels[level] if level < len(self._levels) else []

    def root(self) -> bytes:
        """The tree's root hash."""
        rest: list[bytes] = []
        for level in self._levels:
            if level or rest:
                rest = [root_of([*level, *rest])]
        return rest[0] if rest else EMPTY_ROOT

    def _carry(self) -> Iterator[FullTile]:
        for level in range(MAX_LEVEL + 1):
            nodes = self._levels[level]
            if len(nodes) < WIDTH:
                return
            self._levels[level] = []
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(root_of(nodes))
            yield Tile(level, (self.size >> HEIGHT * (level + 1)) - 1), nodes
