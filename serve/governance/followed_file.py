"""A file of rules that is followed: read again when it changes, and kept as it was if it is bad."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

from serve import timeline
from serve.errors import StartupError

log = logging.getLogger(__name__)

RELOAD_INTERVAL_S = 1.0

T = TypeVar("T")

Start = Callable[[Callable[[], None]], object]
"""Starts some work, which tells nobody of its end."""

_thread = ThreadPoolExecutor(1, "rules-files")


def at_once(work: Callable[[], None]) -> None:
    """Do work before anything else (a Start)."""
    work()


def on_a_thread(work: Callable[[], None]) -> None:
    """Do work on a thread of its own, one after the other (a Start)."""
    _thread.submit(work)


class FollowedFile(Generic[T]):
    """The content of a file as it is now.

    A change is noticed by the first request or scrape of metrics after it, at most a second late. A
    new file that cannot be used is logged as an error, and the content known so far stays. It stays
    also while a file is read, which comes into force whole.

    Args:
        read: reads the file; raises StartupError where it cannot be used.
        kind: what the file is, for the log: ``presets``.
        sign: a value that changes when the file does; None where it is not there. Of more than one
            file it is another than the usual one.
        clock: monotonic seconds.
        start: of later readings; the first one is done at once.

    Raises:
        StartupError: the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], T],
        kind: str,
        *,
        sign: Callable[[Path], object] | None = None,
        clock: Callable[[], float] = timeline.now,
        start: Start = at_once,
    ) -> None:
        self._path = path
        self._read = read
        self._kind = kind
        self._clock = clock
        self._sign = sign or signature_of
        self._signature = self._sign(path)
        self._content = read(path)
        self._checked_at = clock()
        self._is_in_force = True
        self._start = start
        self._lock = threading.Lock()  # of the two that follow
        self._is_reading = False
        self._is_due = False  # whether it is to be read (once more)

    @property
    def content(self) -> T:
        """The content in force."""
        self._follow_if_due()
        return self._content

    @property
    def is_in_force(self) -> bool:
        """Whether the file as it is now is the one in force."""
        self._follow_if_due()  # a server that nobody asks is to say so, too
        return self._is_in_force

    def follow(self, *, always: bool = False) -> None:
        """Read the file again if it has changed since the last look.

        Args:
            always: read it whether it has changed or not.
        """
        self._checked_at = self._clock()
        signature = self._sign(self._path)
        if signature == self._signature and not always:
            return
        self._signature = signature
        with self._lock:
            self._is_due = True
            if self._is_reading:
                return
            self._is_reading = True
        self._start(self._read_while_due)

    def _read_while_due(self) -> None:
        """Read the file, and once more where it changed meanwhile."""
        while True:
            with self._lock:
                self._is_reading = self._is_due
                if not self._is_due:
                    return
                self._is_due = False
            self._read_again()

    def _read_again(self) -> None:
        try:
            self._content = self._read(self._path)
        except StartupError as error:
            self._is_in_force = False
            log.error("%s not reloaded, what is known stays in force: %s", self._kind, error)  # noqa: TRY400
        except Exception:  # a defect of ours in reading it must not cost a request
            self._is_in_force = False
            log.exception("%s not reloaded, what is known stays in force", self._kind)
        else:
            self._is_in_force = True
            log.info("%s reloaded", self._kind)

    def _follow_if_due(self) -> None:
        if self._clock() - self._checked_at >= RELOAD_INTERVAL_S:
            self.follow()


def signature_of(path: Path) -> tuple[int, ...] | None:
    """A value that changes when the file does; None where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)
