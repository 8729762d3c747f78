"""Rates, goodput and refusals of a level; `vllm bench serve` makes the same of one trace."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics.load import Load
from benchmarks.metrics.request import Targets, whole
from benchmarks.trace import Trace
from tests.benchmarks.traces import trace, traces


@given(st.lists(traces(most_per_chunk=3), min_size=1, max_size=8), st.floats(-50.0, 50.0))
def test_when_the_clock_began_changes_nothing(some: list[Trace], seconds: float) -> None:
    targets = Targets(ttft_s=1.0, tpot_s=0.5)
    load, later = Load(some, targets), Load([each.shifted(seconds) for each in some], targets)
    for name in ("duration_s", "requests_s", "output_tokens_s", "total_tokens_s", "concurrency"):
        assert getattr(load, name) == pytest.approx(getattr(later, name), rel=1e-6)
    for name in ("ttft", "tpot", "itl", "e2e"):
        assert load.series_s(name) == pytest.approx(later.series_s(name), rel=1e-6, abs=1e-9)


@given(st.lists(traces(), min_size=1, max_size=8), st.floats(0.01, 20.0))
def test_goodput_is_no_more_than_throughput_and_grows_with_patience(
    some: list[Trace], target: float
) -> None:
    load = Load(some, Targets(ttft_s=target))
    assert 0 <= load.goodput_s <= load.requests_s + 1e-12
    assert load.goodput_s <= Load(some, Targets(ttft_s=2 * target)).goodput_s
    assert Load(some).goodput_s == pytest.approx(load.requests_s)


def test_refusals_errors_and_answers_are_three_things() -> None:
    some = [
        trace(10.0, 10.5, 10.6, 10.8, finished_at=11.0),
        Trace(sent_at=10.0, finished_at=10.1, status=503, error="busy"),
        Trace(sent_at=10.0, finished_at=10.1, status=429, error="slow"),
        Trace(sent_at=10.0, finished_at=10.1, status=500, error="broken"),
    ]
    load = Load(some, Targets(e2e_s=5))
    assert (load.refusal_share, load.error_share, load.attainment) == (0.5, 0.25, 0.25)
    assert load.duration_s == pytest.approx(1.0)
    assert load.requests_s == pytest.approx(1.0)
    assert len(load.series_s("ttft")) == 1
    with pytest.raises(RuntimeError, match="busy"):
        whole(some)


def _recorded() -> list[Trace]:
    """Twenty answers of one-token chunks; two of them failed."""
    some = []
    for number in range(20):
        sent_at = 0.3 * number
        first_at = sent_at + 0.2 + 0.01 * (number * 7 % 5)
        count = 1 + number * 5 % 17
        gaps = [0.02 + 0.003 * (step * number % 11) for step in range(count - 1)]
        arrivals = [first_at + sum(gaps[:step]) for step in range(count)]
        some.append(trace(sent_at, *arrivals, prompt_tokens=10 + number))
    some[3].error = some[11].error = "broken"
    some[3].status = some[11].status = 500
    return some


def test_vllm_bench_serve_makes_the_same_figures_of_one_trace() -> None:
    from vllm.benchmarks.lib.endpoint_request_func import RequestFuncOutput
    from vllm.benchmarks.serve import calculate_metrics

    some = _recorded()
    outputs = [
        RequestFuncOutput(
            success=each.error is None,
            start_time=each.sent_at,
            latency=each.arrivals_at[-1] - each.sent_at,
            ttft=each.arrivals_at[0] - each.sent_at,
            itl=[b - a for a, b in zip(each.arrivals_at, each.arrivals_at[1:], strict=False)],
            output_tokens=each.completion_tokens,
            prompt_len=each.prompt_tokens,
            error=each.error or "",
        )
        for each in some
    ]
    goals = {"ttft": 230.0, "tpot": 36.0, "e2el": 900.0}
    theirs, _ = calculate_metrics([], outputs, 12.5, None, [50, 90, 95, 99], goals)
    # Their end is the last token; in these traces nothing follows it.
    ours = Load(some, Targets(ttft_s=0.23, tpot_s=0.036, e2e_s=0.9), given_duration_s=12.5)
    assert 0 < theirs.request_goodput < theirs.request_throughput
    assert ours.goodput_s == pytest.approx(theirs.request_goodput)
    assert ours.requests_s == pytest.approx(theirs.request_throughput)
    assert ours.output_tokens_s == pytest.approx(theirs.output_throughput)
    assert ours.total_tokens_s == pytest.approx(theirs.total_token_throughput)
    assert len(ours.good) == theirs.completed
    for name, their_name in (
        ("ttft", "ttft"),
        ("tpot", "tpot"),
        ("itl", "itl"),
        ("last_token", "e2el"),
        ("e2e", "e2el"),
    ):
        figures = ours.percentiles_ms(name)
        assert figures["mean"] == pytest.approx(getattr(theirs, f"mean_{their_name}_ms"))
        for point, value in getattr(theirs, f"percentiles_{their_name}_ms"):
            assert figures[f"p{point:g}"] == pytest.approx(value)
            assert math.isfinite(value)
