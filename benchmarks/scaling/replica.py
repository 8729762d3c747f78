"""One replica as a queue: so many sequences at once, each slower the more there are.

The time between a sequence's tokens is a straight line in the number that run, through two
measured points. All running sequences advance alike, so one virtual clock, in tokens, stands for
all of them: a sequence ends when that clock has moved by its tokens.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

from benchmarks.scaling.arrivals import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The measured costs of one replica.

    Attributes:
        start_s: from the pod's start until it is ready.
        first_token_s: from a request's arrival at an idle replica to its first token.
        one_s: between tokens of a stream that is alone.
        full_s: between tokens of a stream when all slots run.
        slots: sequences at once (--max-num-seqs).
        queue: requests that may wait (--max-num-queued-reqs); more are refused.
        kv_tokens: that the KV cache holds.
        prompt_tokens: of a prompt, for the KV cache.
    """

    start_s: float
    first_token_s: float
    one_s: float
    full_s: float
    slots: int
    queue: int = 128
    kv_tokens: int = 100_000
    prompt_tokens: int = 500

    def between_tokens_s(self, running: int) -> float:
        """Seconds between tokens of each of so many streams."""
        if self.slots == 1:
            return self.one_s
        return self.one_s + (self.full_s - self.one_s) * (running - 1) / (self.slots - 1)


@dataclass(slots=True, kw_only=True)
class Replica:
    """One replica and the requests that it holds. ``advance`` it to a time before reading it."""

    costs: Costs
    ready_at: float
    born_at: float
    now: float = 0.0
    ended_at: float = 0.0  # when a sequence last ended
    served: float = 0.0  # the virtual clock: tokens that each running sequence got since the start
    running: list[float] = field(default_factory=list)  # a heap of ends, on that clock
    waiting: deque[Request] = field(default_factory=deque)
    is_leaving: bool = False
    first_tokens: list[tuple[Request, float]] = field(default_factory=list)
    """Requests that were begun, with when each had its first token."""

    @property
    def load(self) -> int:
        return len(self.running) + len(self.waiting)

    @property
    def has_room(self) -> bool:
        return self.load < self.costs.slots + self.costs.queue

    def is_ready(self, now: float) -> bool:
        return not self.is_leaving and now >= self.ready_at

    def kv_use(self) -> float:
        """Used part of the KV cache: prompts, and half of what is to be generated of each."""
        held = sum(self.costs.prompt_tokens + (end - self.served) / 2 for end in self.running)
        return min(1.0, held / self.costs.kv_tokens)

    def take(self, request: Request) -> None:
        self.now = max(self.now, self.ready_at)
        self.waiting.append(request)
        self._begin()

    def advance(self, until: float) -> None:
        """Let time pass; sequences end and others begin exactly when they do."""
        self.now = max(self.now, self.ready_at)
        while self.running and self.now < until:
            pace = self.costs.between_tokens_s(len(self.running))
            ends_at = self.now + (self.running[0] - self.served) * pace
            if ends_at > until:
                self.served += (until - self.now) / pace
                self.now = until
                return
            self.now, self.served = ends_at, self.running[0]
            heapq.heappop(self.running)
            self.ended_at = ends_at
            self._begin()
        self.now = max(self.now, until)

    def ends_at(self) -> float:
        """Advance until the last sequence is over; returns that time."""
        while self.load:
            self.advance(self.now + 3600)
        return self.ended_at

    def _begin(self) -> None:
        while self.waiting and len(self.running) < self.costs.slots:
            request = self.waiting.popleft()
            # Its prefill takes as many token times as fit into the measured first token.
            pace = self.costs.between_tokens_s(len(self.running) + 1)
            prefill = max(1.0, self.costs.first_token_s / self.costs.one_s)
            heapq.heappush(self.running, self.served + prefill + request.tokens - 1)
            self.first_tokens.append((request, self.now + prefill * pace))
