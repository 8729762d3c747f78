"""The figures of one request follow from its stamps."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given

from benchmarks.metrics.request import Request, Targets, whole
from benchmarks.trace import Trace
from tests.benchmarks.traces import trace, traces

ONE = trace(10.0, 10.5, 10.6, 10.8, finished_at=11.0)


def test_one_request_by_hand() -> None:
    one = Request(ONE)
    assert one.ttft_s == pytest.approx(0.5)
    assert one.tpot_s == pytest.approx(0.15)
    assert list(one.itl_s) == pytest.approx([0.1, 0.2])
    assert one.e2e_s == pytest.approx(1.0)
    assert one.last_token_s == pytest.approx(0.8)
    assert not one.is_spread


def test_a_chunk_of_several_tokens_is_one_gap_spread_over_them() -> None:
    one = Request(trace(0.0, 1.0, 1.4, 1.8, tokens=5))
    assert list(one.chunk_tokens) == [1, 2, 2]
    assert list(one.itl_s) == pytest.approx([0.2] * 4)
    assert one.is_spread
    told = Trace(sent_at=0.0, arrivals_at=array("d", [1, 2]), chunk_tokens=array("L", [3, 1]))
    assert list(Request(told).chunk_tokens) == [3, 1]


def test_what_was_not_seen_has_no_figure() -> None:
    at_once = Request(trace(0.0, 1.0, tokens=7))
    assert (at_once.tpot_s, list(at_once.itl_s)) == (None, [])
    assert Request(trace(0.0, 1.0)).tpot_s is None
    nothing = Request(Trace(sent_at=1.0, error="no connection"))
    assert (nothing.ttft_s, nothing.e2e_s, nothing.last_token_s) == (None, None, None)
    assert not nothing.is_good


@given(traces(most_per_chunk=4))
def test_chunks_share_all_tokens(each: Trace) -> None:
    one = Request(each)
    assert sum(one.chunk_tokens) == each.completion_tokens
    assert max(one.chunk_tokens[1:], default=1) - min(one.chunk_tokens[1:], default=1) <= 1


@given(traces(most_per_chunk=4, least_chunks=2))
def test_the_mean_gap_of_a_request_is_its_tpot(each: Trace) -> None:
    one = Request(each)
    assert len(one.itl_s) == each.completion_tokens - 1
    assert sum(one.itl_s) / len(one.itl_s) == pytest.approx(one.tpot_s)


@given(traces(most_per_chunk=3))
def test_times_are_in_order(each: Trace) -> None:
    one = Request(each)
    assert 0 < (one.ttft_s or 0) <= (one.last_token_s or 0) <= (one.e2e_s or 0)


def test_lateness_is_the_generators() -> None:
    assert Request(trace(5.0, 6.0, due_at=4.5)).late_s == pytest.approx(0.5)
    assert Request(trace(5.0, 6.0)).late_s == 0


@pytest.mark.parametrize(
    ("targets", "is_met"),
    [
        (Targets(), True),
        (Targets(ttft_s=0.5), True),
        (Targets(ttft_s=0.49), False),
        (Targets(tpot_s=0.1), False),
        (Targets(ttft_s=9.0, e2e_s=0.99), False),
    ],
)
def test_every_target_must_be_met_and_its_bound_still_is(targets: Targets, is_met: bool) -> None:
    one = Request(trace(0.0, 0.5, 0.75, 1.0))
    assert one.meets(targets) is is_met


def test_a_pace_that_nobody_saw_meets_its_target_and_a_failure_none() -> None:
    at_once = trace(0.0, 1.0, tokens=7)
    assert Request(at_once).meets(Targets(tpot_s=0.001))
    at_once.error = "cut off"
    assert not Request(at_once).meets(Targets())


def test_more_chunks_than_tokens_lose_no_token() -> None:
    one = Request(trace(0.0, 1.0, 2.0, 3.0, tokens=2))
    assert list(one.chunk_tokens) == [1, 0, 1]
    assert list(one.itl_s) == pytest.approx([2.0])


def test_traces_are_whole_or_the_first_that_is_not_says_why() -> None:
    good = trace(0.0, 1.0)
    assert whole(iter([good])) == [good]
    with pytest.raises(RuntimeError, match="no whole answer: busy"):
        whole([good, Trace(error="busy"), Trace(error="later")])
