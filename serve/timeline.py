"""One clock and one set of formulas, for `usage`, metrics, logs, audit and benchmarks alike.

Not a tracer: a Timeline is the plain record of one request, written by the stages that it passes
and read once when the request is over.

Formulas (the field's own; see docs/glossary.md)::

    queue_s  = submitted_at  - arrived_at       HTTP, auth, parsing, admission, rendering, waiting
    wait_s   = submitted_at  - queued_at        waiting for a turn in the fair queue
    ttft_s   = first_token_at - arrived_at      time to first token
    e2e_s    = finished_at   - arrived_at       end to end
    tpot_s   = (last_token_at - first_token_at) / (completion_tokens - 1)   per request
    itl_s    = gaps between token arrivals; a chunk of k tokens is one gap spread over k
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]
"""Reasons why a choice ended, for the whole code. Engines know the first two alone."""

CacheCause = Literal[
    "hit",
    "tools_changed",
    "system_changed",
    "history_edited",
    "template_changed",
    "evicted",
    "never_seen",
    "bypassed",
]
"""What became of a prompt in the prefix cache: why it left what was known of it."""

RequestClass = Literal["interactive", "batch", "background"]
"""The urgency of a request, the most urgent first."""

now = time.monotonic
"""The one clock: monotonic seconds. Tests replace it where a module takes a ``clock`` argument."""


@dataclass(slots=True, kw_only=True)
class Usage:
    """Token counts of one request, over all its choices.

    Attributes:
        prompt_tokens: tokens of the rendered prompt(s), each counted once whatever ``n`` is.
        completion_tokens: tokens consumed: those that made the text, the stop token included.
        cached_tokens: prompt tokens that the engine took from a prefix cache; where ``n`` is more,
            those that every choice of a prompt took, for the prompt counts once.
        reasoning_tokens: those of ``completion_tokens`` that were reasoning.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(slots=True, kw_only=True)
class Timeline:
    """Stamps of one request, monotonic seconds. None means: it did not get that far.

    ``error_code`` is of the error that ended a choice. ``cache_causes`` are of prompts whose
    answers came to their end, where the engine has a prefix cache.
    """

    arrived_at: float
    admitted_at: float | None = None
    queued_at: float | None = None
    submitted_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished_at: float | None = None
    usage: Usage = field(default_factory=Usage)
    finish_reason: FinishReason | None = None
    error_code: str | None = None
    cache_causes: list[CacheCause] = field(default_factory=list)
    itl_s: array[float] = field(default_factory=lambda: array("d"))

    def tokens_arrived(self, num_tokens: int, at: float, previous_at: float | None) -> None:
        """Record a chunk of one choice.

        Args:
            num_tokens: tokens in the chunk, at least 1.
            at: when it arrived, on the clock of ``arrived_at``.
            previous_at: when the previous chunk of the same choice arrived; None for its first.
        """
        if self.first_token_at is None:
            self.first_token_at = at
        self.last_token_at = at
        if previous_at is not None:
            gap_s = (at - previous_at) / num_tokens
            self.itl_s.extend([gap_s] * num_tokens)

    @property
    def queue_s(self) -> float | None:
        return None if self.submitted_at is None else self.submitted_at - self.arrived_at

    @property
    def wait_s(self) -> float | None:
        if self.submitted_at is None or self.queued_at is None:
            return None
        return self.submitted_at - self.queued_at

    @property
    def ttft_s(self) -> float | None:
        return None if self.first_token_at is None else self.first_token_at - self.arrived_at

    @property
    def e2e_s(self) -> float | None:
        return None if self.finished_at is None else self.finished_at - self.arrived_at

    @property
    def tpot_s(self) -> float | None:
        """Mean seconds per output token after the first; None below two tokens."""
        if self.first_token_at is None or self.last_token_at is None:
            return None
        if self.usage.completion_tokens < 2:
            return None
        return (self.last_token_at - self.first_token_at) / (self.usage.completion_tokens - 1)
