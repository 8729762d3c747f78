"""The store of a log's contents: sealed frames in a journal of their own, found by their index.

A frame is durable before the log's entry that refers to it is written. Where the journal fails,
nothing may run, and where a subject's key cannot be used nothing of that subject: others do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from serve import timeline
from serve.errors import AuditUnavailable
from serve.governance.audit.content.sealing import Label, digest, sealed
from serve.governance.audit.content.subject_keys import KeyGoneError, SubjectKey, SubjectKeys

log = logging.getLogger(__name__)

DEADLINE_S: Final = 2.0
PAUSE_S: Final = 1.0
"""For so long nothing is tried after a failure: whoever comes then is refused at once."""

Note = dict[str, Any]
"""What an entry of the log says of a document."""


class FrameJournal(Protocol):
    """A journal that frames are appended to (serve.governance.audit.log)."""

    async def append(self, payloads: Sequence[bytes], /) -> int: ...


class ContentStore:
    """Notes of documents: hashes of them, and where they are to be kept their place.

    Args:
        keys: of subjects.
        journal: for the documents; None hashes them only.
        log_name: that the frames name.
        failures: what the journal raises where it does not take frames.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        keys: SubjectKeys,
        journal: FrameJournal | None,
        *,
        log_name: str,
        failures: tuple[type[Exception], ...] = (OSError,),
        deadline_s: float = DEADLINE_S,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._keys = keys
        self._journal = journal
        self._log_name = log_name
        self._failures = failures
        self._deadline_s = deadline_s
        self._clock = clock
        self._failed_at: float | None = None
        self._no_keys_at: float | None = None
        self._of_keys = ThreadPoolExecutor(1, "subjects-keys")  # their lock is waited for: no other

    @property
    def log_name(self) -> str:
        return self._log_name

    async def key_of(self, subject: str) -> SubjectKey:
        """The subject's key; one is made for who has none. Raises AuditUnavailable."""
        if (known := self._keys.known(subject)) is not None:
            return known
        self._check(self._no_keys_at)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await loop.run_in_executor(self._of_keys, self._keys.of, subject)
        except KeyGoneError as error:
            raise _failed(str(error)) from None
        except OSError as error:  # TimeoutError is one
            self._no_keys_at = self._clock()
            raise _failed(str(error) or "the disk of subjects' keys does not answer") from None

    async def noted(self, key: SubjectKey, documents: Sequence[tuple[Label, bytes]]) -> list[Note]:
        """Notes for the log of documents of one subject; they are durable on return.

        Raises:
            AuditUnavailable: they could not be kept.
        """
        return await self.noted_of_many([(key, label, document) for label, document in documents])

    async def noted_of_many(
        self, documents: Sequence[tuple[SubjectKey, Label, bytes]]
    ) -> list[Note]:
        """The same for documents of any subjects, written together. Raises AuditUnavailable."""
        if self._journal is None:
            return [{"hmac": key.mac(document)} for key, _, document in documents]
        self._check(self._failed_at)
        frames = [sealed(key, label, document) for key, label, document in documents]
        writing = asyncio.ensure_future(self._journal.append(frames))
        if not (await asyncio.wait({writing}, timeout=self._deadline_s))[0]:
            writing.add_done_callback(_look_at)
            self._failed_at = self._clock()
            raise _failed(f"a write took more than {self._deadline_s:g} s")
        try:
            first = writing.result()
        except self._failures as error:
            self._failed_at = self._clock()
            raise _failed(str(error)) from None
        self._failed_at = None
        return [
            {"at": at, "bytes": len(frame), "sha256": digest(frame)}
            for at, frame in enumerate(frames, start=first)
        ]

    def _check(self, failed_at: float | None) -> None:
        if failed_at is not None and self._clock() - failed_at < PAUSE_S:
            raise _unavailable()


def _failed(reason: str) -> AuditUnavailable:
    log.error("contents cannot be kept for the audit log", extra={"reason": reason})
    return _unavailable()


def _look_at(writing: asyncio.Future[int]) -> None:
    """Take note of how a late write ended, so that asyncio does not complain of it."""
    if not writing.cancelled():
        writing.exception()


def _unavailable() -> AuditUnavailable:
    return AuditUnavailable(
        "Contents cannot be kept for the audit log, and this server runs nothing that it does not "
        "record. Ask again later; the operator finds the reason in the server's log.",
        retry_after_s=2,
    )
