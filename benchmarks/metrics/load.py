"""All requests of one level of load: rates, percentiles, goodput, refusals."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from benchmarks.metrics.percentiles import percentiles_ms
from benchmarks.metrics.request import Request, Targets
from benchmarks.trace import Trace


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
        """Share that brought no whole answer, was not refused and did not fail by the client."""
        failed = sum(
            not (one.is_good or one.is_refused or one.trace.is_own_error) for one in self.requests
        )
        return failed / len(self.requests)

    @property
    def own_error_share(self) -> float:
        """Share that the client itself failed at, or gave up: never the server's errors."""
        return sum(one.trace.is_own_error for one in self.requests) / len(self.requests)

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
