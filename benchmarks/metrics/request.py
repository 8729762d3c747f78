"""One request: TTFT, ITL, TPOT, E2E, and whether it met its targets."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.trace import Trace
from serve.timeline import Timeline, Usage

REFUSALS = frozenset({429, 503})
"""Statuses that say "not now": the server kept its bounds. Anything else but 200 is an error."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Service level objectives, in seconds; None is no target."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    def __bool__(self) -> bool:
        return any(target is not None for target in (self.ttft_s, self.tpot_s, self.e2e_s))


@dataclass(frozen=True)
class Request:
    """One request's figures."""

    trace: Trace

    @property
    def is_good(self) -> bool:
        """Whether the answer came whole and had at least one token."""
        return self.trace.error is None and bool(self.trace.arrivals_at)

    @property
    def is_refused(self) -> bool:
        return self.trace.status in REFUSALS

    @property
    def is_spread(self) -> bool:
        """Whether chunks held several tokens, so that ITL is a gap spread over them."""
        return self.trace.completion_tokens != len(self.trace.arrivals_at)

    @property
    def chunk_tokens(self) -> Sequence[int]:
        """Tokens of each chunk: as the source said, else the server's count shared out evenly.

        The first chunk is one token (a server that waits for more before it sends its first one
        has that in its TTFT); the others share the rest, by Bresenham's rounding. A share of 0 is
        possible, where a token came in several chunks.
        """
        trace = self.trace
        if trace.chunk_tokens:
            return trace.chunk_tokens
        num_chunks = len(trace.arrivals_at)
        if num_chunks < 2:
            return [trace.completion_tokens] * num_chunks
        gaps, rest = num_chunks - 1, max(0, trace.completion_tokens - 1)
        edges = [number * rest // gaps for number in range(num_chunks)]
        return [1, *(edges[number + 1] - edges[number] for number in range(gaps))]

    @cached_property
    def timeline(self) -> Timeline:
        """The same request in the server's own terms, for its formulas."""
        trace = self.trace
        timeline = Timeline(
            arrived_at=trace.sent_at,
            finished_at=trace.finished_at,
            usage=Usage(
                prompt_tokens=trace.prompt_tokens, completion_tokens=trace.completion_tokens
            ),
        )
        previous_at: float | None = None
        for at, num_tokens in zip(trace.arrivals_at, self.chunk_tokens, strict=True):
            if num_tokens:
                timeline.tokens_arrived(num_tokens, at, previous_at)
                previous_at = at
        return timeline

    @property
    def ttft_s(self) -> float | None:
        """``first_token_at - sent_at``. vLLM's takes the first chunk, even one without content."""
        return self.timeline.ttft_s

    @property
    def tpot_s(self) -> float | None:
        """``(last_token_at - first_token_at) / (completion_tokens - 1)``.

        None below two tokens, and where all came at once: nothing was seen of the pace then. vLLM
        says 0 for the latter.
        """
        return self.timeline.tpot_s if len(self.trace.arrivals_at) > 1 else None

    @property
    def itl_s(self) -> array[float]:
        """Gaps between tokens: for a chunk of k tokens, k samples of gap / k.

        vLLM's has one sample per chunk, whatever is in it; equal where chunks are tokens.
        """
        return self.timeline.itl_s

    @property
    def e2e_s(self) -> float | None:
        """``finished_at - sent_at``: with everything that follows the last token."""
        return self.timeline.e2e_s

    @property
    def last_token_s(self) -> float | None:
        """``last_token_at - sent_at``; what vLLM calls E2EL."""
        at = self.timeline.last_token_at
        return None if at is None else at - self.trace.sent_at

    @property
    def late_s(self) -> float:
        """Seconds between the plan and the sending: the generator's fault, never the server's."""
        due_at = self.trace.due_at
        return 0.0 if due_at is None else max(0.0, self.trace.sent_at - due_at)

    def meets(self, targets: Targets) -> bool:
        """Whether a whole answer met every target; a TPOT that does not exist counts as 0."""
        seen = (
            (self.ttft_s, targets.ttft_s),
            (self.tpot_s or 0.0, targets.tpot_s),
            (self.e2e_s, targets.e2e_s),
        )
        return self.is_good and all(
            target is None or (value is not None and value <= target) for value, target in seen
        )


def whole(traces: Iterable[Trace]) -> list[Trace]:
    """The traces, if every one is whole.

    Raises:
        RuntimeError: one is not; it says why.
    """
    all_traces = list(traces)
    for trace in all_traces:
        if not Request(trace).is_good:
            raise RuntimeError(f"a request brought no whole answer: {trace.error}")
    return all_traces
