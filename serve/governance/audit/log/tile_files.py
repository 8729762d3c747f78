"""Tiles, bundles and checkpoint as files of a log's folder, under the paths of tlog-tiles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from models import durable, plain_file
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.segments import make_folder
from serve.governance.audit.tlog.hashing import HASH_BYTES
from serve.governance.audit.tlog.notes import MAX_NOTE_BYTES
from serve.governance.audit.tlog.tiles import (
    ENTRIES,
    HEIGHT,
    MAX_BUNDLE_BYTES,
    WIDTH,
    Tile,
)

CHECKPOINT = "checkpoint"
MODE = 0o600
FOLDER_MODE = 0o700
PARTS = (CHECKPOINT, "tile", "journal")
"""A log has the first before the others; one that lacks it has lost it."""


class TileFiles:
    """The files below a folder. Many may read while one writes: each file is there whole.

    Args:
        folder: of the log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unsynced: set[Path] = set()

    def path(self, tile: Tile) -> Path:
        return self.folder / tile.path

    def content(self, tile: Tile) -> bytes | None:
        """The content of this very file; None where there is none.

        Raises:
            LogDamaged: it is larger than its kind can be.
            OSError: it cannot be read.
        """
        most = MAX_BUNDLE_BYTES if tile.level == ENTRIES else WIDTH * HASH_BYTES
        try:
            return plain_file.read(self.path(tile), most)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except plain_file.TooLargeError as error:
            raise LogDamaged(f"{tile.path} {error.strerror}", tile.first_entry) from None

    def hashes(self, level: int, index: int, size: int) -> bytes:
        """The hashes of a tile, as far as a tree of this size has them, full or partial.

        Raises:
            LogDamaged: it is not there.
            OSError: it cannot be read.
        """
        width = min(WIDTH, (size >> HEIGHT * level) - (index << HEIGHT))
        content = self.content(Tile(level, index))
        if content is None and 0 < width < WIDTH:
            content = self.content(Tile(level, index, width))
            if content is None:  # it became full just now
                content = self.content(Tile(level, index))
        if content is None:
            tile = Tile(level, index, max(width, 1))
            raise LogDamaged(f"the tile {tile.path} is missing", tile.first_entry)
        return content[: width * HASH_BYTES]

    def bundle(self, index: int, size: int) -> bytes | None:
        """The bundle that a tree of this size has at an index, or the full one; None without both.

        Raises:
            OSError: it cannot be read.
        """
        width = min(WIDTH, size - (index << HEIGHT))
        content = self.content(Tile(ENTRIES, index))
        if content is None and 0 < width < WIDTH:
            content = self.content(Tile(ENTRIES, index, width))
            if content is None:
                content = self.content(Tile(ENTRIES, index))
        return content

    def checkpoint(self) -> bytes | None:
        """The signed note; None where there is none.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return plain_file.read(self.folder / CHECKPOINT, MAX_NOTE_BYTES)
        except FileNotFoundError:
            return None

    def write(self, tile: Tile, content: bytes) -> None:
        """Put a file in place. Its name is on the disk after `sync_folders`.

        Raises:
            OSError: it cannot be written.
        """
        path = self.path(tile)
        self._make_parents(path.parent)
        new = durable.new_name(path)
        descriptor = os.open(
            new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, MODE
        )
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(path)
        self._unsynced.add(path.parent)

    def write_checkpoint(self, content: str) -> None:
        """Replace the checkpoint, with its name on the disk.

        Raises:
            OSError: it cannot be written.
        """
        durable.write_whole(self.folder / CHECKPOINT, content.encode(), mode=MODE)

    def sync_folders(self) -> None:
        """Bring the names of all that was written to the disk.

        Raises:
            OSError: it failed.
        """
        for folder in sorted(self._unsynced, key=lambda path: -len(path.parts)):
            durable.sync_folder(folder)
        self._unsynced.clear()

    def remove_partials(self, tile: Tile) -> None:
        """Remove the partial files of a tile that is full now."""
        full = self.path(tile)
        shutil.rmtree(full.with_name(f"{full.name}.p"), ignore_errors=True)

    def remove(self, tile: Tile) -> None:
        """Remove a file that may be there."""
        self.path(tile).unlink(missing_ok=True)

    def found(self) -> Iterator[Path]:
        """All files below ``tile/``, relative to the log's folder; those half written left out."""
        for parent, _, names in os.walk(self.folder / "tile"):
            for name in names:
                if not (name.startswith(".") and name.endswith(".new")):
                    yield (Path(parent) / name).relative_to(self.folder)

    def _make_parents(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            make_folder(one)


def is_log(folder: Path) -> bool:
    """Whether this is a log's folder, or what is left of one."""
    return any((folder / part).exists() for part in PARTS)


def log_folders(folder: Path) -> list[Path]:
    """The logs below a folder, by name; also those that lost their checkpoint.

    Raises:
        OSError: it cannot be read.
    """
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_log(path))
