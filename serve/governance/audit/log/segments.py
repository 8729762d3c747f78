"""Segments of a journal: files of a folder, each named after the index of its first entry.

A segment is there whole with its header, or not at all; only the last one is written to. When a
journal is opened its last segment is written anew: what an earlier process could not bring to the
disk may be in the system's memory alone, marked as if it were written. A full disk has no room for
that; there the same bytes are written over.
"""

from __future__ import annotations

import os
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from models import durable, plain_file
from serve.governance.audit.log import frames
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.frames import Scan

_NAME = re.compile(r"([0-9]{20})\.journal")
MAX_SEGMENT_BYTES = 1 << 30
"""More than a journal ever lets one become."""
NUM_TRIES = 5
"""For a reader, whom a writer takes away the file that it was about to read."""
MODE = 0o600


@dataclass(frozen=True)
class Recovery:
    """The outcome of opening a journal.

    Attributes:
        num_entries: that are durable now.
        torn_bytes: of a tail that was cut, and lies in ``quarantine``; 0 where it was whole.
        quarantine: the file that holds them.
    """

    num_entries: int = 0
    torn_bytes: int = 0
    quarantine: Path | None = None

    @property
    def text(self) -> str:
        """A clause for a log line; "" where nothing was cut."""
        if not self.torn_bytes:
            return ""
        return (
            f"{self.torn_bytes} bytes behind entry {self.num_entries} were torn, and lie in "
            f"{self.quarantine}"
        )


def segment_path(folder: Path, first_index: int) -> Path:
    return folder / f"{first_index:020d}.journal"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """First index and file of each segment, in order."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(name[1]), path) for name, path in found if name is not None)


def read_segment(path: Path) -> tuple[Scan, bytes]:
    """The frames of a segment, and the bytes behind them.

    Raises:
        LogDamaged: its header is damaged, or entries were lost that had been durable.
        OSError: it cannot be read.
    """
    data = plain_file.read(path, MAX_SEGMENT_BYTES)
    first_index = int(path.name.partition(".")[0])
    if len(data) < frames.HEADER_BYTES:
        return Scan(first_index, 0), data
    found = frames.scan(data)
    if found is None or found.first_index != first_index:
        raise LogDamaged(f"the journal {path} has a damaged beginning", first_index)
    if found.lost:
        raise LogDamaged(
            f"entry {found.next_index} in the journal {path} is damaged, at byte {found.end}: "
            f"{found.lost}, so this is no torn tail. Restore the file from a copy",
            found.next_index,
        )
    return found, data[found.end :]


def read_tail(path: Path, start: int) -> bytes:
    """The bytes of a segment from an offset on.

    Raises:
        OSError: it cannot be read.
    """
    return plain_file.read(path, MAX_SEGMENT_BYTES)[start:]


def read_segments(folder: Path, start: int = 0) -> Iterator[tuple[Path, Scan, bytes]]:
    """The segments in order, each with its frames and the torn bytes behind the last one.

    Args:
        folder: of the segments.
        start: an index; segments that end before it are passed over.

    Raises:
        LogDamaged: one is damaged, or entries between two of them are missing.
        OSError: one cannot be read.
    """
    listed = segments(folder)
    while len(listed) > 1 and listed[1][0] <= start:
        del listed[0]
    expected: int | None = None
    for number, (first_index, path) in enumerate(listed):
        if expected is not None and first_index != expected:
            raise LogDamaged(f"the journal {folder} has no entry {expected}", expected)
        found, torn = read_segment(path)
        if torn and number + 1 < len(listed):
            raise LogDamaged(
                f"entry {found.next_index} in the journal {path} is damaged: a later file follows",
                found.next_index,
            )
        expected = found.next_index
        yield path, found, torn


def read_all(folder: Path, start: int = 0) -> list[tuple[int, bytes]]:
    """Index and payload of all that the segments hold, while another process may drop some.

    Args:
        folder: of the segments.
        start: an index; segments that end before it are passed over.

    Raises:
        LogDamaged: as in `read_segments`.
        OSError: one cannot be read.
    """
    for tries_left in reversed(range(NUM_TRIES)):
        try:
            return [
                pair
                for _, found, _ in read_segments(folder, start)
                for pair in enumerate(found.payloads, found.first_index)
            ]
        except FileNotFoundError:  # dropped, as bundles have its entries now
            if not tries_left:
                raise
    return []


def create(folder: Path, first_index: int) -> tuple[int, int, int]:
    """Make a segment, on the disk with its name, and open it.

    Returns:
        Descriptor, salt and size.

    Raises:
        OSError: it cannot be written.
    """
    return rewrite(segment_path(folder, first_index), Scan(first_index, 0))


def rewrite(path: Path, found: Scan) -> tuple[int, int, int]:
    """Put a segment's valid frames into a new file of its name, on the disk, and open it.

    Returns:
        Descriptor, salt and size.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    salt = secrets.randbits(32)
    first = found.first_index
    body = frames.frames(found.payloads, first, found.next_index, salt)
    durable.write_whole(path, frames.header(first, salt) + body, mode=MODE)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags), salt, frames.HEADER_BYTES + len(body)


def write_over(path: Path, found: Scan) -> tuple[int, int, int]:
    """Write a segment's valid frames to where they are, cut what follows, and sync.

    Returns:
        Descriptor, salt and size.

    Raises:
        OSError: it cannot be written.
    """
    data = plain_file.read(path, MAX_SEGMENT_BYTES)[: found.end]
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with ExitStack() as undo:
        undo.callback(os.close, descriptor)
        os.ftruncate(descriptor, len(data))
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        undo.pop_all()
    return descriptor, found.salt, len(data)


def cut(path: Path, end: int) -> None:
    """Cut a segment behind an offset, on the disk; by a descriptor that saw no error.

    Raises:
        OSError: it cannot be cut.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, end)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_into_quarantine(folder: Path, index: int, torn: bytes) -> Path:
    """Keep what was cut from a journal's tail, on the disk.

    Raises:
        OSError: it cannot be written.
    """
    make_folder(folder)
    path = folder / f"{index:020d}-{zlib.crc32(torn):08x}.torn"
    durable.write_whole(path, torn, mode=MODE)
    return path


def make_folder(folder: Path) -> None:
    """Make a folder, with its name on the disk, where there is none.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    durable.sync_folder(folder.parent)
