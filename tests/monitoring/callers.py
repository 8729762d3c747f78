"""Callers of a server: so many threads, each asking again as soon as it has its answer."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

BODY = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
TIMEOUT_S = 120.0


class Callers:
    """A context in which the server is asked.

    Args:
        key: sent as the API key.
        pause_s: of each caller between an answer and its next question.
        body: what each asks; by default an answer of 20 tokens.

    Attributes:
        statuses: of the answers; 0 for a connection that was refused or broke.
    """

    def __init__(
        self,
        url: str,
        key: str,
        num_callers: int,
        *,
        pause_s: float = 0.2,
        body: Mapping[str, Any] = BODY,
        route: str = "/v1/chat/completions",
    ) -> None:
        self._url, self._key, self._pause_s, self._body = url + route, key, pause_s, body
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(num_callers)]
        self.statuses: Counter[int] = Counter()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask no more, and wait for the last answers."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def _ask(self) -> None:
        headers = {"authorization": f"Bearer {self._key}"}
        with httpx.Client(verify=False, headers=headers, timeout=TIMEOUT_S) as client:
            while not self._is_over.is_set():
                try:
                    status = client.post(self._url, json=self._body).status_code
                except httpx.TransportError:
                    status = 0
                self.statuses[status] += 1
                self._is_over.wait(self._pause_s)
