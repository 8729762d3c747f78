"""A journal: payloads in append-only files, durable when ``append`` returns.

After an error in a write or a sync nothing more is written to that descriptor: what the disk holds
then is not known. The entries of the group are refused, and so are later ones, until the last
segment has been read again and cut behind what was acknowledged; then a new segment is begun. That
is tried when something is appended, at most every ``MAX_PAUSE_S`` seconds.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from serve.governance.audit.log import frames, segments
from serve.governance.audit.log.errors import LogDamaged, LogUnavailable
from serve.governance.audit.log.group_commit import GroupCommit
from serve.governance.audit.log.segments import Recovery

log = logging.getLogger(__name__)

SEGMENT_BYTES = 4 << 20
MAX_SEGMENT_BYTES = 256 << 20
MAX_PAYLOAD_BYTES = 64 << 20
MAX_APPEND_BYTES = 256 << 20
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0

OnDurable = Callable[[int, list[bytes]], None]
"""Told the index of the first, and the payloads, of each group; on the journal's thread."""


class Journal:
    """The one writer of a folder of segments; `open` makes it.

    Attributes:
        recovery: what opening it found.
        size: the index that the next payload gets; all below it are durable.
    """

    def __init__(
        self,
        folder: Path,
        quarantine: Path,
        *,
        max_payload_bytes: int,
        segment_bytes: int,
        on_durable: OnDurable | None,
    ) -> None:
        self._folder, self._quarantine = folder, quarantine
        self._max_payload_bytes, self._segment_bytes = max_payload_bytes, segment_bytes
        self._on_durable = on_durable
        self._failure, self._is_beyond_repair = "", False
        self._pause_s, self._retry_at = 0.0, 0.0
        self._commits = GroupCommit(self._commit, "journal")
        self._descriptor = -1
        self._segment_start = self._salt = self._segment_size = 0
        self._is_named = True
        self.size = 0
        self.recovery = Recovery()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        quarantine: Path | None = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        on_durable: OnDurable | None = None,
    ) -> Journal:
        """Open or make a journal, with a torn tail cut and kept.

        Whoever opens it sees to it that nobody else does.

        Args:
            folder: of the segments; made where it is not there.
            quarantine: where a torn tail goes; ``quarantine`` beside the folder if not given.
            max_payload_bytes: of a payload.
            segment_bytes: from this size on the next group begins a new segment.
            on_durable: called on the journal's thread after each sync, before who waits is told.

        Raises:
            LogDamaged: payloads that had been acknowledged are missing or damaged.
            ValueError: segments cannot be so large.
            OSError: it cannot be read or written.
        """
        if not 0 < segment_bytes <= MAX_SEGMENT_BYTES:
            raise ValueError(f"segments of {segment_bytes:,} bytes; at most {MAX_SEGMENT_BYTES:,}")
        segments.make_folder(folder)
        journal = cls(
            folder,
            quarantine or folder.with_name("quarantine"),
            max_payload_bytes=max_payload_bytes,
            segment_bytes=segment_bytes,
            on_durable=on_durable,
        )
        journal._recover()
        return journal

    async def append(self, payloads: Sequence[bytes]) -> int:
        """Bring payloads to the disk, next to each other. Returns the index of the first.

        Raises:
            LogUnavailable: they are not on the disk, and do not count.
            ValueError: one is too long or all together are, or there is none.
        """
        if not payloads:
            raise ValueError("nothing was given to append")
        if (longest := max(map(len, payloads))) > self._max_payload_bytes:
            raise ValueError(
                f"a payload has {longest:,} bytes; at most {self._max_payload_bytes:,} fit"
            )
        if (total := sum(map(len, payloads))) > MAX_APPEND_BYTES:
            raise ValueError(f"{total:,} bytes at once; at most {MAX_APPEND_BYTES:,} fit")
        return await self._commits.append(payloads)

    async def close(self) -> None:
        """Finish what waits, and let go of the files."""
        await self._commits.close()
        self._let_go()

    @property
    def failure(self) -> str:
        """The reason why nothing can be appended at present; "" where it can."""
        return self._failure

    def entries(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Index and payload of what is kept, from an index on. Not while it is being written.

        Raises:
            LogDamaged: as in `open`.
            OSError: it cannot be read.
        """
        for _, found, _ in segments.read_segments(self._folder, start):
            pairs = enumerate(found.payloads, found.first_index)
            yield from (pair for pair in pairs if pair[0] >= start)

    def drop_before(self, index: int) -> int:
        """Remove segments all of whose payloads lie before an index. Returns how many.

        Raises:
            OSError: one cannot be removed.
        """
        listed = segments.segments(self._folder)
        num = 0
        for (_, path), (next_start, _) in pairwise(listed):
            if next_start > index:
                break
            path.unlink()
            num += 1
        return num

    def _recover(self) -> None:
        listed = segments.segments(self._folder)
        if not listed:
            self._take(0, segments.create(self._folder, 0), 0)
            return
        _, path = listed[-1]
        found, torn = segments.read_segment(path)
        self._keep(found.next_index, torn)
        try:
            opened = segments.rewrite(path, found)
        except OSError as error:
            if error.errno != errno.ENOSPC or not found.ends:
                raise
            opened = segments.write_over(path, found)
        self._take(found.first_index, opened, found.next_index)

    def _keep(self, size: int, torn: bytes) -> None:
        """Put what is to be cut into quarantine, and tell it."""
        kept = segments.put_into_quarantine(self._quarantine, size, torn) if torn else None
        self.recovery = Recovery(size, len(torn), kept)
        if torn:
            log.warning("a torn tail is cut", extra={"reason": self.recovery.text})

    def _take(self, first_index: int, opened: tuple[int, int, int], size: int) -> None:
        self._segment_start = first_index
        self._descriptor, self._salt, self._segment_size = opened
        # What is written to a file without a name is lost; some file systems name none of theirs.
        self._is_named = os.fstat(self._descriptor).st_nlink > 0
        self.size = size

    def _commit(self, payloads: list[bytes]) -> int:
        """Write and sync a group; on the thread."""
        if self._failure:
            self._try_again()
        first = self.size
        try:
            if self._segment_size >= self._segment_bytes:
                self._let_go()
                self._take(first, segments.create(self._folder, first), first)
            data = frames.frames(payloads, first, first, self._salt)
            _write_all(self._descriptor, data)
            os.fdatasync(self._descriptor)
            if self._is_named and not os.fstat(self._descriptor).st_nlink:
                raise OSError(errno.ENOENT, "its file was removed", str(self._folder))
        except OSError as error:
            self._fail(error)
            raise LogUnavailable(self._failure) from None
        self._segment_size += len(data)
        self.size = first + len(payloads)
        if self._on_durable is not None:
            self._on_durable(first, payloads)
        return first

    def _fail(self, error: OSError) -> None:
        self._let_go()
        self._failure = f"the journal cannot be written: {error.strerror or error}"
        self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S) or FIRST_PAUSE_S
        self._retry_at = time.monotonic() + self._pause_s
        log.error("the journal cannot be written", extra={"reason": error.strerror})

    def _try_again(self) -> None:
        """Read the last segment, cut it behind what was acknowledged, and begin a new one.

        Raises:
            LogUnavailable: it is too early for that, or it fails.
        """
        if self._is_beyond_repair or time.monotonic() < self._retry_at:
            raise LogUnavailable(self._failure)
        try:
            listed = segments.segments(self._folder)
            if not listed:
                raise LogDamaged(f"{self._folder} has no file any more", self._segment_start)
            _, path = listed[-1]
            found, _ = segments.read_segment(path)
            num = self.size - found.first_index
            if not 0 <= num <= len(found.payloads):
                raise LogDamaged(f"entry {found.next_index} is no longer in {path}")
            end = found.ends[num - 1] if num else frames.HEADER_BYTES
            self._keep(self.size, segments.read_tail(path, end))
            if num:  # else the new one takes its place
                segments.cut(path, end)
            self._take(self.size, segments.create(self._folder, self.size), self.size)
        except OSError as error:
            self._fail(error)
            raise LogUnavailable(self._failure) from None
        except LogDamaged as error:
            self._is_beyond_repair = True
            self._failure = f"the journal lost what it had acknowledged: {error}"
            log.critical("the journal lost what it had acknowledged", extra={"reason": str(error)})
            raise LogUnavailable(self._failure) from None
        self._failure, self._pause_s = "", 0.0
        log.warning("the journal is written again", extra={"entries": self.size})

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                os.close(descriptor)
            except OSError:  # an error of an earlier write, told once more
                log.warning("a journal's file could not be closed")


def _write_all(descriptor: int, data: bytes) -> None:
    """Write it all, however many bytes the system takes at a time.

    Raises:
        OSError: it does not take them.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
