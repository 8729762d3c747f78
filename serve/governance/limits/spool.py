"""The spool: usage that the database did not take, in a file of this server's own.

A line is a settlement: a checksum and JSON. It is on the disk before the answer ends, and stays
there until the database has everything; then the file is emptied. What a crash tore at the end is
cut and kept beside it: its request was never told that it is written. Lines that a disk damaged are
passed over, and those behind them still sent. A server takes over what another, which has ended,
left in the same folder.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models import durable
from serve.storage.ledger import Settlement

log = logging.getLogger(__name__)

MAX_BYTES = 64 << 20
"""Some 60,000 requests."""
MAX_SERVERS = 64
"""Servers that may share a folder."""
MAX_LINE_BYTES = 1 << 20
NAME = "usage-spool-{}.jsonl"
REJECTED = "usage-rejected.jsonl"


class Spool:
    """A file of settlements that the database does not have yet.

    Args:
        folder: made where it is not there.
        max_bytes: from there on ``is_full``; what runs then is still taken.

    Raises:
        OSError: no file of it can be used.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._max_bytes = max_bytes
        self._file, self._path = _open_free(folder)
        self._is_closed = False
        self._read_at = self._next_at = 0
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._size, self.num_rows = _repair(self._file, self._path)
        for path in sorted(folder.glob(NAME.format("*"))):
            if path != self._path:
                self._take_over(path)

    @property
    def is_full(self) -> bool:
        """Whether nobody should be let in whose usage would have to go here."""
        return self._size >= self._max_bytes

    @property
    def is_empty(self) -> bool:
        return self._size == 0 and not self._waiting

    async def append(self, settlement: Settlement) -> None:
        """Write a settlement, and return when it is on the disk.

        Raises:
            OSError: it is not.
        """
        if self._is_closed:
            raise OSError(errno.EBADF, "the spool is closed")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((_line(settlement), future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await future

    def oldest(self, most: int) -> list[Settlement]:
        """Settlements from the beginning of what was not yet sent, at most so many."""
        found: list[Settlement] = []
        self._next_at = self._read_at
        for settlement, _, end in _entries(self._file, self._read_at):
            if end > self._size:  # it is being written just now, and counted afterwards
                break
            found.append(settlement)
            self._next_at = end
            if len(found) >= most:
                break
        return found

    def sent(self, num: int) -> None:
        """Pass over what ``oldest`` gave: the database has it. When that is all, empty the file.

        That is not synced, as requests would wait for it: what comes back after a power cut is sent
        again, and changes nothing.

        Raises:
            OSError: the file cannot be emptied.
        """
        self._read_at = self._next_at
        self.num_rows = max(0, self.num_rows - num)
        if self._read_at >= self._size and not self._waiting and not self._is_flushing:
            os.ftruncate(self._file, 0)
            self._size = self._read_at = self.num_rows = 0

    def set_aside(self, settlement: Settlement) -> None:
        """Write what no ledger takes into a file for people, ``usage-rejected.jsonl``.

        Raises:
            OSError: it is not on the disk.
        """
        _add_to(self._path.with_name(REJECTED), _line(settlement))

    async def close(self) -> None:
        """Finish what is being written, and let go of the file; once."""
        if self._is_closed:
            return
        self._is_closed = True  # the number of its descriptor may soon be another file's
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        os.close(self._file)

    @property
    def _is_flushing(self) -> bool:
        return self._flushing is not None and not self._flushing.done()

    async def _flush(self) -> None:
        """Write all that waits, together; again while more came meanwhile."""
        while self._waiting:
            taken, self._waiting = self._waiting, []
            data = b"".join(line for line, _ in taken)
            try:
                await asyncio.to_thread(_write, self._file, data, self._size)
            except OSError as error:
                log.error("usage cannot be written down", extra={"reason": error.strerror})  # noqa: TRY400
                for _, future in taken:
                    if not future.done():
                        future.set_exception(OSError(error.errno, error.strerror))
            else:
                self._size += len(data)
                self.num_rows += len(taken)
                for _, future in taken:
                    if not future.done():
                        future.set_result(None)

    def _take_over(self, path: Path) -> None:
        """Append the file of a server that has ended to ours, and remove it."""
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            durable.lock(file, wait=False)
            size, num_rows = _repair(file, path)
            _write(self._file, os.pread(file, size, 0), self._size)
            self._size += size
            self.num_rows += num_rows
            path.unlink()
        except BlockingIOError:
            pass  # its server runs
        finally:
            os.close(file)


def _open_free(folder: Path) -> tuple[int, Path]:
    """The first file that no other server holds, locked."""
    for number in range(MAX_SERVERS):
        path = folder / NAME.format(number)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(path, flags, 0o600)
        try:
            durable.lock(file, wait=False)
        except BlockingIOError:
            os.close(file)
        else:
            if os.fstat(file).st_nlink:
                durable.sync_folder(folder)
                return file, path
            os.close(file)  # another server has just taken it over, and removed it
    raise OSError(0, f"{MAX_SERVERS} servers keep their usage in it already", str(folder))


def _line(settlement: Settlement) -> bytes:
    text = json.dumps(settlement.as_json(), separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _write(file: int, data: bytes, at: int) -> None:
    """Write at the end that is known, over what a failed write may have left, and sync."""
    os.ftruncate(file, at)
    written = 0
    while written < len(data):
        written += os.pwrite(file, data[written:], at + written)
    durable.sync(file)


def _entries(file: int, start: int) -> Iterator[tuple[Settlement, int, int]]:
    """Settlements from an offset on, with where each begins and ends; bad lines are passed over."""
    at, rest = start, b""
    while True:
        chunk = os.pread(file, 1 << 16, at + len(rest))
        rest += chunk
        *lines, rest = rest.split(b"\n")
        for line in lines:
            begins_at, at = at, at + len(line) + 1
            if (settlement := _parsed(line)) is not None:
                yield settlement, begins_at, at
        if not chunk or len(rest) > MAX_LINE_BYTES:
            return


def _parsed(line: bytes) -> Settlement | None:
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        document: Any = json.loads(text)
        return Settlement.from_json(document)
    except (ValueError, KeyError, TypeError):
        return None


def _repair(file: int, path: Path) -> tuple[int, int]:
    """Cut what is torn at the end. Returns bytes up to the last whole row, and the whole rows."""
    size, num_rows, bad = 0, 0, b""
    for _, start, end in _entries(file, 0):
        bad += os.pread(file, start - size, size)
        size, num_rows = end, num_rows + 1
    torn = os.pread(file, max(0, os.fstat(file).st_size - size), size)
    if bad or torn:
        log.warning(
            "the usage spool was torn or damaged: what cannot be read is kept beside it",
            extra={"file": path.name, "bytes": len(bad) + len(torn), "rows": num_rows},
        )
        _add_to(path.with_suffix(".torn"), bad + torn)
    if torn:
        os.ftruncate(file, size)
        durable.sync(file)
    return size, num_rows


def _add_to(path: Path, data: bytes) -> None:
    """Add to a file for people, and sync it."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(path, flags, 0o600)
    try:
        os.write(file, data)
        durable.sync(file)
    finally:
        os.close(file)
