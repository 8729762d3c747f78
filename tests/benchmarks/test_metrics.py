"""Every figure follows from the stamps, and agrees with what the field's own tool makes of them."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics.batch import Batch
from benchmarks.metrics.load import Load
from benchmarks.metrics.percentiles import percentiles_ms
from benchmarks.metrics.request import Request, Targets, whole
from benchmarks.roofline import Roofline, StepCost
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


@given(st.lists(st.floats(0.0, 1e3), min_size=1))
def test_percentiles_are_in_order_and_within(values: list[float]) -> None:
    found = percentiles_ms(values)
    points = [found[name] for name in ("p50", "p90", "p95", "p99")]
    assert points == sorted(points)
    assert min(values) * 1e3 <= points[0] * (1 + 1e-9) + 1e-9
    assert points[-1] <= max(values) * 1e3 * (1 + 1e-9) + 1e-9


def test_refusals_errors_and_answers_are_three_things() -> None:
    some = [
        ONE,
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


def test_lateness_is_the_generators() -> None:
    assert Request(trace(5.0, 6.0, due_at=4.5)).late_s == pytest.approx(0.5)
    assert Request(trace(5.0, 6.0)).late_s == 0


COST = StepCost(
    weight_bytes=1000, kv_token_bytes=10, matrix_parameters=50, head_parameters=5, attention_flops=2
)
LIMITS = Roofline(
    device="cpu", threads=1, bytes_s=1e6, kernel="dot", flops_s_by_dtype={"float32": 1e4}
)


def batch() -> Batch:
    """Two sequences of 4 prompt tokens: both decode from 1.5 s until 2.0 s."""
    first = trace(0.0, 1.0, 1.5, 1.75, 2.0, tokens=4)
    second = trace(0.0, 1.5, 1.75, 2.0, 2.25, tokens=4)
    return Batch([first, second], COST, LIMITS)


def test_prefill_and_decode_come_apart() -> None:
    both = batch()
    assert both.prefill_tokens_s == pytest.approx(8 / 1.5)
    assert both.decode_window_s == (1.5, 2.0)
    assert both.decode_tokens == 4  # two of each; the one at 1.5 is before it, at 2.25 after
    assert both.decode_tokens_s == pytest.approx(8.0)
    assert both.decode_context == pytest.approx(4 + (2 + 3 + 1 + 2) / 4)


def test_shares_of_the_machine_by_hand() -> None:
    both = batch()
    step_bytes = 1000 + 2 * both.decode_context * 10
    assert both.mbu == pytest.approx(step_bytes * 4 / 1e6)  # 8 tokens/s of 2 are 4 steps/s
    operations = 2 * 50 * 4 + 2 * 5 + (1 + 2 + 3 + 4) * 2
    assert both.mfu == pytest.approx(2 * operations / 1.5 / 1e4)
    assert Batch(both.traces).mbu is None
    assert Batch(both.traces, COST).mfu is None


def test_one_token_has_no_decode() -> None:
    assert Batch([trace(0.0, 1.0)], COST, LIMITS).decode_tokens_s is None
    assert Batch([trace(0.0, 1.0)], COST, LIMITS).mbu is None


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
