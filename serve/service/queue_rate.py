"""The rate at which a queue is served, measured while somebody waits in it. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 30.0
"""Seconds of waiting that are looked back on, as long as they hold enough turns."""
LEAST_TURNS: Final = 4
"""Fewer turns say nothing: the rate is not known."""
MOST_TURNS: Final = 256


class QueueRate:
    """Tokens a second, as they were counted for the requests whose turn came.

    Time counts while somebody waits: then every place that is free is taken at once, so that turns
    come as fast as the engine ends requests.
    """

    def __init__(self) -> None:
        self._turns: deque[tuple[float, int]] = deque()
        self._num_tokens = 0
        self._since_s = 0.0  # on the clock of waiting, as are the turns
        self._waited_s = 0.0
        self._waiting_since: float | None = None

    def began(self, now: float) -> None:
        """Somebody waits from now on."""
        self._waiting_since = now

    def ended(self, now: float) -> None:
        """Nobody waits from now on."""
        self._waited_s = self._at(now)
        self._waiting_since = None

    def turn(self, num_tokens: int, now: float) -> None:
        """The turn of a request that waited has come."""
        at = self._at(now)
        self._turns.append((at, num_tokens))
        self._num_tokens += num_tokens
        while len(self._turns) > MOST_TURNS or (
            len(self._turns) > LEAST_TURNS and self._turns[0][0] < at - WINDOW_S
        ):
            self._since_s, dropped = self._turns.popleft()
            self._num_tokens -= dropped

    def tokens_per_s(self, now: float) -> float | None:
        """The rate, above 0; None where it is not known."""
        seconds = self._at(now) - self._since_s
        if len(self._turns) < LEAST_TURNS or seconds <= 0:
            return None
        return self._num_tokens / seconds

    @property
    def tokens_a_turn(self) -> float:
        """The mean of the turns that are looked back on; 0 where there are none."""
        return self._num_tokens / len(self._turns) if self._turns else 0.0

    def _at(self, now: float) -> float:
        since = self._waiting_since
        return self._waited_s if since is None else self._waited_s + now - since
