"""Requests that one engine ran together: prefill and decode speed, MFU, MBU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.metrics.request import Request
from benchmarks.roofline import Roofline, StepCost
from benchmarks.trace import Trace


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
        """The time at which the last of them had its first token."""
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
        """The last first token and the first last token: between them all decode, none prefills."""
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
