"""Every figure of a measurement, as a property over raw stamps: formula, unit, source.

::

    Request    one Trace                      TTFT, ITL, TPOT, E2E
    Load       all requests of one level      rates, percentiles, goodput, refusals
    Batch      requests that an engine ran    prefill and decode speed, MFU, MBU

TTFT, TPOT, ITL and E2E are the server's own formulas (serve/timeline.py, docs/glossary.md), over
what the client saw. ``vllm bench serve`` (vllm/benchmarks/serve.py, calculate_metrics, 0.32) has
the same ones, but for two, which is said where they stand; a test compares all on one trace.
Percentiles are numpy's linear ones, as there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from benchmarks.roofline import Roofline, StepCost
from benchmarks.trace import Trace
from serve.timeline import Timeline, Usage

REFUSALS = frozenset({429, 503})
"""Statuses that say "not now": the server kept its bounds. Anything else but 200 is an error."""
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Targets:
    """Service level objectives, in seconds; None is no target."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    def __bool__(self) -> bool:
        return any(each is not None for each in (self.ttft_s, self.tpot_s, self.e2e_s))


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
        """How much later than planned it was sent: the generator's fault, never the server's."""
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


@dataclass(frozen=True)
class Load:
    """All requests of one level of load.

    Args:
        traces: at least one.
        targets: for goodput.
        duration_s: instead of the time from the first sending to the last end.
    """

    traces: Sequence[Trace]
    targets: Targets = field(default_factory=Targets)
    given_duration_s: float | None = None

    @cached_property
    def requests(self) -> list[Request]:
        return [Request(trace) for trace in self.traces]

    @cached_property
    def good(self) -> list[Request]:
        return [request for request in self.requests if request.is_good]

    @property
    def duration_s(self) -> float:
        if self.given_duration_s is not None:
            return self.given_duration_s
        ends = [trace.finished_at for trace in self.traces if trace.finished_at is not None]
        return max(ends, default=0.0) - min(trace.sent_at for trace in self.traces)

    @property
    def requests_s(self) -> float:
        """``whole answers / duration``."""
        return len(self.good) / self.duration_s

    @property
    def output_tokens_s(self) -> float:
        """``sum(completion_tokens) / duration``, over whole answers, tokens from `usage`."""
        return sum(one.trace.completion_tokens for one in self.good) / self.duration_s

    @property
    def total_tokens_s(self) -> float:
        """``sum(prompt_tokens + completion_tokens) / duration``."""
        tokens = (one.trace.prompt_tokens + one.trace.completion_tokens for one in self.good)
        return sum(tokens) / self.duration_s

    @property
    def goodput_s(self) -> float:
        """``answers that met every target / duration`` (DistServe, arXiv:2401.09670, section 1)."""
        return sum(one.meets(self.targets) for one in self.requests) / self.duration_s

    @property
    def attainment(self) -> float:
        """Share of all requests, refused and failed ones too, that met every target."""
        return sum(one.meets(self.targets) for one in self.requests) / len(self.requests)

    @property
    def refusal_share(self) -> float:
        return sum(one.is_refused for one in self.requests) / len(self.requests)

    @property
    def error_share(self) -> float:
        """Share that brought no whole answer and was not refused."""
        failed = sum(not (one.is_good or one.is_refused) for one in self.requests)
        return failed / len(self.requests)

    @property
    def concurrency(self) -> float:
        """Requests in flight on average: ``sum(e2e) / duration`` (Little 1961)."""
        return sum(one.e2e_s or 0.0 for one in self.requests) / self.duration_s

    @property
    def spread_share(self) -> float:
        """Share of whole answers whose ITL was spread over chunks of several tokens."""
        return sum(one.is_spread for one in self.good) / len(self.good) if self.good else 0.0

    def series_s(self, name: str) -> list[float]:
        """All samples of ``ttft``, ``tpot``, ``itl``, ``e2e`` or ``last_token``."""
        values: list[float] = []
        for one in self.good:
            value = getattr(one, f"{name}_s")
            values.extend(value if isinstance(value, array) else () if value is None else (value,))
        return values

    def percentiles_ms(self, name: str) -> dict[str, float]:
        """``p50`` and so on, and ``mean``; empty where there are no samples."""
        return percentiles_ms(self.series_s(name))


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds, by numpy's linear interpolation; empty without samples."""
    if not seconds:
        return {}
    values = np.asarray(seconds) * 1e3
    found = {f"p{q}": float(value) for q, value in _at(values)}
    return found | {"mean": float(values.mean())}


