"""From traces to rows, and the walk until saturation."""

from __future__ import annotations

from benchmarks.metrics.request import Targets
from benchmarks.report.figures import KINDS
from benchmarks.serving import levels
from benchmarks.serving.load import Level
from benchmarks.serving.watch import ClientLoad
from benchmarks.trace import Trace
from tests.benchmarks.traces import trace

CLIENT = ClientLoad(cpu_share=0.1, lag_ms_p50=0.1, lag_ms_p99=1.0, late_ms_p99=1.0)


def row(rate: float, answered: float, tokens: float):
    level = Level(count=8, rate=rate) if rate else Level(count=8, concurrency=2)
    return levels.row(
        "m", "s", level, [{"requests_s": answered, "output_tokens_s": tokens}], CLIENT
    )


def test_saturation_of_open_and_closed_loops() -> None:
    assert not levels.is_saturated([row(4.0, 3.9, 1)])
    assert levels.is_saturated([row(4.0, 3.0, 1)])
    assert not levels.is_saturated([row(0, 1, 100)])
    assert not levels.is_saturated([row(0, 1, 100), row(0, 1, 150)])
    assert levels.is_saturated([row(0, 1, 100), row(0, 1, 103)])


def test_a_sweep_doubles() -> None:
    rates = [level.rate for level in levels.climb(Level(count=8, rate=1.0), 3)]
    assert rates == [1.0, 2.0, 4.0]
    closed = list(levels.climb(Level(count=8, concurrency=2), 3))
    assert [(level.concurrency, level.count) for level in closed] == [(2, 8), (4, 16), (8, 32)]
    assert len(list(levels.climb(Level(count=8), 3))) == 1


def test_a_row_has_what_was_offered_and_how_the_client_did() -> None:
    rounds = [{"requests_s": 4.0, "ttft_ms_p50": 9.0}, {"requests_s": 0.0}]
    open_loop = levels.row("m", "s", Level(count=8, rate=4.0), rounds, CLIENT)
    assert open_loop.samples == {"requests_s": [4.0, 0.0], "ttft_ms_p50": [9.0]}
    assert open_loop.facts["offered_requests_s"] == 4.0
    assert open_loop.facts["client_is_bottleneck"] == 0.0
    closed = levels.row("m", "s", Level(count=8, concurrency=2), rounds, CLIENT)
    assert closed.facts["offered_concurrency"] == 2.0
    assert "offered_requests_s" not in closed.facts


def test_figures_of_a_round_are_named_as_reports_name_them() -> None:
    found = levels.figures([trace(0.0, 1.0, 2.0, prompt_tokens=6)], Targets(ttft_s=0.5))
    assert set(found) <= set(KINDS)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (6, 2)
    assert (found["requests_s"], found["goodput_s"]) == (0.5, 0.0)


def test_a_round_without_an_answer_has_no_times() -> None:
    refused = Trace(sent_at=0.0, finished_at=1.0, status=503, error="busy")
    found = levels.figures([refused], Targets())
    assert found["refusal_share"] == 1.0
    assert not [name for name in found if "_ms_" in name or name.endswith("_tokens")]
