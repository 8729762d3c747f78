"""The raw record of one request: stamps and counts as they were seen, nothing computed.

Whatever is measured, an engine in this process or a server behind HTTP, leaves one ``Trace`` per
request; ``benchmarks.metrics`` makes every figure out of them.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace


def stamps() -> array[float]:
    """An empty series of seconds; 8 bytes each, so that thousands of streams fit in memory."""
    return array("d")


def counts() -> array[int]:
    """An empty series of numbers of tokens."""
    return array("L")


@dataclass(slots=True, kw_only=True)
class Trace:
    """One request. Stamps are seconds of one monotonic clock.

    Attributes:
        due_at: when the plan wanted it sent; None where it was sent as soon as it could be.
        sent_at: before the connection is made, or when the engine is asked.
        arrivals_at: of each chunk with content; chunks that arrived in one read share a stamp.
        chunk_tokens: tokens of each chunk, where the source says so (an engine); else empty. HTTP
            has one count for the whole answer, in ``usage``.
        finished_at: the answer was complete or given up.
        prompt_tokens: as the server or engine counted them.
        completion_tokens: the same; a count of chunks only where there is no usage.
        cached_tokens: prompt tokens that came from a prefix cache.
        status: of HTTP; None for an engine, and where no answer came.
        error: in words; None for an answer that came whole.
        has_usage: the server counted the tokens.
        is_own_error: the client's own, not the server's: it gave up, or could not send.
    """

    due_at: float | None = None
    sent_at: float = 0.0
    arrivals_at: array[float] = field(default_factory=stamps)
    chunk_tokens: array[int] = field(default_factory=counts)
    finished_at: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: str | None = None
    status: int | None = None
    error: str | None = None
    is_own_error: bool = False
    has_usage: bool = True

    def shifted(self, seconds: float) -> Trace:
        """The same request on a clock that shows ``seconds`` more."""
        return replace(
            self,
            due_at=None if self.due_at is None else self.due_at + seconds,
            sent_at=self.sent_at + seconds,
            arrivals_at=array("d", (at + seconds for at in self.arrivals_at)),
            chunk_tokens=self.chunk_tokens[:],
            finished_at=None if self.finished_at is None else self.finished_at + seconds,
        )
