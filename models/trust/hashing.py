"""SHA-256 of many files at once, at the speed of the cores or of the disk.

One thread per file, the largest files first, because a SHA-256 cannot be split. hashlib lets go of
the interpreter's lock while it reads and hashes, so the threads run side by side. Reads into one
buffer per thread are as fast here as a memory map and, unlike one, turn a bad disk block into an
error instead of a signal; docs/lab-notes.md has the figures.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models import hub_cache, plain_file
from models.errors import UnstableFileError
from models.memory import host_cpus

CHUNK_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

OnBytes = Callable[[int], None]
"""A callback: so many bytes more were hashed. Called by several threads, one at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHash:
    """The hash of a file, and what else was seen of it.

    Attributes:
        sha256: 64 lower-case hexadecimal digits.
        size: bytes.
        stat: of the open file, from before its first byte was read.
    """

    sha256: str
    size: int
    stat: os.stat_result


def sha256_files(paths: Sequence[Path], on_bytes: OnBytes | None = None) -> list[str]:
    """The SHA-256 of each file as hexadecimal digits, in the order given.

    Raises:
        OSError: one cannot be read, is a link or is no plain file; its ``filename`` says which.
        UnstableFileError: one was written to meanwhile.
    """
    return [one.sha256 for one in hash_files(paths, on_bytes)]


def hash_files(paths: Sequence[Path], on_bytes: OnBytes | None = None) -> list[FileHash]:
    """The same, with what else was seen of each file. Stops all threads at the first error.

    Raises:
        OSError: as in `sha256_files`.
        UnstableFileError: as in `sha256_files`.
    """
    if not paths:
        return []
    lock, stop = threading.Lock(), threading.Event()
    has_failed = False  # stays so when on_bytes raises; the waiting thread may wake reads later

    def count(num_bytes: int) -> None:
        nonlocal has_failed
        with lock:
            if has_failed or stop.is_set():
                raise _StoppedError
            if on_bytes is not None:
                has_failed = True
                on_bytes(num_bytes)
                has_failed = False

    sizes = [hub_cache.place_of(path).lstat().st_size for path in paths]
    largest_first = sorted(range(len(paths)), key=lambda index: -sizes[index])
    num_threads = min(len(paths), host_cpus.num_threads())
    with ThreadPoolExecutor(num_threads, thread_name_prefix="sha256") as pool:
        futures = {index: pool.submit(_hash_file, paths[index], count) for index in largest_first}
        try:
            wait(futures.values(), return_when=FIRST_EXCEPTION)
        finally:  # after an error or Ctrl-C the threads must not go on for gigabytes
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
    for future in futures.values():
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, _StoppedError):
            raise error
    return [futures[index].result() for index in range(len(paths))]


class _StoppedError(Exception):
    """Another file failed, or the wait was interrupted."""


def _hash_file(path: Path, count: OnBytes) -> FileHash:
    digest, total = hashlib.sha256(), 0
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with _opened(path) as descriptor:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(0, "is not a plain file", str(path))
        if before.st_size > plain_file.MAX_HOLE_BYTES:
            _check_holes(descriptor, path)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while num_bytes := os.readv(descriptor, [buffer]):
            digest.update(buffer[:num_bytes])
            total += num_bytes
            if total > before.st_size:  # it may grow as fast as it is read
                break
            count(num_bytes)
        after = os.fstat(descriptor)
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, total):
        raise UnstableFileError(f"{path} was written to while it was read; try again.")
    return FileHash(sha256=digest.hexdigest(), size=total, stat=before)


def _check_holes(descriptor: int, path: Path) -> None:
    """Raises OSError: hours would go into hashing zeros that are not on the disk."""
    holes = plain_file.hole_bytes(descriptor)
    if holes > plain_file.MAX_HOLE_BYTES:
        raise OSError(0, f"claims {holes:,} bytes that are not on the disk", str(path))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The file, read only; of links a cache's alone. Every OSError from within names the file."""
    descriptor = os.open(hub_cache.place_of(path), _FLAGS)
    try:
        yield descriptor
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)