def _at(values: np.ndarray) -> Iterator[tuple[int, float]]:
    yield from zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)


@dataclass(frozen=True)
class Batch:
    """Requests that one engine ran together, all asked for at once.

    Args:
        traces: whole answers, at least one.
        cost: of a forward, from the model's configuration; None where that does not tell.
        roofline: of the machine; None where it was not measured.
    """

    traces: Sequence[Trace]
    cost: StepCost | None = None
    roofline: Roofline | None = None

    @cached_property
    def requests(self) -> list[Request]:
        return [Request(trace) for trace in self.traces]

    @property
    def began_at(self) -> float:
        return min(trace.sent_at for trace in self.traces)

    @property
    def prefilled_at(self) -> float:
        """When the last of them had its first token."""
        return max(trace.arrivals_at[0] for trace in self.traces)

    @property
    def prompt_tokens(self) -> int:
        return sum(trace.prompt_tokens for trace in self.traces)

    @property
    def prefill_s(self) -> float:
        return self.prefilled_at - self.began_at

    @property
    def prefill_tokens_s(self) -> float:
        """``sum(prompt_tokens) / (last first token - first asked)``."""
        return self.prompt_tokens / self.prefill_s

    @property
    def decode_window_s(self) -> tuple[float, float]:
        """From the last first token to the first last token: all of them decode, none prefills."""
        return self.prefilled_at, min(trace.arrivals_at[-1] for trace in self.traces)

    @property
    def decode_tokens(self) -> int:
        """Tokens that arrived in the window; those at its very beginning are before it."""
        return sum(count for _, _, count in self._in_window())

    @property
    def decode_tokens_s(self) -> float | None:
        """``decode_tokens / window``; None where prefill and decode do not come apart."""
        began_at, ended_at = self.decode_window_s
        return self.decode_tokens / (ended_at - began_at) if ended_at > began_at else None

    @property
    def decode_context(self) -> float:
        """Mean number of tokens that a decoded token looked back on, in the window."""
        seen = [
            (request.trace.prompt_tokens + before, count)
            for request, before, count in self._in_window()
        ]
        total = sum(count for _, count in seen)
        return sum(length * count for length, count in seen) / total if total else 0.0

    @property
    def mbu(self) -> float | None:
        """Decode: ``bytes of a step * steps per second / measured bandwidth``.

        A step reads the weights once and every sequence's keys and values (Databricks, LLM
        Inference Performance Engineering, 2023, section on MBU).
        """
        if self.cost is None or self.roofline is None or self.decode_tokens_s is None:
            return None
        batch = len(self.traces)
        step_bytes = self.cost.decode_bytes(batch, self.decode_context)
        return step_bytes * self.decode_tokens_s / batch / self.roofline.bytes_s

    @property
    def mfu(self) -> float | None:
        """Prefill: ``floating-point operations / time / measured matrix rate``.

        Operations are counted from shapes, 2 per weight and token, with attention's own
        (PaLM, arXiv:2204.02311, appendix B, for a forward alone).
        """
        if self.cost is None or self.roofline is None:
            return None
        operations = sum(self.cost.prefill_flops(trace.prompt_tokens) for trace in self.traces)
        return operations / self.prefill_s / self.roofline.flops_s

    def _in_window(self) -> Iterator[tuple[Request, int, int]]:
        """Request, tokens that it had generated before the chunk, tokens of the chunk."""
        began_at, ended_at = self.decode_window_s
        for request in self.requests:
            before = 0
            chunks = zip(request.trace.arrivals_at, request.chunk_tokens, strict=True)
            for at, count in chunks:
                if began_at < at <= ended_at:
                    yield request, before, count
                before += count


def whole(traces: Iterable[Trace]) -> list[Trace]:
    """The traces, if every one is whole.

    Raises:
        RuntimeError: one is not; it says why.
    """
    found = list(traces)
    for trace in found:
        if not Request(trace).is_good:
            raise RuntimeError(f"a request brought no whole answer: {trace.error}")
    return found


def by_name(values: Mapping[str, float], stem: str) -> dict[str, float]:
    """``{"p50": 1.0}`` and ``ttft`` are ``{"ttft_ms_p50": 1.0}``."""
    return {f"{stem}_ms_{name}": value for name, value in values.items()}
