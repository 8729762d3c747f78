"""A circuit: a store that has failed several times is left alone for a while, then tried again.

::

    closed   calls pass; ``max_failures`` in a row open it
    open     calls are refused at once; after a pause one call is let through, as a trial
             trial succeeds: closed     trial fails: open, and the pause is twice as long

After M. Nygard, Release It! (2007), and with jitter, so that replicas do not try in step.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

MAX_FAILURES = 5
FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 10.0


class Circuit:
    """One store's circuit. Safe for several threads.

    Args:
        max_failures: in a row, after which it opens.
        first_pause_s: seconds before the first trial.
        max_pause_s: seconds that no pause exceeds.
        clock: monotonic seconds; tests replace it.
        jitter: a part of each pause, from 0 to 1, by which it is shortened; tests replace it.
    """

    def __init__(
        self,
        *,
        max_failures: int = MAX_FAILURES,
        first_pause_s: float = FIRST_PAUSE_S,
        max_pause_s: float = MAX_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0, 0.3),
    ) -> None:
        self._max_failures = max_failures
        self._first_pause_s = first_pause_s
        self._max_pause_s = max_pause_s
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._num_failures = 0
        self._pause_s = first_pause_s
        self._next_trial: float | None = None  # None while it is closed
        self._era = 0  # calls of an earlier one have nothing to say on this one

    @property
    def is_closed(self) -> bool:
        """Whether calls pass."""
        return self._next_trial is None

    def begin(self) -> int | None:
        """Ask for a call; mutates, as there is one trial at a time.

        Returns:
            What ``succeed`` or ``fail`` is to be told; None where the call is refused.
        """
        with self._lock:
            if self._next_trial is not None:
                if self._clock() < self._next_trial:
                    return None
                self._era += 1
                self._wait()  # a trial that never ends is followed by another
            return self._era

    def succeed(self, call: int) -> None:
        """Take note that a call was answered."""
        with self._lock:
            if call == self._era:
                self._num_failures = 0
                self._pause_s = self._first_pause_s
                self._next_trial = None

    def fail(self, call: int) -> None:
        """Take note that a call was not answered."""
        with self._lock:
            if call != self._era:
                return
            if self._next_trial is None:
                self._num_failures += 1
                if self._num_failures < self._max_failures:
                    return
            else:
                self._pause_s = min(self._pause_s * 2, self._max_pause_s)
            self._era += 1
            self._wait()

    def _wait(self) -> None:
        self._next_trial = self._clock() + self._pause_s * (1 - self._jitter())
