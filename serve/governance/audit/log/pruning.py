"""Pruning for retention: bundles of old entries go, and the tree stays as it is.

The minimum index of tlog-tiles is noted in the file ``minimum-index`` before anything is removed,
with a checksum, so that a bundle that is missing without it is damage. Hash tiles are kept: they
are 33 bytes an entry, and with them old proofs and every witness can still be followed.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from models import durable, plain_file
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.tile_files import MODE, TileFiles
from serve.governance.audit.tlog.tiles import ENTRIES, WIDTH, Tile

NAME = "minimum-index"
_TEXT = re.compile(r"(0|[1-9][0-9]{0,19})\n([0-9a-f]{64})\n")


def minimum_index(folder: Path) -> int:
    """The index below which entries may be gone; 0 where nothing was pruned.

    Raises:
        LogDamaged: the file that says it is damaged.
        OSError: it cannot be read.
    """
    try:
        text = plain_file.read_text(folder / NAME, 200)
    except FileNotFoundError:
        return 0
    found = _TEXT.fullmatch(text)
    if found is None or text != _text(int(found[1])):
        raise LogDamaged(f"{folder / NAME} is damaged: it does not say what was pruned", 0)
    return int(found[1])


def prune(files: TileFiles, index: int, size: int) -> int:
    """Remove the bundles all of whose entries lie before an index.

    Args:
        files: of the log.
        index: of the first entry that is wanted; the bundle that it is in stays whole.
        size: entries under the checkpoint.

    Returns:
        The minimum index: the first entry of that bundle. It never falls.

    Raises:
        ValueError: the log under its checkpoint is not so long.
        LogDamaged: as in `minimum_index`.
        OSError: a file cannot be written or removed.
    """
    if not 0 <= index <= size:
        raise ValueError(
            f"entries before {index} cannot be pruned: {size} are under the checkpoint"
        )
    least = max(index - index % WIDTH, minimum_index(files.folder))
    if not least:
        return 0
    durable.write_whole(files.folder / NAME, _text(least).encode(), mode=MODE)
    for path in files.found():
        try:
            tile = Tile.parse(path.as_posix())
        except ValueError:
            continue
        if tile.level == ENTRIES and (tile.index + 1) * WIDTH <= least:
            files.remove(tile)
    return least


def _text(index: int) -> str:
    return f"{index}\n{hashlib.sha256(f'minimum index {index}'.encode()).hexdigest()}\n"
