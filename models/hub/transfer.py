"""Files from an origin to this disk: in parallel, from where an earlier try stopped, and checked.

A file is written to ``parts/<key>`` without a buffer of ours, so that every byte that arrived
outlives the process. The key stands for the content (OriginFile.key), so a half of another version
is never gone on with. Hashes are made on the way: no file is read twice but for the half that was
there. A part is done when its hash is the origin's; a wrong one is thrown away.
"""

from __future__ import annotations

import errno
import hashlib
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path

from models import disk_space, durable
from models.errors import DiskFullError, HashMismatchError, TransientOriginError
from models.hub.origins import CHUNK_BYTES, Origin, OriginFile
from models.progress import Progress
from models.refs import ModelRef

MAX_TRIES = 8
"""Tries in a row that brought not one byte."""
MAX_WAIT_S = 30.0
MAX_RETRY_AFTER_S = 300.0
"""Longer than that and the user should decide."""
NUM_PARALLEL = 8
MAKE_ROOM = (
    "Make room (`python -m models du`, `rm`, `gc`) or set --data-dir to another disk, then pull "
    "again: it goes on with what is there."
)


class _StoppedError(Exception):
    """Another file failed, or the user interrupted."""


@dataclass(slots=True)
class _Hashes:
    """SHA-256, and git's identity of a blob where the origin gives that."""

    file: OriginFile
    num_bytes: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    git: hashlib._Hash | None = None
    plain: hashlib._Hash | None = None

    def __post_init__(self) -> None:
        # Not for safety: git names blobs so, and the Hub says nothing else of small files.
        if self.file.git_blob is not None or self.file.sha1 is not None:
            self.git = hashlib.sha1(b"blob %d\0" % self.file.size, usedforsecurity=False)
        if self.file.sha1 is not None:
            self.plain = hashlib.sha1(usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        self.num_bytes += len(chunk)
        self.sha256.update(chunk)
        for others in (self.git, self.plain):
            if others is not None:
                others.update(chunk)

    def check(self, parties: tuple[str, str]) -> None:
        """Raises HashMismatchError: these are other bytes.

        Args:
            parties: who said what they are, and who sent them.
        """
        git = self.git.hexdigest() if self.git else ""
        plain = self.plain.hexdigest() if self.plain else git
        for name, expected, actual in (
            ("SHA-256", self.file.sha256, self.sha256.hexdigest()),
            ("git's SHA-1", self.file.git_blob, git),
            ("SHA-1", self.file.sha1, git if git == self.file.sha1 else plain),
        ):
            if expected is not None and actual != expected:
                said_by, sent_by = parties
                others = f"{sent_by} sent" if sent_by != said_by else "it sent"
                raise HashMismatchError(
                    f"{self.file.path} arrived with other bytes than the origin says: {said_by} "
                    f"says that its {name} is {expected}, and {others} {actual}. It was thrown "
                    "away; pull again to fetch it anew, or take another origin (--from)."
                )


@dataclass(slots=True, kw_only=True)
class Transfer:
    """Fetches files of one listing into a folder of parts.

    Attributes:
        origin: where from.
        ref: the listing's.
        parts: a folder on the file system of the store.
        progress: counts bytes; its phase is the caller's.
        num_parallel: files at a time.
    """

    origin: Origin
    ref: ModelRef | None
    parts: Path
    progress: Progress
    num_parallel: int = NUM_PARALLEL
    _stop: threading.Event = field(default_factory=threading.Event)

    def part(self, file: OriginFile) -> Path:
        """The path of a file's bytes until it is whole and placed."""
        return self.parts / file.key

    def num_bytes_here(self, files: Sequence[OriginFile]) -> int:
        """Bytes of these files that an earlier try brought."""
        return sum(min(_size(self.part(file)), file.size) for file in files)

    def fetch(self, files: Sequence[OriginFile]) -> dict[str, str]:
        """Bring all files; the large ones first, since one file is one connection.

        Returns:
            The SHA-256 of each, by path. Each lies at ``part(file)``, synced.

        Raises:
            OriginError, HashMismatchError, DiskFullError: for the first file that failed; the
                others are stopped, and what arrived of them stays.
            OSError: the disk failed.
        """
        self._stop = threading.Event()
        with ThreadPoolExecutor(self.num_parallel, thread_name_prefix="fetch") as pool:
            largest_first = sorted(files, key=lambda file: -file.size)
            futures = {file.path: pool.submit(self._fetch, file) for file in largest_first}
            try:
                done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
                failed = [error for future in done if (error := future.exception()) is not None]
                for error in failed:
                    if not isinstance(error, _StoppedError):
                        raise error
            finally:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        return {path: future.result() for path, future in futures.items()}

    def _fetch(self, file: OriginFile) -> str:
        """One file, with retries."""
        num_tries = num_mismatches = 0
        while True:
            before = _size(self.part(file))
            try:
                return self._try(file)
            except HashMismatchError:
                num_mismatches += 1
                if num_mismatches > 1:
                    raise
                self.progress.notice(f"{file.path} arrived damaged; fetching it anew")
            except TransientOriginError as error:
                num_tries = 1 if _size(self.part(file)) > before else num_tries + 1
                if num_tries >= MAX_TRIES or (error.retry_after_s or 0) > MAX_RETRY_AFTER_S:
                    raise
                self._pause(file.path, error, num_tries)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    full = disk_space.disk_full(self.parts, MAKE_ROOM)
                    raise DiskFullError(f"writing {file.path}: {full}") from None
                raise

    def _try(self, file: OriginFile) -> str:
        part = self.part(file)
        if _size(part) > file.size:
            part.unlink()
        hashes = _Hashes(file)
        with part.open("r+b" if part.exists() else "x+b", buffering=0) as out:
            for chunk in iter(lambda: out.read(CHUNK_BYTES), b""):
                self._raise_if_stopped()
                hashes.update(chunk)
            if hashes.num_bytes < file.size:
                hashes = self._receive(file, out, hashes)
            durable.sync(out.fileno())
        if hashes.num_bytes < file.size:
            raise TransientOriginError(
                f"{file.path} broke off after {hashes.num_bytes:,} of {file.size:,} bytes"
            )
        try:
            hashes.check(self.origin.parties(file))
        except HashMismatchError:
            part.unlink()
            self.progress.advance(-file.size)
            raise
        return hashes.sha256.hexdigest()

    def _receive(self, file: OriginFile, out: RawIOBase, hashes: _Hashes) -> _Hashes:
        """Append what is missing. Returns the hashes of all that is there then."""
        with self.origin.open(self.ref, file, hashes.num_bytes) as (begin, chunks):
            if begin != hashes.num_bytes:
                self.progress.advance(-hashes.num_bytes)
                out.seek(0)
                out.truncate()
                hashes = _Hashes(file)
            for chunk in self._bounded(chunks, file.size - hashes.num_bytes):
                _write_all(out, chunk)
                hashes.update(chunk)
                self.progress.advance(len(chunk))
        return hashes

    def _bounded(self, chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
        """No more bytes than the file has: an origin cannot fill the disk."""
        for chunk in chunks:
            self._raise_if_stopped()
            yield chunk[:most]
            most -= len(chunk)
            if most <= 0:
                return

    def _pause(self, path: str, error: TransientOriginError, num_tries: int) -> None:
        """Wait as long as the origin asks, else twice as long each time and a little at random."""
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = min(MAX_WAIT_S, 0.5 * 2 ** (num_tries - 1)) * random.uniform(0.7, 1.3)
        what = str(error).partition(". ")[0]
        self.progress.notice(
            f"{path}: {what}; trying again in {wait_s:.0f} s ({num_tries} of {MAX_TRIES - 1})"
        )
        if self._stop.wait(wait_s):
            raise _StoppedError

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise _StoppedError


def _write_all(out: RawIOBase, chunk: bytes) -> None:
    """Write all of it: an unbuffered write may take less, and does not say so when a disk fills."""
    view = memoryview(chunk)
    while view:
        written = out.write(view)
        view = view[written or 0 :]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
