"""A witness's own copy of a log's leaf hashes, 32 bytes an entry: with it the witness can say which
entry was changed, where a signature alone can only say that something was.

What is added is checked against the root that is to be cosigned before it counts, so that a log
cannot slip hashes into the copy that its signed tree does not have. ``peaks`` has the roots of the
perfect subtrees of what was added, so that a check reads only what is new.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from models import durable, plain_file
from serve.governance.audit.tlog.hashing import EMPTY_ROOT, HASH_BYTES, node_hash

_CHUNK_LEAVES: Final = 4096


class Peaks:
    """The roots of the perfect subtrees that a tree of some size is made of, largest first.

    It is what RFC 6962, section 2.1 needs to go on: a leaf joins its equals, like a carry.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)

    def add(self, leaf: bytes) -> None:
        """Append a leaf's hash."""
        carried, size = leaf, self.size
        while size & 1:
            carried = node_hash(self.hashes.pop(), carried)
            size >>= 1
        self.hashes.append(carried)
        self.size += 1

    def root(self) -> bytes:
        """The tree's root."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


class CopyRefusedError(Exception):
    """New leaves that do not lead to the root that is to be signed."""


class LeafCopy:
    """The copy of one log's leaves, in the witness's folder of it.

    Args:
        size: entries that were cosigned, and their root: what lies beyond them never counted.
    """

    def __init__(self, folder: Path, *, size: int, root: bytes) -> None:
        self._path = folder / "leaves"
        self._peaks_path = folder / "peaks"
        self.size = size
        self._root = root

    @property
    def is_whole(self) -> bool:
        """Whether there is a leaf for every entry that was cosigned."""
        if self.size == 0:
            return True
        return self._path.exists() and self._path.stat().st_size >= self.size * HASH_BYTES

    def add(self, leaves: Iterable[bytes], size: int, root: bytes) -> None:
        """Append the leaves from the copy's size to another, if they lead to the root.

        Raises:
            CopyRefusedError: they do not; the copy counts as before.
            OSError: they could not be written.
        """
        peaks = self._peaks()
        self._path.parent.mkdir(exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(self.size * HASH_BYTES)
            file.seek(0, os.SEEK_END)
            for leaf in leaves:
                peaks.add(leaf)
                file.write(leaf)
            if peaks.size != size or peaks.root() != root:
                file.truncate(self.size * HASH_BYTES)
                raise CopyRefusedError
            file.flush()
            durable.sync(file.fileno())
        durable.write_whole(self._peaks_path, b"".join(peaks.hashes), mode=0o600)
        self.size, self._root = size, root

    def leaves(self) -> Iterator[bytes]:
        """Hashes of the entries that were cosigned, in order."""
        if self.size == 0:
            return
        left = self.size
        with plain_file.opened(self._path) as file:
            while left and (chunk := file.read(min(left, _CHUNK_LEAVES) * HASH_BYTES)):
                for at in range(0, len(chunk), HASH_BYTES):
                    yield chunk[at : at + HASH_BYTES]
                    left -= 1

    def is_what_was_cosigned(self) -> bool:
        """Whether the copy leads to the cosigned root: it reads all of it."""
        return self.is_whole and self._recomputed().root() == self._root

    def _peaks(self) -> Peaks:
        """Peaks of what was cosigned: those on the disk, or where they are of another size anew."""
        if self.size and self._peaks_path.exists():
            data = plain_file.read(self._peaks_path, 64 * HASH_BYTES)
            hashes = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
            stored = Peaks(self.size, hashes)
            if len(hashes) == self.size.bit_count() and stored.root() == self._root:
                return stored
        return self._recomputed()

    def _recomputed(self) -> Peaks:
        peaks = Peaks()
        for leaf in self.leaves():
            peaks.add(leaf)
        return peaks
