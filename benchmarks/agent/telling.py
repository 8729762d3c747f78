"""Readers of what a server tells elsewhere than in its answers: in its log and its metrics."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx

_HITS = re.compile(r"Llama\.generate: (\d+) prefix-match hit")
_FIRST_TOKENS = re.compile(
    r"^(?:intramural_|vllm:)time_to_first_token_seconds_sum(?:\{[^}]*\})? (\S+)$", re.MULTILINE
)
_LOOKS, _PAUSE_S = 20, 0.05


class CachedInLog:
    """Reads how much of the last prompt llama.cpp reused in what it printed about it.

    Args:
        log: its standard error.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read_to = 0

    def __call__(self) -> int | None:
        """Tokens of the last prompt that were reused; 0 where it says nothing of any."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            new = log.read()
        self._read_to += len(new)
        hits = _HITS.findall(new.decode("utf-8", "replace"))
        return int(hits[-1]) if hits else 0


class FirstTokenInMetrics:
    """Reads the last request's time to first token in the metrics of our server and of vLLM's.

    A stream may begin later than its first token is there: what could become a tool call is held
    back until it can be read.

    Args:
        client: whose base address is the server's. Nobody else asks the server meanwhile.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._sum_s = self._sum() or 0.0

    def __call__(self) -> float | None:
        """Seconds from its arrival to its first token; None where no metric tells."""
        for _ in range(_LOOKS):
            sum_s = self._sum()
            if sum_s is None:
                return None
            if sum_s > self._sum_s:
                last_s, self._sum_s = sum_s - self._sum_s, sum_s
                return last_s
            time.sleep(_PAUSE_S)  # it is noted when the request is over, a moment after its end
        return None

    def _sum(self) -> float | None:
        try:
            reply = self._client.get("/metrics")
        except httpx.HTTPError:
            return None
        sums = _FIRST_TOKENS.findall(reply.text) if reply.status_code == httpx.codes.OK else []
        return sum(map(float, sums)) if sums else None
