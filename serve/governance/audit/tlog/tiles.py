"""Tiles and entry bundles of c2sp.org/tlog-tiles: paths, widths and contents.

A tile of level L holds hashes of full subtrees of 256**L entries each, 256 of them when it is full.
An entry bundle holds the entries that a tile of level 0 has the hashes of.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from serve.governance.audit.tlog.hashing import HASH_BYTES, root_of

HEIGHT = 8
WIDTH = 1 << HEIGHT
"""Hashes in a full tile, and entries in a full bundle."""
MAX_LEVEL = 63 // HEIGHT
"""The highest level that a tree of fewer than 2**64 entries has."""
MAX_ENTRY_BYTES = 0xFFFF
MAX_BUNDLE_BYTES = WIDTH * (2 + MAX_ENTRY_BYTES)
ENTRIES = -1
"""Stands for a level where a bundle of entries is meant."""
_LENGTH = struct.Struct(">H")
_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """The name of a tile or bundle.

    Attributes:
        level: 0 and up, or ``ENTRIES``.
        index: within its level.
        width: hashes or entries, 1 to 256; below 256 it is a partial one.
    """

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """The place below the log's folder or URL."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        suffix = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{index_path(self.index)}{suffix}"

    @property
    def first_entry(self) -> int:
        """The index of the first entry that it covers."""
        return self.index << HEIGHT * (max(self.level, 0) + 1)

    @classmethod
    def parse(cls, path: str) -> Tile:
        """The tile that a path names.

        Raises:
            ValueError: it names none, or not in the one way that a tile's path is written.
        """
        found = _PATH.fullmatch(path)
        if found is None:
            raise ValueError(f"{path!r} is not the path of a tile")
        level = ENTRIES if found["level"] == "entries" else int(found["level"])
        index = int(found["index"].replace("/", "").replace("x", ""))
        tile = cls(level, index, int(found["width"]) if found["width"] else WIDTH)
        if tile.path != path or level > 63:
            raise ValueError(f"{path!r} is not the path of a tile")
        return tile


def index_path(index: int) -> str:
    """A tile's index in elements of three digits: 1234067 is ``x001/x234/067``."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])


def partial_tiles(size: int) -> list[Tile]:
    """The partial tiles, of hashes and of entries, that a tree of so many entries has."""
    tiles = [
        Tile(level, size >> HEIGHT * (level + 1), width)
        for level in range(MAX_LEVEL + 1)
        if (width := (size >> HEIGHT * level) % WIDTH)
    ]
    if size % WIDTH:
        tiles.append(Tile(ENTRIES, size >> HEIGHT, size % WIDTH))
    return tiles


def hashes_in(tile: bytes) -> list[bytes]:
    """The hashes of a tile's content."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def subtree_hash(read_tile: Callable[[int, int], bytes], level: int, index: int) -> bytes:
    """The hash over entries ``index << level`` to ``(index + 1) << level``, from tiles.

    Args:
        read_tile: takes level and index of a tile, returns its hashes as far as there are any.
        level: of the binary tree, 0 for leaves.
        index: within that level.

    Raises:
        ValueError: the tile is too short.
    """
    tile_level, height = divmod(level, HEIGHT)
    first = index << height
    at, num = first % WIDTH * HASH_BYTES, 1 << height
    nodes = hashes_in(read_tile(tile_level, first >> HEIGHT)[at : at + num * HASH_BYTES])
    if len(nodes) < num or len(nodes[-1]) < HASH_BYTES:
        raise ValueError(f"the tile {Tile(tile_level, first >> HEIGHT).path} is too short")
    return root_of(nodes)


def bundle(entries: Sequence[bytes]) -> bytes:
    """The content of an entry bundle.

    Raises:
        ValueError: an entry is longer than 65,535 bytes.
    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise ValueError(
                f"an entry has {len(entry):,} bytes; at most {MAX_ENTRY_BYTES:,} are possible"
            )
        parts += (_LENGTH.pack(len(entry)), entry)
    return b"".join(parts)


def entries_in(content: bytes) -> Iterator[bytes]:
    """The entries of a bundle, one after the other.

    Raises:
        ValueError: the last one is cut, once those before it were given.
    """
    at, end = 0, len(content)
    while at < end:
        start = at + 2
        if start > end or (at := start + _LENGTH.unpack_from(content, start - 2)[0]) > end:
            raise ValueError("the bundle ends within an entry")
        yield content[start:at]
