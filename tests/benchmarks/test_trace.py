"""A trace on another clock is the same request."""

from __future__ import annotations

from dataclasses import fields, replace

from benchmarks.trace import Trace
from tests.benchmarks.traces import trace

STAMPS = ("due_at", "sent_at", "arrivals_at", "finished_at")


def test_a_shift_moves_every_stamp_and_nothing_else() -> None:
    before = trace(1.0, 2.0, 3.5, due_at=0.5, cached_tokens=7, error="cut off")
    before.chunk_tokens.extend([1, 4])
    after = before.shifted(10.0)
    assert (after.due_at, after.sent_at, after.finished_at) == (10.5, 11.0, 13.5)
    assert list(after.arrivals_at) == [12.0, 13.5]
    for field in fields(Trace):
        if field.name not in STAMPS:
            assert getattr(after, field.name) == getattr(before, field.name)


def test_a_stamp_that_there_is_not_stays_none() -> None:
    after = Trace(sent_at=1.0).shifted(1.0)
    assert (after.due_at, after.finished_at, list(after.arrivals_at)) == (None, None, [])


def test_a_shifted_trace_shares_no_series_with_its_original() -> None:
    before = replace(Trace(sent_at=0.0))
    after = before.shifted(0.0)
    after.arrivals_at.append(1.0)
    after.chunk_tokens.append(2)
    assert (list(before.arrivals_at), list(before.chunk_tokens)) == ([], [])
