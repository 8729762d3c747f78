"""Traces that never happened, for tests of what is made out of traces."""

from __future__ import annotations

from array import array
from itertools import accumulate

from hypothesis import strategies as st

from benchmarks.trace import Trace

SECONDS = st.floats(0.001, 10.0)


def trace(sent_at: float, *arrivals_at: float, tokens: int | None = None, **facts: object) -> Trace:
    """A whole answer; one token per chunk unless told."""
    return Trace(
        sent_at=sent_at,
        arrivals_at=array("d", arrivals_at),
        finished_at=facts.pop("finished_at", arrivals_at[-1] if arrivals_at else sent_at),
        completion_tokens=len(arrivals_at) if tokens is None else tokens,
        prompt_tokens=facts.pop("prompt_tokens", 4),
        finish_reason="length",
        status=facts.pop("status", 200),
        **facts,
    )


@st.composite
def traces(draw: st.DrawFn, *, most_per_chunk: int = 1, least_chunks: int = 1) -> Trace:
    """Any whole answer that came over HTTP."""
    gaps = draw(st.lists(SECONDS, min_size=least_chunks, max_size=12))
    sent_at = draw(st.floats(0.0, 100.0))
    arrivals = list(accumulate(gaps, initial=sent_at))[1:]
    tokens = sum(draw(st.integers(1, most_per_chunk)) for _ in gaps)
    return trace(sent_at, *arrivals, tokens=tokens, prompt_tokens=draw(st.integers(1, 50)))
