"""Files of rules and keys whose changes are recorded: with a digest, and no content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models import plain_file

MAX_FILE_BYTES: Final = 64 << 20
PIECE_BYTES: Final = 1 << 20
GONE: Final = "gone"

Signature = tuple[int, ...] | None


class WatchedFiles:
    """Files by the names of their settings. Its methods block.

    Args:
        files: that are watched.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        self._known: dict[str, Signature] = {}
        self._digests: dict[str, str] = {}

    def digests(self) -> dict[str, str]:
        """Digests of all of them, as they are now."""
        for name in self._files:
            self._look(name)
        return dict(self._digests)

    def changed(self) -> dict[str, str]:
        """Digests of those that changed since they were last asked for."""
        return {name: self._digests[name] for name in self._files if self._look(name)}

    def forget(self, names: Mapping[str, str]) -> None:
        """Tell these again: nobody could record them."""
        for name in names:
            self._known.pop(name, None)
            self._digests.pop(name, None)

    def _look(self, name: str) -> bool:
        """Read a file again if it looks another. Whether its content is another."""
        path = self._files[name]
        signature = _signature(path)
        if name in self._known and self._known[name] == signature:
            return False
        self._known[name] = signature
        before, digest = self._digests.get(name), _digest(path)
        self._digests[name] = digest
        return digest != before


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _digest(path: Path) -> str:
    try:
        content = plain_file.read(path, MAX_FILE_BYTES, may_be_link=True)
    except OSError:
        return GONE
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_of_folder(folder: Path) -> str:
    """The digest of a folder's plain files, by their names; ``gone`` where they cannot be read.

    Blocks.
    """
    whole = hashlib.sha256()
    try:
        for path in sorted(folder.iterdir()):
            if path.is_file():
                content = hashlib.sha256()
                with plain_file.opened(path) as file:
                    while piece := file.read(PIECE_BYTES):
                        content.update(piece)
                whole.update(f"{content.hexdigest()}  {path.name}\n".encode())
    except OSError:
        return GONE
    return f"sha256:{whole.hexdigest()}"
