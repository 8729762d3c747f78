"""Files of a log that its checkpoint does not need: older partial tiles, and what a crash left.

They are compared too: a file that does not fit the tree is named.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve.governance.audit.log.bad_entry import BadEntryFound
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.tile_files import TileFiles
from serve.governance.audit.tlog.frontier import Frontier
from serve.governance.audit.tlog.hashing import HASH_BYTES, leaf_hash
from serve.governance.audit.tlog.tiles import ENTRIES, HEIGHT, WIDTH, Tile, bundle, entries_in


def check_others(
    files: TileFiles, right: set[Tile], tree: Frontier, behind: Sequence[bytes]
) -> None:
    """Compare all tiles and bundles but those that are known to be right.

    Args:
        files: of the log.
        right: those that were compared.
        tree: of the entries under the checkpoint; it grows by those behind.
        behind: entries of the journal that are not under the checkpoint.

    Raises:
        BadEntryFound: a file does not fit; of several the one with the first entry.
    """
    size = tree.size
    new = _new_hashes(tree, behind)
    found: list[BadEntryFound] = []
    for path in files.found():
        try:
            tile = Tile.parse(path.as_posix())
        except ValueError:
            found.append(BadEntryFound(None, path.as_posix(), "it is no file of a log"))
            continue
        if tile not in right:
            try:
                bad = _misfit(files, tile, size, new, behind)
            except (LogDamaged, OSError) as error:
                bad = BadEntryFound(tile.first_entry, tile.path, str(error))
            if bad is not None:
                found.append(bad)
    if found:
        raise min(found, key=lambda one: -1 if one.bad.index is None else one.bad.index)


def _new_hashes(tree: Frontier, behind: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """Hashes of full subtrees that end behind the checkpoint, by level of tiles and index."""
    size = tree.size
    leaves = [leaf_hash(entry) for entry in behind]
    new = {(0, size + number): leaf for number, leaf in enumerate(leaves)}
    for tile, _ in tree.append(leaves):
        new[tile.level + 1, tile.index] = tree.hashes(tile.level + 1)[-1]
    return new


def _misfit(
    files: TileFiles,
    tile: Tile,
    size: int,
    new: dict[tuple[int, int], bytes],
    behind: Sequence[bytes],
) -> BadEntryFound | None:
    content = files.content(tile)
    if content is None:  # it was removed meanwhile, as the full one is there
        return None
    level = max(tile.level, 0)
    first = tile.index * WIDTH
    num_known = min(max((size >> HEIGHT * level) - first, 0), tile.width)
    if tile.level == ENTRIES:
        known = files.bundle(tile.index, size) if num_known else b""
        if known is None:  # pruned, and this partial one was left
            return None
        kept = _prefix(known, num_known)
        rest = bundle(
            [*behind[max(first - size, 0) : first + tile.width - size]]
            if first + tile.width > size
            else []
        )
        expected = kept + rest
        num_entries = num_known + max(
            0, min(first + tile.width, size + len(behind)) - max(first, size)
        )
    else:
        hashes = files.hashes(level, tile.index, size) if num_known else b""
        expected = hashes[: num_known * HASH_BYTES]
        num_entries = num_known
        while num_entries < tile.width and (level, first + num_entries) in new:
            expected += new[level, first + num_entries]
            num_entries += 1
    if content == expected and num_entries == tile.width:
        return None
    index = first + _first_difference(tile, content, expected)
    return BadEntryFound(index << HEIGHT * level, tile.path, "the file does not fit the log")


def _prefix(content: bytes, num: int) -> bytes:
    end = 0
    for number, entry in enumerate(entries_in(content)):
        if number == num:
            break
        end += 2 + len(entry)
    return content[:end]


def _first_difference(tile: Tile, content: bytes, expected: bytes) -> int:
    """The number within the tile of the first entry or hash that differs."""
    if tile.level != ENTRIES:
        pairs = zip(content, expected, strict=False)
        at = next(
            (at for at, (a, b) in enumerate(pairs) if a != b), min(len(content), len(expected))
        )
        return at // HASH_BYTES
    number, end = 0, 0
    for entry in entries_in(expected):
        end += 2 + len(entry)
        if content[:end] != expected[:end]:
            return number
        number += 1
    return number
