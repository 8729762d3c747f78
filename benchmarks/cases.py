"""Cases of a measurement: prompts of so many tokens, so many at once. Nothing is random between two
systems: the same case and round have the same prompts.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.metrics.batch import Batch
from benchmarks.metrics.percentiles import percentiles_ms
from benchmarks.roofline import Roofline, StepCost
from benchmarks.trace import Trace

Phase = Literal["prefill", "decode"]
_SPECIAL_TOKENS = 16  # ids below it are control tokens in many vocabularies


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``batch`` requests at once, each of ``prompt_tokens`` and ``max_tokens``."""

    phase: Phase
    batch: int
    prompt_tokens: int
    max_tokens: int

    @property
    def label(self) -> str:
        if self.phase == "prefill":
            return f"prefill {self.batch} x {self.prompt_tokens}"
        return f"decode {self.batch} x {self.max_tokens} after {self.prompt_tokens}"

    @property
    def length(self) -> int:
        return self.prompt_tokens + self.max_tokens

    def prompts(self, vocab_size: int, number: int) -> list[list[int]]:
        """Token ids; other ones for each ``number``, so that no cache has seen them."""
        source = random.Random(f"{self.label} {number}")
        least = min(_SPECIAL_TOKENS, vocab_size - 1)
        return [
            [source.randrange(least, vocab_size) for _ in range(self.prompt_tokens)]
            for _ in range(self.batch)
        ]


def prefills(batches: Sequence[int], lengths: Sequence[int]) -> Iterator[Case]:
    """Prompts that end after their first token."""
    for length in lengths:
        for batch in batches:
            yield Case(phase="prefill", batch=batch, prompt_tokens=length, max_tokens=1)


def decodes(batches: Sequence[int], contexts: Sequence[int], max_tokens: int) -> Iterator[Case]:
    """Sequences that go on for ``max_tokens`` after a prompt."""
    for context in contexts:
        for batch in batches:
            yield Case(phase="decode", batch=batch, prompt_tokens=context, max_tokens=max_tokens)


def intensity(case: Case, cost: StepCost) -> float:
    """Floating-point operations for each byte that a forward of the case reads, about."""
    if case.phase == "prefill":
        operations = case.batch * cost.prefill_flops(case.prompt_tokens)
        return operations / cost.decode_bytes(case.batch, case.prompt_tokens)
    context = case.prompt_tokens + case.max_tokens / 2
    return cost.decode_flops(case.batch, context) / cost.decode_bytes(case.batch, context)


def figures(
    case: Case, traces: Sequence[Trace], cost: StepCost | None, roofline: Roofline | None
) -> dict[str, float]:
    """The figures of one round of a case, by their names in ``benchmarks.report.figures``.

    Raises:
        RuntimeError: a trace has other numbers of tokens than the case.
    """
    expected = (case.prompt_tokens, case.max_tokens)
    for trace in traces:
        if (trace.prompt_tokens, trace.completion_tokens) != expected:
            raise RuntimeError(
                f"{case.label}: {trace.prompt_tokens} tokens in and {trace.completion_tokens} out "
                f"instead of {expected[0]} and {expected[1]}"
            )
    batch = Batch(traces, cost, roofline)
    ttft_ms = statistics.median(one.ttft_s or 0.0 for one in batch.requests) * 1e3
    if case.phase == "prefill":
        values = {"prefill_tokens_s": batch.prefill_tokens_s, "ttft_ms": ttft_ms, "mfu": batch.mfu}
    else:
        gaps = percentiles_ms([gap for one in batch.requests for gap in one.itl_s])
        values = {
            "decode_tokens_s": batch.decode_tokens_s,
            "itl_ms_p50": gaps.get("p50"),
            "itl_ms_p99": gaps.get("p99"),
            "mbu": batch.mbu,
        }
    return {name: value for name, value in values.items() if value is not None}
