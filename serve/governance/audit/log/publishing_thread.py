"""The thread that publishes: every second, or sooner when many entries wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from serve.governance.audit.log.errors import LogUnavailable
from serve.governance.audit.log.publishing import Publisher

log = logging.getLogger(__name__)

MAX_WAITING = 1 << 16
"""Entries that may wait while tiles cannot be written; then no more are taken."""
MIN_PAUSE_S = 0.25
"""Between two times, however much comes: each costs some ten syncs."""
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0


class PublishingThread:
    """Takes durable entries, and publishes them soon after.

    Args:
        publisher: used on the thread alone.
        waiting: entries to begin with.
        every_s: how long an entry waits at most.
        num_at_once: entries that do not wait so long.
        on_published: told the size under each new checkpoint, on the thread.
    """

    def __init__(
        self,
        publisher: Publisher,
        waiting: Sequence[bytes],
        *,
        every_s: float,
        num_at_once: int,
        on_published: Callable[[int], None],
    ) -> None:
        self._publisher, self._on_published = publisher, on_published
        self._every_s, self._num_at_once = every_s, num_at_once
        self._waiting = list(waiting)
        self._changed = threading.Condition()
        self._is_closing = False
        self.failure = ""
        self._thread = threading.Thread(target=self._run, name="audit-tiles", daemon=True)
        self._thread.start()

    @property
    def published_size(self) -> int:
        return self._publisher.size

    def check(self) -> None:
        """Refuse to take more than can be kept waiting.

        Raises:
            LogUnavailable: tiles have not been written for long.
        """
        if self.failure and len(self._waiting) >= MAX_WAITING:
            raise LogUnavailable(self.failure)

    def add(self, entries: Sequence[bytes]) -> None:
        """Take entries that are durable, in order."""
        with self._changed:
            had = len(self._waiting)
            self._waiting.extend(entries)
            if had == 0 or had < self._num_at_once <= len(self._waiting):
                self._changed.notify()

    def close(self) -> None:
        """Publish what waits, and end the thread; waits for it."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        pause_s = 0.0
        while True:
            with self._changed:
                self._wait()
                entries = list(self._waiting)
                is_last = self._is_closing
            if entries and (failure := self._publish(entries)):
                pause_s = min(pause_s * 2, MAX_PAUSE_S) or FIRST_PAUSE_S
                self._pause(pause_s)
                if self.failure != failure:
                    self.failure = failure
                    log.error("tiles cannot be written", extra={"reason": failure})
            elif entries:
                pause_s, self.failure = 0.0, ""
            if is_last:
                return
            self._pause(MIN_PAUSE_S)

    def _wait(self) -> None:
        """Wait until something is to be published; the lock is held."""
        while not self._waiting and not self._is_closing:
            self._changed.wait()
        until = time.monotonic() + self._every_s
        while len(self._waiting) < self._num_at_once and not self._is_closing:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return
            self._changed.wait(left_s)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while not self._is_closing and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(left_s)

    def _publish(self, entries: list[bytes]) -> str:
        """The reason why these could not be published; "" when they were, and wait no longer."""
        try:
            self._publisher.publish(entries)
            with self._changed:
                del self._waiting[: len(entries)]
            self._on_published(self._publisher.size)
        except OSError as error:
            return f"tiles cannot be written: {error.strerror or error}"
        except Exception as error:
            log.exception("a defect of the thread that writes tiles")
            return f"tiles cannot be written: a defect, {type(error).__name__}"
        return ""
